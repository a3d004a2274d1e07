# SLN with a MobileNetV2.
_base_ = ['sln_r18.py', 'mobilenet_v2.py']

model = dict(
    backbone={{_base_.mobilenet_v2}},
    neck=dict(in_channels={{_base_.mobilenet_v2_channels}}),
)
