"""Tables and files."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from mmdet_facepatch.evaluation.functional.bootstrap import Interval
from mmdet_facepatch.evaluation.functional.evaluate import evaluate_faces
from mmdet_facepatch.evaluation.functional.face_evaluation import EvaluationSettings
from mmdet_facepatch.evaluation.functional.faces import ImageRecord
from mmdet_facepatch.evaluation.report import (
    SCHEMA_VERSION,
    load_report,
    save_curves,
    save_report,
)
from mmdet_facepatch.evaluation.report_tables import (
    describe_areas,
    format_report,
    report_to_markdown,
)

SUBSETS = ('easy', 'medium', 'hard', 'all')


def metrics(precision, recall, delta=0.75, on_patch=None):
    values = {'calibrated_delta': delta, 'num_images': 115.0}
    values |= {'margin_low': -4.595, 'margin_high': 12.5}
    for subset in SUBSETS:
        values[f'{subset}/AP'] = recall
        values[f'{subset}/AF0.5'] = recall / 2
        values[f'{subset}/AF0.5+'] = recall / 4
        values[f'{subset}/num_faces'] = 12.0
        for name in ('0.99', '0.9', 'calibrated'):
            values[f'{subset}/precision@{name}'] = precision
            values[f'{subset}/recall@{name}'] = recall
            values[f'{subset}/true_positives@{name}'] = 7.0
            values[f'{subset}/duplicates@{name}'] = 1.0
            values[f'{subset}/other_false_positives@{name}'] = 2.0
            values[f'silent_images@{name}'] = 0.25
            values[f'height:16-32/precision@{name}'] = precision
            values[f'height:16-32/recall@{name}'] = recall / 4
            if on_patch is not None:
                values[f'{subset}/on_patch@{name}'] = on_patch
    return values


CONDITIONS = {
    'clean': metrics(0.99, 0.734),
    'noise': metrics(1.0, 0.25, on_patch=0.0),
    'patch': metrics(math.nan, 0.0, on_patch=31.0),
}

EXPECTED = """\
115 images

precision/recall (%) at delta 0.99
condition          Easy      Medium        Hard         All    on patch
-----------  ----------  ----------  ----------  ----------  ----------
clean         99.0/73.4   99.0/73.4   99.0/73.4   99.0/73.4           -
noise        100.0/25.0  100.0/25.0  100.0/25.0  100.0/25.0           0
patch             -/0.0       -/0.0       -/0.0       -/0.0          31

AP
condition      Easy    Medium    Hard     All
-----------  ------  --------  ------  ------
clean        0.7340    0.7340  0.7340  0.7340
noise        0.2500    0.2500  0.2500  0.2500
patch        0.0000    0.0000  0.0000  0.0000

AF_beta, All, over s from -4.595 to 12.5/over s >= 0
condition         beta 0.5
-----------  -------------
clean        0.3670/0.1835
noise        0.1250/0.0625
patch        0.0000/0.0000

AF_beta over s from -4.595 to 12.5 and over s >= 0; 37 % (beta 0.5) of the area of clean
lies at s >= 0; attacks that select S > 0.5 have no samples below.

detections, All, and images without any (silent) at delta 0.99
condition      true pos.    duplicates    on patch    other false    silent (%)
-----------  -----------  ------------  ----------  -------------  ------------
clean                  7             1           -              2          25.0
noise                  7             1           0              2          25.0
patch                  7             1          31              2          25.0

precision/recall (%) by face height in pixels at delta 0.99
condition        16-32
-----------  ---------
clean        99.0/18.4
noise        100.0/6.2
patch            -/0.0"""


def test_layout():
    text = format_report(CONDITIONS, deltas=['0.99'], caption='115 images')
    assert text == EXPECTED


def test_fits_a_terminal():
    conditions = {'patch_combination_from_a_photo'[:30]: metrics(1.0, 1.0, 1, 123456)}
    text = format_report({**CONDITIONS, **conditions})
    assert max(map(len, text.splitlines())) <= 100


def test_blocks_in_order():
    text = format_report(CONDITIONS)
    found = (block.partition('\n')[0] for block in text.split('\n\n'))
    titles = [line for line in found if not line.startswith('AF_beta over')]
    assert titles == [
        'precision/recall (%) at delta 0.99',
        'precision/recall (%) at delta 0.9',
        'precision/recall (%) at delta calibrated (0.75)',
        'AP',
        'AF_beta, All, over s from -4.595 to 12.5/over s >= 0',
        'detections, All, and images without any (silent) at delta calibrated',
        'precision/recall (%) by face height in pixels at delta calibrated',
    ]


def test_calibrated_delta_in_the_title():
    never = format_report({'clean': metrics(0.9, 0.5, delta=math.nan)})
    assert 'delta calibrated (precision never reached)' in never
    two = {'a': metrics(1, 1, delta=0.5), 'b': metrics(1, 1, delta=0.25)}
    assert 'delta calibrated (0.5, 0.25)' in format_report(two)


def test_on_patch_only_where_measured():
    assert 'on patch' not in format_report({'clean': CONDITIONS['clean']})


def test_intervals():
    found = {
        'all/recall@calibrated': Interval(0.7, 0.75),
        'all/AF0.5': Interval(0.3, 0.4),
    }
    intervals = {'clean': found}
    lines = format_report(CONDITIONS, intervals).splitlines()
    title = lines.index('intervals by bootstrap over images, All, at delta calibrated')
    assert lines[title + 3].split() == ['clean', '-', '[70.0,', '75.0]']
    assert lines[title + 4].split() == ['noise', '-', '-']
    areas = lines.index('intervals by bootstrap over images, All')
    assert lines[areas + 1].split() == ['condition', 'AP', 'AF0.5', 'AF0.5+']
    assert lines[areas + 3].split() == ['clean', '-', '[0.300,', '0.400]', '-']
    assert not any('bootstrap' in line for line in format_report(CONDITIONS).split())


def test_ranges_of_areas():
    """Of several where conditions differ, none where nothing was detected."""
    other = metrics(0.5, 0.5) | {'margin_low': math.nan, 'margin_high': math.nan}
    text = format_report({'a': metrics(0.5, 0.5), 'b': other})
    assert 'AF_beta, All, over s from -4.595 to 12.5, - to -/over s >= 0' in text


def test_share_of_the_area():
    """0.3670 * 17.095 over all, of which 0.1835 * 12.5 lie at s >= 0."""
    assert describe_areas('clean', metrics(0.99, 0.734)) == (
        'AF_beta over s from -4.595 to 12.5 and over s >= 0; 37 % (beta 0.5) of the '
        'area of clean lies at s >= 0; attacks that select S > 0.5 have no samples '
        'below.'
    )
    record = {'margin_low': None, 'margin_high': None, 'all/AF0.5': None}
    assert 'AF_beta has no range' in describe_areas('clean', record)


def test_missing_subset_is_a_dash():
    values = metrics(0.5, 0.5)
    only_all = {k: v for k, v in values.items() if not k.startswith('easy/')}
    lines = format_report({'a': values, 'b': only_all}, deltas=['0.9']).splitlines()
    row = next(line for line in lines if line.startswith('b'))
    assert row.split()[1:] == ['-/-', '50.0/50.0', '50.0/50.0', '50.0/50.0']


def test_markdown():
    lines = report_to_markdown(
        {'a|b': metrics(0.99, 0.734)}, deltas=['0.99'], caption='Text.'
    ).splitlines()
    assert lines[:14] == [
        'Text.',
        '',
        '**precision/recall (%) at delta 0.99**',
        '',
        '| condition   |      Easy |    Medium |      Hard |       All |',
        '|:------------|----------:|----------:|----------:|----------:|',
        '| a\\|b        | 99.0/73.4 | 99.0/73.4 | 99.0/73.4 | 99.0/73.4 |',
        '',
        '**AP**',
        '',
        '| condition   |   Easy |   Medium |   Hard |    All |',
        '|:------------|-------:|---------:|-------:|-------:|',
        '| a\\|b        | 0.7340 |   0.7340 | 0.7340 | 0.7340 |',
        '',
    ]


def test_markdown_has_attributes():
    values = metrics(0.99, 0.734)
    for name, recall in (('clear', 0.9), ('normal', 0.5), ('heavy', math.nan)):
        values[f'blur:{name}/recall@calibrated'] = recall
    text = report_to_markdown({'clean': values})
    # A line that began with >= would be a quotation.
    assert f'\n\n{describe_areas("clean", values)}\n\n' in text
    assert '**recall (%) by blur at delta calibrated**' in text
    assert text.endswith('| clean       |    90.0 |     50.0 |       - |')
    assert 'by pose' not in text


def test_wrong_arguments():
    with pytest.raises(ValueError, match='no condition'):
        format_report({})
    with pytest.raises(ValueError, match="'grey' has no metric.*loss"):
        format_report({**CONDITIONS, 'grey': {'loss': 1.0}})
    with pytest.raises(ValueError, match=r"\['0.7'\] was not measured"):
        format_report(CONDITIONS, deltas=['0.7'])


def evaluations(**settings):
    """A clean and an attacked run of two images."""
    settings = EvaluationSettings(bootstrap=20, deltas=(0.9,), **settings)
    face, elsewhere = [10.0, 10, 29, 29], [60.0, 60, 79, 79]
    result = {}
    patched = [[0, 0, 5, 5]]
    for name, margin, patches in (('clean', 3.0, None), ('patch', -1.0, patched)):
        records = [
            ImageRecord(
                img_id=f'e/{i}',
                det_boxes=np.array([face, elsewhere]),
                det_scores=1 / (1 + np.exp(-np.array([margin + i, -3.0]))),
                gt_boxes=np.array([face]),
                det_margins=np.array([margin + i, -3.0]),
                patch_boxes=None if patches is None else np.array(patches),
            )
            for i in range(2)
        ]
        clean = result.get('clean')
        result[name] = evaluate_faces(records, settings, clean and clean.reference)
    return result


def test_file_round_trip(tmp_path):
    path = tmp_path / 'report.json'
    found = evaluations()
    protocol = dict(scales=(0.5, 1), score_thr=np.float32(0.5), subset=None)
    save_report(path, found, protocol)
    raw = json.loads(path.read_text())
    assert raw['schema_version'] == SCHEMA_VERSION == 4
    settings = raw['protocol'].pop('settings')
    assert settings['deltas'] == [0.9] and settings['margin_range'] is None
    assert raw['protocol'] == dict(scales=[0.5, 1], score_thr=0.5, subset=None)
    assert list(raw['conditions']) == ['clean', 'patch']
    assert raw['conditions']['clean']['data']['confidence'] == 'margins'
    assert raw['conditions']['patch']['numbers']['all/precision@0.9'] is None
    loaded = load_report(path)
    for name, evaluation in found.items():
        numbers = loaded['conditions'][name]['numbers']
        assert numbers == pytest.approx(dict(evaluation.numbers), abs=0, nan_ok=True)
        for key, interval in loaded['conditions'][name]['intervals'].items():
            assert repr(interval) == repr(evaluation.intervals[key])
    assert [file.name for file in tmp_path.iterdir()] == ['report.json']


def test_comparison_with_the_first_condition(tmp_path):
    path = tmp_path / 'report.json'
    found = evaluations()
    save_report(path, found, {})
    comparisons = load_report(path)['comparisons']
    assert list(comparisons) == ['patch']
    assert comparisons['patch']['reference'] == 'clean'
    difference = comparisons['patch']['differences']['all/AF0.5']
    assert set(difference) == {'value', 'low', 'high', 'undefined'}
    clean, patch = (found[name].numbers['all/AF0.5'] for name in ('clean', 'patch'))
    assert difference['value'] == patch - clean < 0
    assert difference['low'] <= difference['value'] <= difference['high']


def test_curves_of_all_conditions(tmp_path):
    found = evaluations()
    save_curves(tmp_path / 'curves.npz', found)
    with np.load(tmp_path / 'curves.npz', allow_pickle=False) as content:
        assert len(content['clean/margin_thresholds']) == 1001
        for name, evaluation in found.items():
            for key, values in evaluation.curves.items():
                assert np.array_equal(content[f'{name}/{key}'], values, equal_nan=True)
    assert [file.name for file in tmp_path.iterdir()] == ['curves.npz']


def test_a_failed_write_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = tmp_path / 'report.json'
    found = evaluations()
    save_report(path, found, {})
    before = path.read_text()
    infinite = replace(found['clean'], numbers={'all/AP': math.inf})
    with pytest.raises(ValueError):
        save_report(path, {'clean': infinite}, {})
    with pytest.raises(TypeError):
        save_report(path, found, dict(nms=object()))
    with pytest.raises(ValueError, match="protocol must not have 'settings'"):
        save_report(path, found, dict(settings=1))
    with pytest.raises(ValueError, match='no condition'):
        save_report(path, {}, {})

    def full_disk(_):
        raise OSError('No space left on device')

    monkeypatch.setattr('os.fsync', full_disk)
    with pytest.raises(OSError, match='No space'):
        save_report(path, found, {})
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
