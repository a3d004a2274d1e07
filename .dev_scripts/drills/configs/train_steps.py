# A small detector training, counted in steps, for .dev_scripts/fault_drill.py.
_base_ = 'train_epochs.py'

train_dataloader = dict(
    num_workers=1, sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True)
)
train_cfg = dict(_delete_=True, type='ReproducibleIterLoop', max_iters=24)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=10),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=10, end=24, T_max=14),
]
optim_wrapper = dict(accumulative_counts=2)
log_processor = dict(by_epoch=False)
