# Figure 5: Patch-IoU over scales, locations, backbones and frameworks, and noise at the
# same places.
_base_ = ['_base_/subset_zoo.py', '_base_/inits.py']
title = 'Figure 5: scales, locations, backbones and frameworks'
figure = 'gallery'
_noise = {{_base_.inits.noise}}
_settings = {
    **{
        f'alpha {_alpha}': dict(placement=dict(alpha=_alpha))
        for _alpha in (0.3, 0.35, 0.4)
    },
    **{
        _location: dict(placement=dict(center=_location))
        for _location in ('top', 'middle', 'bottom')
    },
    **{
        _detector: dict(detector=_detector)
        for _detector in ('sln_r18w32', 'ssd', 'retinanet', 'faster_rcnn')
    },
}
entries = [
    dict(name='clean'),
    *(
        dict(name=f'clean, {_detector}', detector=_detector)
        for _detector in ('sln_r18w32', 'ssd', 'retinanet', 'faster_rcnn')
    ),
    *(
        dict(_setting, name=f'noise, {_name}', patch=_noise)
        for _name, _setting in _settings.items()
    ),
    *(
        dict(_setting, name=_name, attack=dict(method='patch_iou'))
        for _name, _setting in _settings.items()
    ),
]
