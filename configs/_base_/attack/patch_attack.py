# A universal patch against the shipped SLN. Configs of methods inherit from
# this file and name their sample set; files in data/ say on which images. The
# detector is evaluated as its own config deploys it: test pipeline, score
# threshold, NMS. The paper's image pyramid is asked for: pyramid = (0.5, 1, 2).
model = dict(
    type='PatchAttacker',
    detector=dict(
        config='{{ fileDirname }}/../../sln_mbv2_widerface_subset.py',
        checkpoint='facepatch://sln_mbv2_widerface_subset',
    ),
    patch=dict(type='UniversalPatch', size=(128, 128), init=dict(type='noise', seed=0)),
    placement=dict(type='PatchPlacement', alpha=0.5, center='top'),
    compositor=dict(type='PatchCompositor'),
    reader=dict(type='AutoCandidateReader'),
    loss=dict(type='AdversarialLoss'),
    channel_order='bgr',
)

# Pixels are in [0, 1]. Near S = 1 the gradient of log S is 1 - S, so its size
# says little; Adam's steps do not depend on it.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=0.02))

# What the patch is compared with: the same location and size, not optimised.
conditions = dict(
    clean=None,
    grey=dict(type='constant', value=0.5),
    noise=dict(type='noise', seed=0),
    patch='current',
)

# Data configs set train_cfg, as the number of epochs depends on that of images, and
# val_cfg where there are images to validate on.
test_cfg = dict(type='PatchTestLoop', conditions=conditions)
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        eta_min=0.002,
        convert_to_iter_based=True,
    )
]

custom_hooks = [
    dict(type='PatchHook', interval=1),
    dict(type='AttackHistoryHook'),
    dict(type='ReportHook', pictures=3),
]
