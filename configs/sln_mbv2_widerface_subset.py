# SLN with a MobileNetV2, on few images and no GPU.
_base_ = ['sln_r18_widerface_subset.py', '_base_/models/mobilenet_v2_centerface.py']

model = dict(
    backbone={{_base_.mobilenet_v2}},
    neck=dict(in_channels={{_base_.mobilenet_v2_channels}}, out_channels=64),
    bbox_head=dict(in_channels=64, feat_channels=64),
)
optim_wrapper = dict(paramwise_cfg={{_base_.mobilenet_v2_lr}})
