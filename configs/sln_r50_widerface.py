# SLN with a ResNet-50.
_base_ = 'sln_r18_widerface.py'

model = dict(
    backbone=dict(
        depth=50, init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')
    ),
    neck=dict(in_channels=[256, 512, 1024, 2048]),
)
