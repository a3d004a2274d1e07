# Table 7: patches of one backbone on others, all trained on the whole of WIDER FACE.
_base_ = ['_base_/widerface_zoo.py']
title = 'Table 7: transfer from ResNet-18 to other backbones'
_subsets = ('easy', 'medium', 'hard', 'all')
_numbers = {
    'sln_r50': (
        '99.0/81.9 99.4/75.2 99.6/40.3 99.6/32.5',
        '98.8/46.1 99.2/36.0 99.2/15.4 99.2/12.4',
        '98.9/47.6 99.2/37.2 99.2/15.9 99.2/12.8',
    ),
    'sln_r101': (
        '99.0/83.6 99.4/77.1 99.6/39.8 99.6/32.1',
        '98.9/54.5 99.3/45.2 99.3/19.3 99.3/15.6',
        '99.0/56.0 99.3/46.7 99.4/20.0 99.4/16.1',
    ),
    'sln_x101': (
        '99.0/82.7 99.4/75.6 99.6/41.0 99.6/33.0',
        '98.9/54.6 99.2/42.3 99.3/17.9 99.3/14.2',
        '98.3/55.7 98.7/43.4 98.7/18.4 98.7/14.8',
    ),
}
entries = []
for _detector, _rows in _numbers.items():
    for _method, _row in zip((None, 'patch_score_focal', 'patch_combination'), _rows):
        _entry = dict(
            name=f'{_detector}, {_method or "clean"}',
            detector=_detector,
            paper=dict(zip(_subsets, _row.split())),
        )
        if _method:
            _entry['attack'] = dict(method=_method, detector='sln')
        entries.append(_entry)
