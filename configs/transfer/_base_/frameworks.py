# Patch-IoU of each framework, on each framework.
title = 'Transfer between frameworks'
_frameworks = ('sln', 'ssd', 'retinanet', 'faster_rcnn')
matrix = dict(
    detectors=list(_frameworks),
    patches=dict(
        clean=dict(),
        grey=dict(patch=dict(type='constant', value=0.5)),
        noise=dict(patch=dict(type='noise', seed=0)),
        **{
            f'patch_iou of {_name}': dict(
                attack=dict(method='patch_iou', detector=_name)
            )
            for _name in _frameworks
        },
    ),
)
