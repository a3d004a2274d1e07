# Table 5: the patch shrunk after optimising.
_base_ = ['_base_/subset_zoo.py']
title = 'Table 5: patches at 90 to 60 % of their size'
_subsets = ('easy', 'medium', 'hard', 'all')
_methods = ('patch_score', 'patch_score_focal', 'patch_combination')
_numbers = {
    0.9: (
        '98.9/40.0 99.3/30.7 99.2/13.0 99.3/10.5',
        '98.9/37.7 99.2/29.5 99.2/12.5 99.2/10.0',
        '98.9/35.4 99.2/27.0 99.2/11.5 99.2/9.2',
    ),
    0.8: (
        '99.1/50.1 99.4/39.7 99.4/16.9 99.4/13.6',
        '99.1/49.2 99.4/39.1 99.4/16.8 99.4/13.3',
        '99.1/46.7 99.4/36.1 99.4/15.4 99.4/12.4',
    ),
    0.7: (
        '99.2/58.7 99.5/47.0 99.5/20.0 99.5/16.1',
        '99.2/58.2 99.5/46.6 99.5/19.8 99.5/15.9',
        '99.2/55.9 99.4/44.3 99.4/18.9 99.4/15.2',
    ),
    0.6: (
        '99.1/64.2 99.4/52.0 99.4/22.2 99.4/17.9',
        '99.1/63.9 99.4/51.8 99.4/22.1 99.4/17.8',
        '99.1/62.5 99.4/50.2 99.4/21.4 99.4/17.2',
    ),
}
entries = [
    dict(
        name='Baseline-SLN',
        paper=dict(
            easy='99.0/73.4', medium='99.4/62.4', hard='99.4/27.9', all='99.4/22.5'
        ),
    ),
    *(
        dict(
            name=f'{100 * _scale:.0f} %, {_method}',
            attack=dict(method=_method),
            scale=_scale,
            paper=dict(zip(_subsets, _row.split())),
        )
        for _scale, _rows in _numbers.items()
        for _method, _row in zip(_methods, _rows)
    ),
]
