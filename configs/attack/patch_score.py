# Patch-Score (paper, section 4.2): suppress whatever scores like a face.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/attack/patch_attack.py',
    'data/embedded.py',
]
model = dict(sample_set=dict(type='PatchScoreSampleSet', score_thr=0.5))
