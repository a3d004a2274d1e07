# Table 4: parts of the patch removed after Patch-IoU.
_base_ = ['_base_/subset_zoo.py']
title = 'Table 4: parts of a patch removed'
_subsets = ('easy', 'medium', 'hard', 'all')
_parts = {
    'top_half': '93.3/38.8 95.9/35.6 96.1/15.6 96.1/12.5',
    'bottom_half': '99.2/47.4 99.5/40.1 99.5/17.2 99.5/13.8',
    'left_half': '98.5/41.2 99.1/36.3 99.1/15.8 99.1/12.7',
    'right_half': '82.0/30.6 88.8/28.7 89.2/12.5 89.2/10.1',
    'top_third': '25.3/18.7 39.1/19.1 40.6/8.5 40.6/6.8',
    'bottom_third': '74.6/23.0 83.2/12.0 83.7/9.1 83.7/7.3',
    'left_third': '88.1/24.1 92.9/22.8 93.2/10.1 93.2/8.1',
    'right_third': '12.8/11.9 22.44/12.7 23.6/5.7 23.6/4.6',
}
entries = [
    dict(
        name='Baseline-SLN',
        paper=dict(
            easy='99.0/73.4', medium='99.4/62.4', hard='99.4/27.9', all='99.4/22.5'
        ),
    ),
    dict(
        name='whole',
        attack=dict(method='patch_iou'),
        paper=dict(easy='2.7/2.7', medium='6.5/3.7', hard='7.3/1.8', all='7.3/1.4'),
    ),
]
for _part, _numbers in _parts.items():
    entries.append(
        dict(
            name=f'without {_part}',
            attack=dict(method='patch_iou'),
            removed=_part,
            paper=dict(zip(_subsets, _numbers.split())),
        )
    )
