# MobileNetV2 from ImageNet weights, in place of a model's backbone. Make them
# first, without unpickling code, from torchvision's checkpoint (see README.md):
#   python tools/model_converters/mobilenet_v2.py mobilenet_v2-b0353104.pth \
#       weights/mobilenet_v2_imagenet.pth
mobilenet_v2 = dict(
    _delete_=True,
    type='HeadlessMobileNetV2',
    out_indices=(1, 2, 4, 6),
    # The stages of strides 2 and 4 cost the most and change the least.
    frozen_stages=2,
    norm_eval=False,
    init_cfg=dict(type='Pretrained', checkpoint='weights/mobilenet_v2_imagenet.pth'),
)
mobilenet_v2_channels = [24, 32, 96, 320]
# The backbone starts from useful weights, the rest from random ones.
mobilenet_v2_lr = dict(custom_keys=dict(backbone=dict(lr_mult=0.5)))
