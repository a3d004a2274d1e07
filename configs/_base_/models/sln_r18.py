# SLN as in the paper, section 3.1 and Fig. 3.
model = dict(
    type='SLN',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='ResNet',
        depth=18,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=True),
        # One image a GPU: batch statistics would be those of one image.
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18'),
    ),
    neck=dict(type='TopDownP2', in_channels=[64, 128, 256, 512], out_channels=256),
    bbox_head=dict(
        type='SLNHead',
        num_classes=1,
        in_channels=256,
        feat_channels=256,
        stacked_convs=1,
        cls_average='joint',
        anchor_generator=dict(
            type='AnchorGenerator',
            # Sides 16, 32, 64, 128 px on a stride of 4 px.
            scales=[4, 8, 16, 32],
            ratios=[1.0],
            strides=[4],
            # The centre of an anchor is the centre of its cell.
            center_offset=0.5,
        ),
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder',
            target_means=[0.0, 0.0, 0.0, 0.0],
            target_stds=[0.1, 0.1, 0.2, 0.2],
        ),
        reg_decoded_bbox=True,
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
        loss_bbox=dict(type='IoURegressionLoss', loss_weight=1.0),
    ),
    train_cfg=dict(
        assigner=dict(
            type='GroupSamplingAssigner',
            scales=(16, 32, 64, 128),
            pos_iou_thr=0.6,
            neg_iou_thr=0.4,
            match_low_quality=False,
            num_per_group=512,
            pos_fraction=0.25,
        ),
        sampler=dict(type='PseudoSampler'),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=10000,
        min_bbox_size=0,
        score_thr=0.01,
        nms=dict(type='nms', iou_threshold=0.3),
        # No cap: one image of WIDER FACE has 709 faces.
        max_per_img=10000,
    ),
)

# Merges the scales of the test pyramid (tools/test.py --tta).
tta_model = dict(
    type='PyramidTTA', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.3))
)
