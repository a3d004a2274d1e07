# Transfer between backbones of SLN: MobileNetV2 (sln) and a half-width ResNet-18.
_base_ = ['../experiments/_base_/subset_zoo.py']
title = 'Transfer between backbones'
_backbones = ('sln', 'sln_r18w32')
matrix = dict(
    detectors=list(_backbones),
    patches=dict(
        clean=dict(),
        grey=dict(patch=dict(type='constant', value=0.5)),
        noise=dict(patch=dict(type='noise', seed=0)),
        **{
            f'{_method} of {_name}': dict(attack=dict(method=_method, detector=_name))
            for _method in ('patch_iou', 'patch_combination')
            for _name in _backbones
        },
    ),
)
