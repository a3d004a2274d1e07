# A small attack for the fault drill: checkpoints inside the epochs, workers.
_base_ = '../../../configs/attack/patch_combination.py'

train_pipeline = [
    dict(type='LoadIntactImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='RandomFaceScaleCrop', crop_size=128, face_size=(16, 64), clip_boxes=False
    ),
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
train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    dataset=dict(indices=15, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(indices=1))
train_cfg = dict(max_epochs=3, val_interval=2)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=3))
