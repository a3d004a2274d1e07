# Evaluation of detectors that others have trained. Their weights come from
# installed packages: tools/test.py gets no checkpoint.
_base_ = [
    '../../_base_/detector_runtime.py',
    '../../_base_/datasets/widerface_subset.py',
]
train_dataloader = None
val_dataloader = None
val_evaluator = None
test_cfg = dict(type='TestLoop')
# Merges the scales of the test pyramid (tools/test.py --tta).
tta_model = dict(
    type='PyramidTTA', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.3))
)
