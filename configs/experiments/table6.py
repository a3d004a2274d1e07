# Table 6: five locations; beside the paper's, noise at each.
_base_ = ['_base_/subset_zoo.py', '_base_/inits.py']
title = 'Table 6: locations of the patch'
_subsets = ('easy', 'medium', 'hard', 'all')
_methods = ('patch_score', 'patch_score_focal', 'patch_combination')
_numbers = {
    'top': (
        '98.5/25.9 99.0/20.0 99.0/8.5 99.0/6.8',
        '98.4/23.4 98.9/18.1 98.9/7.7 98.9/6.2',
        '98.2/20.6 98.7/15.7 98.8/6.7 98.8/5.3',
    ),
    'top_middle': (
        '97.9/17.1 98.7/14.8 98.7/6.3 98.7/5.1',
        '97.7/15.1 98.6/12.9 98.6/5.5 98.6/4.5',
        '97.7/15.3 98.6/13.0 98.6/5.6 98.6/4.5',
    ),
    'middle': (
        '97.9/17.9 98.6/15.0 98.7/6.1 98.7/5.2',
        '97.5/14.6 98.3/12.1 98.4/5.2 98.4/4.2',
        '97.5/14.8 98.3/11.8 98.4/5.0 98.4/4.0',
    ),
    'middle_bottom': (
        '98.1/24.1 98.7/18.5 98.7/7.8 98.7/6.3',
        '98.4/25.1 98.8/18.3 98.8/7.8 98.8/6.2',
        '98.3/23.3 98.7/15.8 98.7/6.7 98.7/5.4',
    ),
    # The paper's text lacks most of the first line.
    'bottom': (
        '- 99.3/31.1 - -',
        '98.8/38.8 99.2/31.2 99.2/13.3 98.8/10.7',
        '98.8/39.0 99.2/28.8 99.2/12.1 98.7/9.7',
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
            name=f'{_location}, {_method}',
            attack=dict(method=_method),
            placement=dict(center=_location),
            paper=dict(zip(_subsets, _row.split())),
        )
        for _location, _rows in _numbers.items()
        for _method, _row in zip(_methods, _rows)
    ),
    *(
        dict(
            name=f'{_location}, noise',
            patch={{_base_.inits.noise}},
            placement=dict(center=_location),
        )
        for _location in _numbers
    ),
]
