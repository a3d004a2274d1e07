# SLN on the images named in {train,val}_subset.txt, on small crops with AdamW:
# a recipe for few images and no GPU. Numbers from it are not comparable with
# those measured on the whole of WIDER FACE.
_base_ = 'sln_r18_widerface.py'

data_root = 'data/WIDERFace/'
max_iters = 2000
meta_keys = {{_base_.meta_keys}}

train_pipeline = [
    dict(type='LoadIntactImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomFaceScaleCrop', crop_size=320, face_size=(12, 140)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                    'scale_factor', 'flip', 'flip_direction'))
]
tta_pipeline = [
    dict(type='LoadIntactImage'),
    dict(type='TestTimeAug', transforms=[
        [dict(type='Resize', scale_factor=scale, keep_ratio=True)
         for scale in (0.5, 1.0, 2.0)],
        [dict(type='PackDetInputs', meta_keys=meta_keys)],
    ])
]

train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True),
    dataset=dict(subset_file='train_subset.txt', pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=0, dataset=dict(subset_file='val_subset.txt'))
test_dataloader = val_dataloader

train_cfg = dict(
    _delete_=True, type='IterBasedTrainLoop', max_iters=max_iters,
    val_interval=max_iters + 1)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-2),
    clip_grad=dict(max_norm=5.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=max_iters,
         T_max=max_iters - 100, eta_min=1e-5),
]
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=500, max_keep_ckpts=2))
log_processor = dict(by_epoch=False)

# Batch statistics are needed where the backbone starts from random weights,
# and a batch of eight crops has them. The test pyramid goes up in octaves, so a
# face between two anchor scales is between them on every level: it keeps its
# best anchor in training.
model = dict(
    channels_last=True,
    backbone=dict(norm_eval=False),
    train_cfg=dict(assigner=dict(match_low_quality=True, num_per_group=256)))
