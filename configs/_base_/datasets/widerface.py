# Whole WIDER FACE in its official layout (tools/prepare_widerface.py).
data_root = 'data/WIDERFace/'
dataset_type = 'WiderFaceDataset'
meta_keys = (
    'img_id',
    'img_path',
    'ori_shape',
    'img_shape',
    'scale_factor',
    'instances',
    'patch_boxes',
)

train_pipeline = [
    dict(type='LoadIntactImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomStepResize', step=0.25, num_steps=8),
    dict(type='FaceCrop', max_size=1200),
    dict(type='RandomFlip', prob=0.5),
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
# One scale; the protocol's pyramid is tta_pipeline. DetInferencer looks for a loader
# of this name; it is LoadIntactImage.
test_pipeline = [
    dict(type='facepatch.LoadImageFromFile'),
    dict(type='Resize', scale_factor=1.0, keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=meta_keys),
]
# The pyramid has the scales of training: 0.25 n, n = 1..8.
tta_pipeline = [
    dict(type='LoadIntactImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale_factor=0.25 * n, keep_ratio=True)
                for n in range(1, 9)
            ],
            [dict(type='PackDetInputs', meta_keys=meta_keys)],
        ],
    ),
]

train_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='wider_face_split/wider_face_train_bbx_gt.txt',
        data_prefix=dict(img='WIDER_train/images/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='wider_face_split/wider_face_val_bbx_gt.txt',
        data_prefix=dict(img='WIDER_val/images/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='WiderFaceMetric', gt_dir=data_root + 'eval_tools/ground_truth'
)
test_evaluator = val_evaluator
