"""Tables and files."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from mmdet_facepatch.evaluation.report import (
    SCHEMA_VERSION,
    format_report,
    load_report,
    report_to_markdown,
    save_report,
)

SUBSETS = ('easy', 'medium', 'hard', 'all')


def metrics(precision, recall, delta=0.75, on_patch=None, prefix='face/'):
    values = {'calibrated_delta': delta, 'num_images': 115.0}
    for subset in SUBSETS:
        values[f'{subset}/AP'] = recall
        values[f'{subset}/num_faces'] = 12.0
        for name in ('0.99', '0.9', 'calibrated'):
            values[f'{subset}/precision@{name}'] = precision
            values[f'{subset}/recall@{name}'] = recall
            if on_patch is not None:
                values[f'{subset}/on_patch@{name}'] = on_patch
    return {prefix + key: value for key, value in values.items()}


CONDITIONS = {
    'clean': metrics(0.99, 0.734),
    'noise': metrics(1.0, 0.25, on_patch=0.0),
    'patch': metrics(math.nan, 0.0, on_patch=31.0),
}

EXPECTED = """\
115 images

precision/recall (%) at delta 0.99
--------------------------------------------------------------------------
condition         Easy       Medium         Hard          All     on patch
--------------------------------------------------------------------------
clean        99.0/73.4    99.0/73.4    99.0/73.4    99.0/73.4            -
noise       100.0/25.0   100.0/25.0   100.0/25.0   100.0/25.0            0
patch            -/0.0        -/0.0        -/0.0        -/0.0           31

AP
-------------------------------------------------------------
condition         Easy       Medium         Hard          All
-------------------------------------------------------------
clean           0.7340       0.7340       0.7340       0.7340
noise           0.2500       0.2500       0.2500       0.2500
patch           0.0000       0.0000       0.0000       0.0000"""


def test_layout():
    text = format_report(CONDITIONS, deltas=['0.99'], caption='115 images')
    assert text == EXPECTED


def test_fits_a_terminal():
    conditions = {'patch_combination_from_a_photo'[:30]: metrics(1.0, 1.0, 1, 123456)}
    text = format_report({**CONDITIONS, **conditions})
    assert max(map(len, text.splitlines())) <= 100


def test_blocks_in_order():
    text = format_report(CONDITIONS)
    titles = [line for line in text.splitlines() if 'delta' in line or line == 'AP']
    assert titles == [
        'precision/recall (%) at delta 0.99',
        'precision/recall (%) at delta 0.9',
        'precision/recall (%) at delta calibrated (0.75)',
        'AP',
    ]


def test_calibrated_delta_in_the_title():
    never = format_report({'clean': metrics(0.9, 0.5, delta=math.nan)})
    assert 'delta calibrated (precision never reached)' in never
    two = {'a': metrics(1, 1, delta=0.5), 'b': metrics(1, 1, delta=0.25)}
    assert 'delta calibrated (0.5, 0.25)' in format_report(two)


def test_on_patch_only_where_measured():
    assert 'on patch' not in format_report({'clean': CONDITIONS['clean']})


def test_prefix_is_optional():
    bare = {'clean': metrics(0.99, 0.734, prefix='')}
    assert format_report(bare) == format_report({'clean': CONDITIONS['clean']})
    other = {'clean': metrics(0.99, 0.734, prefix='val/')}
    assert format_report(other, prefix='val') == format_report(bare)


def test_missing_subset_is_a_dash():
    values = metrics(0.5, 0.5)
    only_all = {k: v for k, v in values.items() if '/easy/' not in k}
    lines = format_report({'a': values, 'b': only_all}, deltas=['0.9']).splitlines()
    row = next(line for line in lines if line.startswith('b'))
    assert row.split()[1:] == ['-/-', '50.0/50.0', '50.0/50.0', '50.0/50.0']


def test_markdown():
    lines = report_to_markdown(
        {'a|b': metrics(0.99, 0.734)}, deltas=['0.99'], caption='Text.'
    ).splitlines()
    assert lines == [
        'Text.',
        '',
        '**precision/recall (%) at delta 0.99**',
        '',
        '| condition | Easy | Medium | Hard | All |',
        '| --- | ---: | ---: | ---: | ---: |',
        '| a\\|b | 99.0/73.4 | 99.0/73.4 | 99.0/73.4 | 99.0/73.4 |',
        '',
        '**AP**',
        '',
        '| condition | Easy | Medium | Hard | All |',
        '| --- | ---: | ---: | ---: | ---: |',
        '| a\\|b | 0.7340 | 0.7340 | 0.7340 | 0.7340 |',
    ]


def test_wrong_arguments():
    with pytest.raises(ValueError, match='no condition'):
        format_report({})
    with pytest.raises(ValueError, match="'grey' has no metric.*loss"):
        format_report({**CONDITIONS, 'grey': {'loss': 1.0}})
    with pytest.raises(ValueError, match=r"\['0.7'\] was not measured"):
        format_report(CONDITIONS, deltas=['0.7'])


def test_file_round_trip(tmp_path):
    path = tmp_path / 'report.json'
    protocol = dict(scales=(0.5, 1), score_thr=np.float32(0.5), subset=None)
    save_report(path, CONDITIONS, protocol, extra=dict(seed=3))
    raw = json.loads(path.read_text())
    assert raw['schema_version'] == SCHEMA_VERSION
    assert raw['protocol'] == dict(scales=[0.5, 1], score_thr=0.5, subset=None)
    assert raw['seed'] == 3
    assert raw['conditions']['patch']['face/all/precision@0.99'] is None
    assert list(raw['conditions']) == ['clean', 'noise', 'patch']
    loaded = load_report(path)
    assert math.isnan(loaded['conditions']['patch']['face/all/precision@0.99'])
    assert format_report(loaded['conditions']) == format_report(CONDITIONS)
    assert [file.name for file in tmp_path.iterdir()] == ['report.json']


def test_a_failed_write_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = tmp_path / 'report.json'
    save_report(path, CONDITIONS, {})
    before = path.read_text()
    with pytest.raises(ValueError):
        save_report(path, {'a': {'all/AP': math.inf}}, {})
    with pytest.raises(TypeError):
        save_report(path, CONDITIONS, dict(nms=object()))
    with pytest.raises(ValueError, match=r"extra must not contain \['protocol'\]"):
        save_report(path, CONDITIONS, {}, extra=dict(protocol=1))

    def full_disk(_):
        raise OSError('No space left on device')

    monkeypatch.setattr('os.fsync', full_disk)
    with pytest.raises(OSError, match='No space'):
        save_report(path, {}, {})
    assert path.read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ['report.json']


def test_other_files_are_refused(tmp_path):
    path = tmp_path / 'report.json'
    path.write_text('{')
    with pytest.raises(ValueError, match='report.json is not a JSON file'):
        load_report(path)
    path.write_text('[]')
    with pytest.raises(ValueError, match='schema_version is None'):
        load_report(path)
    path.write_text('{"schema_version": 999}')
    with pytest.raises(ValueError, match='schema_version is 999'):
        load_report(path)
