# The images named in {train,val}_subset.txt, in small crops: a recipe for few
# images and no GPU. Numbers from it are not comparable with those measured on
# the whole of WIDER FACE.
_base_ = 'widerface.py'
meta_keys = {{_base_.meta_keys}}

train_pipeline = [
    dict(type='LoadIntactImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomFaceScaleCrop', crop_size=320, face_size=(12, 140)),
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
tta_pipeline = [
    dict(type='LoadIntactImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale_factor=scale, keep_ratio=True)
                for scale in (0.5, 1.0, 2.0)
            ],
            [dict(type='PackDetInputs', meta_keys=meta_keys)],
        ],
    ),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True),
    dataset=dict(image_list='train_subset.txt', pipeline=train_pipeline),
)
val_dataloader = dict(num_workers=0, dataset=dict(image_list='val_subset.txt'))
test_dataloader = val_dataloader
