# Patch-IoU on the positives of the detector's own assigner (paper, section 3.2).
# patch_iou.py has the paper's IoU of 0.6, whatever the detector was trained by.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/attack/patch_attack.py',
    'data/embedded.py',
]
model = dict(sample_set=dict(type='DetectorPositivesSampleSet'))
