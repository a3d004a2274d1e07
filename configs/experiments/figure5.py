# Figure 5: Patch-IoU over scales, locations and frameworks; noise of each scale.
_base_ = ['_base_/subset_zoo.py', '_base_/inits.py']
title = 'Figure 5: scales, locations and frameworks'
figure = 'gallery'
entries = [
    *(
        dict(
            name=f'alpha {_alpha}',
            attack=dict(method='patch_iou'),
            placement=dict(alpha=_alpha),
        )
        for _alpha in (0.3, 0.35, 0.4)
    ),
    *(
        dict(
            name=f'{_location}',
            attack=dict(method='patch_iou'),
            placement=dict(center=_location),
        )
        for _location in ('top', 'middle', 'bottom')
    ),
    *(
        dict(
            name=f'noise, alpha {_alpha}',
            patch={{_base_.inits.noise}},
            placement=dict(alpha=_alpha),
        )
        for _alpha in (0.3, 0.35, 0.4)
    ),
    *(
        dict(name=_detector, detector=_detector, attack=dict(method='patch_iou'))
        for _detector in ('ssd', 'retinanet', 'faster_rcnn')
    ),
]
