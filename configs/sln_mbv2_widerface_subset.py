# MobileNetV2 from ImageNet weights. Make them first, without unpickling code,
# from any torchvision checkpoint of this network:
#   python tools/convert_mobilenet_v2.py SRC.pth weights/mobilenet_v2_imagenet.pth
_base_ = 'sln_r18_widerface_subset.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='HeadlessMobileNetV2',
        out_indices=(1, 2, 4, 6),
        # The stages of strides 2 and 4 cost the most and change the least.
        frozen_stages=2,
        norm_eval=False,
        init_cfg=dict(
            type='Pretrained', checkpoint='weights/mobilenet_v2_imagenet.pth')),
    neck=dict(in_channels=[24, 32, 96, 320], out_channels=64),
    bbox_head=dict(in_channels=64, feat_channels=64))
# The backbone starts from useful weights, the rest from random ones.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(
    backbone=dict(lr_mult=0.5))))
