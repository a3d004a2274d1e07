# SLN with a ResNeXt-101 (32x4d).
_base_ = 'sln_r18_widerface.py'

model = dict(
    backbone=dict(
        type='ResNeXt',
        depth=101,
        groups=32,
        base_width=4,
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://resnext101_32x4d'),
    ),
    neck=dict(in_channels=[256, 512, 1024, 2048]),
)
