# SLN with a ResNet-101.
_base_ = 'sln_r18_widerface.py'

model = dict(
    backbone=dict(
        depth=101,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet101'),
    ),
    neck=dict(in_channels=[256, 512, 1024, 2048]),
)
