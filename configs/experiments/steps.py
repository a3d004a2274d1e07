# Whether the attacks have converged: four times as many steps (not in the paper).
_base_ = ['_base_/subset_zoo.py', '_base_/inits.py']
title = 'Convergence: four times as many steps'
figure = 'gallery'

cells = [
    dict(name='Baseline-SLN'),
    dict(name='noise, not optimised', patch={{_base_.inits.noise}}),
    *(dict(name=f'{_name}, {_epochs} epochs', attack=dict(
        method=_method, options={'train_cfg.max_epochs': _epochs}))
      for _name, _method in (('Patch-IoU', 'patch_iou'),
                             ('Patch-Combination', 'patch_combination'))
      for _epochs in (3, 12)),
]
