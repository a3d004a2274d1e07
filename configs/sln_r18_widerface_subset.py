# SLN on few images and no GPU.
_base_ = [
    '_base_/models/sln_r18.py',
    '_base_/datasets/widerface_subset.py',
    '_base_/schedules/adamw_2k.py',
]

# Batch statistics are needed where the backbone starts from random weights,
# and a batch of eight crops has them. The test pyramid goes up in octaves, so a
# face between two anchor scales is between them on every level: it keeps its
# best anchor in training. From few images a few hundred random negatives do not
# teach what a face is not: all negatives are samples (320 / 4 squared cells in each
# group), and the focal loss picks the hard ones. Of positives a group keeps 64.
model = dict(
    data_preprocessor=dict(type='ChannelsLastDetDataPreprocessor'),
    backbone=dict(norm_eval=False),
    bbox_head=dict(
        cls_average='positives', loss_cls=dict(_delete_=True, type='SoftmaxFocalLoss')
    ),
    train_cfg=dict(
        assigner=dict(
            match_low_quality=True,
            pos_iou_thr=0.5,
            num_per_group=6400,
            pos_fraction=0.01,
        )
    ),
)
