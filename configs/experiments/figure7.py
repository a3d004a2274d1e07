# Figure 7: the patches of the four methods.
_base_ = ['_base_/subset_zoo.py']
title = 'Figure 7: patches of the four methods'
figure = 'gallery'
entries = [
    dict(name=_method, attack=dict(method=_method))
    for _method in (
        'patch_iou',
        'patch_score',
        'patch_score_focal',
        'patch_combination',
    )
]
