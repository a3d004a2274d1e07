# SSD on the stages of a ResNet-18, with one more level.
model = dict(
    type='SingleStageDetector',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=64,
    ),
    backbone=dict(
        type='ResNet',
        depth=18,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18'),
    ),
    neck=dict(
        type='SSDNeck',
        in_channels=(64, 128, 256, 512),
        out_channels=(64, 128, 256, 512, 256),
        level_strides=(2,),
        level_paddings=(1,),
        l2_norm_scale=20,
    ),
    bbox_head=dict(
        type='SSDMarginHead',
        num_classes=1,
        in_channels=(64, 128, 256, 512, 256),
        anchor_generator=dict(
            type='AnchorGenerator',
            # Sides 16, 32, 64, 128 as SLN's, and 256.
            scales=[4],
            ratios=[1.0],
            strides=[4, 8, 16, 32, 64],
            center_offset=0.5,
        ),
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder',
            target_means=[0.0, 0.0, 0.0, 0.0],
            target_stds=[0.1, 0.1, 0.2, 0.2],
        ),
    ),
    train_cfg=dict(
        assigner=dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.4,
            min_pos_iou=0.2,
            match_low_quality=True,
            ignore_iof_thr=0.5,
        ),
        sampler=dict(type='PseudoSampler'),
        smoothl1_beta=1.0,
        allowed_border=-1,
        pos_weight=-1,
        neg_pos_ratio=3,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=10000,
        min_bbox_size=0,
        score_thr=0.01,
        nms=dict(type='nms', iou_threshold=0.3),
        max_per_img=10000,
    ),
)

tta_model = dict(
    type='PyramidTTA', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.3))
)
