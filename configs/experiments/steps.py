# Whether attacks have converged: four times as many steps (not in the paper). Of
# Patch-IoU, whose objective still rises, on all detectors; of Patch-Combination on SLN.
_base_ = ['_base_/subset_zoo.py', '_base_/inits.py']
title = 'Convergence: four times as many steps'
figure = 'gallery'
# Of SLN's Patch-IoU; the other attacks have seed 0 only.
seeds = (0, 1, 2)
_longer = {'train_cfg.max_epochs': 12}

entries = []
for _detector in ('sln', 'ssd', 'retinanet', 'faster_rcnn'):
    _seed = {} if _detector == 'sln' else dict(seed=0)
    entries += [
        dict(name=f'{_detector}: clean', detector=_detector),
        dict(
            name=f'{_detector}: noise', detector=_detector, patch={{_base_.inits.noise}}
        ),
        dict(
            name=f'{_detector}: patch_iou, 3 epochs',
            detector=_detector,
            attack=dict(method='patch_iou', **_seed),
        ),
        dict(
            name=f'{_detector}: patch_iou, 12 epochs',
            detector=_detector,
            attack=dict(method='patch_iou', options=_longer, **_seed),
        ),
    ]
entries += [
    dict(
        name='sln: patch_combination, 3 epochs',
        attack=dict(method='patch_combination', seed=0),
    ),
    dict(
        name='sln: patch_combination, 12 epochs',
        attack=dict(method='patch_combination', options=_longer, seed=0),
    ),
]
