# Patch-Combination (paper, section 4.2): suppress faces without the patch
# being taken for one.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/attack/patch_attack.py',
    'data/embedded.py',
]
model = dict(
    sample_set=dict(
        type='PatchCombinationSampleSet',
        score_thr=0.5,
        face_iou_thr=0.3,
        patch_iou_thr=0.3,
    )
)
