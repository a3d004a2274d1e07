# SSD with a MobileNetV2, on few images and no GPU.
_base_ = [
    '_base_/models/ssd_r18.py',
    '_base_/datasets/widerface_subset.py',
    '_base_/schedules/adamw_3k.py',
    '_base_/models/mobilenet_v2.py',
]

model = dict(
    data_preprocessor=dict(type='ChannelsLastDetDataPreprocessor'),
    backbone={{_base_.mobilenet_v2}},
    neck=dict(in_channels=(24, 32, 96, 320), out_channels=(24, 32, 96, 320, 128)),
    bbox_head=dict(
        in_channels=(24, 32, 96, 320, 128), stacked_convs=1, feat_channels=64
    ),
    # The published weights were trained with ignored faces as background.
    train_cfg=dict(assigner=dict(ignore_iof_thr=-1)),
)
optim_wrapper = dict(paramwise_cfg={{_base_.mobilenet_v2_lr}})
