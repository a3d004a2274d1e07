# Whether Patch-IoU, whose objective on SLN still rises, has converged: four times as
# many steps (not in the paper).
_base_ = ['_base_/subset_zoo.py', '_base_/inits.py']
title = 'Convergence: four times as many steps'
figure = 'gallery'
seeds = (0, 1)

cells = [
    dict(name='Baseline-SLN'),
    dict(name='noise, not optimised', patch={{_base_.inits.noise}}),
    *(dict(name=f'{_epochs} epochs', attack=dict(
        method='patch_iou', options={'train_cfg.max_epochs': _epochs}))
      for _epochs in (3, 12)),
]
