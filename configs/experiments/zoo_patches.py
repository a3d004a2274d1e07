# Patches for each detector of the zoo and method, from noise, with three seeds, beside
# clean images and what is not optimised: grey, noise, photographs of an object and of
# a face.
_base_ = ['_base_/subset_zoo.py', '_base_/inits.py']
title = 'Patches of four methods for the detectors of the zoo'
figure = 'gallery'
seeds = (0, 1, 2)
_detectors = ('sln', 'ssd', 'retinanet', 'faster_rcnn', 'sln_r18w32')
_methods = ('patch_iou', 'patch_score', 'patch_score_focal', 'patch_combination')
_controls = dict(
    grey=dict(type='constant', value=0.5),
    noise={{_base_.inits.noise}},
    object={{_base_.inits.coffee}},
    face={{_base_.inits.face_a}},
)
entries = []
for _detector in _detectors:
    entries.append(dict(name=f'{_detector}: clean', detector=_detector))
    for _control, _init in _controls.items():
        entries.append(
            dict(name=f'{_detector}: {_control}', detector=_detector, patch=_init)
        )
    for _method in _methods:
        entries.append(
            dict(
                name=f'{_detector}: {_method}',
                detector=_detector,
                attack=dict(method=_method),
            )
        )
