# Faster R-CNN with SLN as its proposal network and a MobileNetV2, on few images
# and no GPU.
_base_ = [
    '_base_/models/faster_rcnn_r18.py',
    '_base_/datasets/widerface_subset.py',
    '_base_/schedules/adamw_3k.py',
    '_base_/models/mobilenet_v2.py',
]

model = dict(
    data_preprocessor=dict(type='ChannelsLastDetDataPreprocessor'),
    backbone={{_base_.mobilenet_v2}},
    neck=dict(in_channels={{_base_.mobilenet_v2_channels}}, out_channels=64),
    rpn_head=dict(in_channels=64, feat_channels=64),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64),
        bbox_head=dict(in_channels=64, fc_out_channels=256),
    ),
    train_cfg=dict(
        rpn=dict(assigner=dict(match_low_quality=True, num_per_group=256)),
        rpn_proposal=dict(nms_pre=1000, max_per_img=300),
        # The published weights were trained with ignored faces as background of
        # the second stage.
        rcnn=dict(assigner=dict(ignore_iof_thr=-1), sampler=dict(num=128)),
    ),
)
optim_wrapper = dict(paramwise_cfg={{_base_.mobilenet_v2_lr}})
