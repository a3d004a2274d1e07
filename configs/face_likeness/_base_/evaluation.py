# Maximum face score on the patch: does a detector detect the patch alone as a face?
_base_ = [
    '../../_base_/default_runtime.py',
    '../../experiments/_base_/inits.py',
    'patch_canvas.py',
]
model = dict(
    type='PatchAttacker',
    patch=dict(type='UniversalPatch', size=(128, 128), init=dict(type='noise', seed=0)),
    # The patch fills the box of the canvas.
    placement=dict(type='PatchPlacement', alpha=1.0, center='middle'),
    sample_set=dict(type='PatchScoreSampleSet', score_thr=0.5),
    channel_order='bgr',
)
# Three that are no faces, and one that is. A patch is added on the command line:
# --report-only FILE, or --cfg-options test_cfg.conditions.NAME=FILE.
conditions = {
    'grey': dict(type='constant', value=0.5),
    'noise': dict(type='noise', seed=0),
    'coffee': {{_base_.inits.coffee}},
    'face A': {{_base_.inits.face_a}},
}
test_cfg = dict(type='PatchTestLoop', conditions=conditions)
