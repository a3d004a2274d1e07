# Figure 8: Threshold-F_beta curves of the four methods.
_base_ = ['_base_/subset_zoo.py']
title = 'Figure 8: Threshold-F_beta curves'
figure = 'f_beta'
seeds = (0, 1, 2)
entries = [
    dict(name='clean'),
    dict(name='noise', patch=dict(type='noise', seed=0)),
    *(
        dict(name=_method, attack=dict(method=_method))
        for _method in (
            'patch_iou',
            'patch_score',
            'patch_score_focal',
            'patch_combination',
        )
    ),
]
