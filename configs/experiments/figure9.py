# Figure 9: two disjoint halves of the training images (without those held out).
_base_ = ['_base_/subset_zoo.py']
title = 'Figure 9: patches of two halves of the training data'
figure = 'evolution'
entries = [
    dict(name='clean'),
    *(
        dict(name=f'half {_half + 1}', attack=dict(method='patch_iou', half=_half))
        for _half in (0, 1)
    ),
]
