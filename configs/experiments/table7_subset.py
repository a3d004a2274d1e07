# Table 7: patches of one backbone on the others that there are here; beside the
# paper's, grey and noise.
_base_ = ['_base_/subset_zoo.py', '_base_/inits.py']
title = 'Table 7: transfer from MobileNetV2 to other backbones'
_backbones = ('sln_r18w32',)
_pasted = dict(
    clean=dict(),
    grey=dict(patch=dict(type='constant', value=0.5)),
    noise=dict(patch={{_base_.inits.noise}}),
    patch_score_focal=dict(attack=dict(method='patch_score_focal', detector='sln')),
    patch_combination=dict(attack=dict(method='patch_combination', detector='sln')),
)
entries = [
    dict(_entry, name=f'{_detector}, {_name}', detector=_detector)
    for _detector in _backbones
    for _name, _entry in _pasted.items()
]
