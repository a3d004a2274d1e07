# The patches that the package ships, each evaluated on the detector that it was
# optimised on. They are those of Tables 1 to 3 and Figures 5 and 9: no run is new.
_base_ = ['_base_/subset_zoo.py']
title = 'Published patches'
figure = 'gallery'
entries = [
    *(
        dict(
            name=f'sln: {_method}, seed {_seed}',
            attack=dict(method=_method, seed=_seed),
        )
        for _method in (
            'patch_iou',
            'patch_score',
            'patch_score_focal',
            'patch_combination',
        )
        for _seed in (0, 1, 2)
    ),
    *(
        dict(
            name=f'sln: patch_iou, half {_half + 1}',
            attack=dict(method='patch_iou', half=_half),
        )
        for _half in (0, 1)
    ),
    *(
        dict(
            name=f'{_detector}: patch_iou, seed 0',
            detector=_detector,
            attack=dict(method='patch_iou', seed=0),
        )
        for _detector in ('ssd', 'retinanet', 'faster_rcnn', 'sln_r18w32')
    ),
]
