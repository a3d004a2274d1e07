# The paper's schedule: 100 epochs, 8 images a step (1 image on each of 8 GPUs).
train_cfg = dict(type='ReproducibleEpochLoop', max_epochs=100, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-5),
)
param_scheduler = [
    dict(
        type='MultiStepLR',
        by_epoch=True,
        begin=0,
        end=100,
        milestones=[60, 80],
        gamma=0.1,
    )
]
auto_scale_lr = dict(enable=False, base_batch_size=8)
