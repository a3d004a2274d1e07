# Patches of each framework and method, on each framework.
title = 'Transfer between frameworks'
_frameworks = ('sln', 'ssd', 'retinanet', 'faster_rcnn')
matrix = dict(
    detectors=list(_frameworks),
    patches=dict(
        clean=dict(),
        grey=dict(patch=dict(type='constant', value=0.5)),
        noise=dict(patch=dict(type='noise', seed=0)),
        **{
            f'{_method} of {_name}': dict(attack=dict(method=_method, detector=_name))
            for _method in ('patch_iou', 'patch_combination')
            for _name in _frameworks
        },
    ),
)
