# A small detector training, counted in epochs, for .dev_scripts/fault_drill.py.
_base_ = '../../../configs/_base_/detector_runtime.py'
data_root = 'data/embedded'

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
        base_channels=8,
        stem_channels=8,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        norm_eval=False,
        style='pytorch',
    ),
    neck=dict(type='TopDownP2', in_channels=[8, 16, 32, 64], out_channels=16),
    bbox_head=dict(
        type='SLNHead',
        num_classes=1,
        in_channels=16,
        feat_channels=16,
        anchor_generator=dict(
            type='AnchorGenerator',
            scales=[4, 8, 16, 32],
            ratios=[1.0],
            strides=[4],
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
            type='GroupSamplingAssigner', num_per_group=32, match_low_quality=True
        ),
        sampler=dict(type='PseudoSampler'),
    ),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.01,
        nms=dict(type='nms', iou_threshold=0.3),
        max_per_img=1000,
    ),
)

train_pipeline = [
    dict(type='LoadIntactImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomFaceScaleCrop', crop_size=128, face_size=(12, 96)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(
        type='PackDetInputs',
        meta_keys=(
            'img_id',
            'img_path',
            'ori_shape',
            'img_shape',
            'scale_factor',
            'flip',
            'flip_direction',
        ),
    ),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='EmbeddedFaceDataset',
        data_root=data_root,
        split='train',
        indices=30,
        pipeline=train_pipeline,
    ),
)
train_cfg = dict(type='ReproducibleEpochLoop', max_epochs=3)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=True, milestones=[2, 3], gamma=0.1)
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=5))
