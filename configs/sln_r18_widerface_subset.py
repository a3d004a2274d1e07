# SLN on few images and no GPU.
_base_ = [
    '_base_/models/sln_r18.py',
    '_base_/datasets/widerface_subset.py',
    '_base_/schedules/adamw_3k.py',
]

# Batch statistics are needed where the backbone starts from random weights,
# and a batch of eight crops has them. The test pyramid goes up in octaves, so a
# face between two anchor scales is between them on every level: it keeps its
# best anchor in training.
model = dict(
    data_preprocessor=dict(type='ChannelsLastDetDataPreprocessor'),
    backbone=dict(norm_eval=False),
    train_cfg=dict(assigner=dict(match_low_quality=True)),
)
