# Patch-IoU (paper, section 3.2): suppress the detector's own positives.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/attack/patch_attack.py',
    'data/embedded.py',
]
model = dict(sample_set=dict(type='PatchIoUSampleSet', face_iou_thr=0.6))
