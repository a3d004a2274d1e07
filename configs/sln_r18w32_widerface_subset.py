# Half-width ResNet-18 from random weights.
_base_ = 'sln_r18_widerface_subset.py'

model = dict(
    backbone=dict(base_channels=32, init_cfg=None),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64),
    bbox_head=dict(in_channels=64, feat_channels=64),
)
