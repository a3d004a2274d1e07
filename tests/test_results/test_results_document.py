"""RESULTS.md from made-up results, as a fresh clone would write it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdet_facepatch.engine.experiment_tables import experiment_tables, merge_seeds
from mmdet_facepatch.engine.manifest import portable
from mmdet_facepatch.results import SECTIONS, collect, read_entries, results_document
from mmdet_facepatch.results.collect import reduced_picture
from mmdet_facepatch.results.findings import findings_blocks

ROOT = Path(__file__).resolve().parents[2]


def row(name, recall=None, group=None, seed=None, shows='attack', precision=0.9):
    numbers = {} if recall is None else {
        'all/AP': 0.5, 'all/precision@calibrated': precision,
        'all/recall@calibrated': recall, 'all/precision@0.99': precision,
        'all/recall@0.99': recall, 'all/AF0.5': 0.05, 'calibrated_delta': 0.9936}
    attack = dict(steps=870, batch_size=4, processes=1, seconds=90, seed=seed or 0,
                  device='cpu') if recall and shows == 'attack' else None
    return dict(
        name=name, group=group, seed=seed, detector='sln', shows=shows,
        paper=dict(all='7.3/1.4'), numbers=numbers,
        intervals={'all/recall@calibrated': [recall - 0.01, recall + 0.02]}
        if recall else {}, folder='evaluation/x' if recall else None,
        attack_folder=f'attack/{name}' if attack else None,
        manifest=dict(evaluation=None, attack=attack))


@pytest.fixture
def kept(tmp_path):
    """An experiment with seeds, and findings."""
    root = tmp_path / '.results'
    data = dict(type='WiderFaceDataset', annotation='val.txt', images=115, faces=3948,
                num_events=1, events=['0--Parade'])
    trained = dict(data, annotation='train.txt', images=580, faces=7000, num_events=2,
                   events=['0--Parade', '1--Handshaking'])
    contents = {
        'table1_subset/table': dict(
            kind='experiment', title='Table 1', config='configs/experiments/table1.py',
            command='python tools/experiment.py configs/experiments/table1.py',
            data='subset', seeds=[0, 1], data_sets=dict(
                reported=data, optimised=dict(trained, images=556),
                detectors=dict(sln=trained)),
            detectors=dict(sln=dict(
                config='c.py', checkpoint='facepatch://sln_mbv2_widerface_subset')),
            matrix=None, cells=[
                row('clean', 0.083, shows='clean'),
                row('noise, seed 0', 0.01, 'noise', 0),
                row('noise, seed 1', 0.03, 'noise', 1, precision=None),
                row('coffee')]),
        'paper_subset/findings': dict(
            kind='findings', title='Findings', config='configs/findings/paper.py',
            command='python tools/findings.py configs/findings/paper.py',
            data='subset', findings=[dict(
                key='a', claim='suppresses', verdict='agrees', checks=[dict(
                    statement='less', verdict='agrees', number='all/recall@calibrated',
                    expect='below', factor=0.5, margin=0, results=[dict(
                        cell='p', reference='noise', value=0.01, reference_value=0.02,
                        difference=-0.01, low=-0.02, high=-0.005,
                        verdict='agrees')])])]),
        'likeness/face_likeness': dict(
            title='Likeness', manifest=dict(command='python tools/face_likeness.py x'),
            results=[dict(detector='mtcnn', patch=patch, background='grey', side=side,
                          mean=mean, highest=1, scores=[mean])
                     for patch, side, mean in (('p', 16, 0.25), ('p', 32, 0.5),
                                               ('noise', 16, 0), ('noise', 32, 0))]),
    }
    for name, content in contents.items():
        path = root / f'{name}.json'
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    Image.new('RGB', (8, 8)).save(root / 'table1_subset' / 'figure.png')
    return root


class TestDocument:

    def test_says_what_the_data_is(self, kept, tmp_path):
        text = results_document(read_entries(kept), ROOT, tmp_path)
        assert ('Reported on: 115 images with 3,948 faces of `val.txt`, 1 event '
                '(0--Parade).') in text
        assert 'not comparable with published ones' in text
        assert 'Detectors sln trained on: 580 images' in text
        assert '2 events (0--Parade, 1--Handshaking)' in text

    def test_sections(self, kept, tmp_path):
        text = results_document(read_entries(kept), ROOT, tmp_path)
        places = [text.index(f'## {title}') for title in (
            'Findings', 'Table 1', 'Likeness', 'Detectors', 'Not run')]
        assert places == sorted(places)
        assert '3 of 4 cells have been run' in text
        assert '| noise | 7.3/1.4 | 90.0*/2.0 |' in text
        assert '| coffee | 7.3/1.4 | - |' in text
        assert '| noise, seed 0 | 90.0 | 1.0 [0.0, 3.0] |' in text
        assert ('| noise, mean (lowest..highest) | 90.0 (90.0..90.0), 1 of 2 without | '
                '2.0 (1.0..3.0) |') in text
        assert 'p: 1.0, noise: 2.0; difference to 0.5 x that -1.0 points' in text
        assert '| p | 25.0 | 50.0 |' in text
        assert ('**On grey, at the side where it is highest**\n\n| | mtcnn |\n'
                '|---|---:|\n| p | 50.0 |\n| noise | 0.0 |\n') in text
        # A table within is one only after an empty line.
        assert ('<details>\n<summary>On grey, by side</summary>\n\n'
                '**On grey, mtcnn**\n\n| | 16 px | 32 px |') in text
        assert text.count('<details>\n') == text.count('\n\n</details>\n\n') == 2
        assert '![Table 1: figure](.results/table1_subset/figure.png)' in text
        assert '(.results/table1_subset/table.json)' in text
        assert 'Attacks: 2; steps 870 of 4 images; minutes 1.5 each (cpu)' in text
        assert 'python tools/face_likeness.py x' in text
        card = 'mmdet_facepatch/zoo/sln_mbv2_widerface_subset.md'
        assert f'{card})' in text

    def test_names_checks_that_are_not_measured(self):
        checks = [dict(statement=f's{index}', verdict='not measured', results=[])
                  for index in range(6)]
        checks.append(dict(statement='t', verdict='not measured', results=[
            dict(verdict='not measured', reason='no patch')]))
        *_, last = findings_blocks(dict(findings=[dict(
            key='a', claim='c', verdict='not measured', checks=checks)]))
        assert last.startswith('Not measured, ')
        assert 's0; s1; s2; s3; and 2 more' in last and 'no patch: t.' in last
        assert 's4' not in last

    def test_names_what_is_not_run(self, kept, tmp_path):
        text = results_document(read_entries(kept), ROOT, tmp_path)
        listed = text[text.index('## Not run'):]
        assert 'experiment.py configs/experiments/table2.py --data subset' in listed
        assert 'configs/experiments/table7.py --data widerface' in listed
        assert 'table1.py' not in listed and 'findings/paper.py' not in listed

    def test_unknown_kind(self, kept, tmp_path):
        (kept / 'odd').mkdir()
        (kept / 'odd' / 'x.json').write_text('{"title": "Odd", "kind": "oddity"}')
        with pytest.raises(ValueError, match="no section is registered.*'oddity'"):
            results_document(read_entries(kept), ROOT, tmp_path)
        SECTIONS.register_module(name='oddity', module=lambda entry: ['as you like'])
        try:
            assert 'as you like' in results_document(
                read_entries(kept), ROOT, tmp_path)
        finally:
            SECTIONS.module_dict.pop('oddity')

    def test_tool_writes_the_same_twice(self, kept, tmp_path):
        """Without a work dir."""
        out = tmp_path / 'RESULTS.md'
        command = [sys.executable, str(ROOT / 'tools' / 'results.py'), '--only-write',
                   '--results', str(kept), '--out', str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        first = out.read_bytes()
        assert first.decode() == results_document(read_entries(kept), ROOT, tmp_path)


class TestKept:

    def test_nothing_is_rewritten(self, kept, tmp_path):
        target = tmp_path / 'again'
        collect(read_entries(kept), target, ROOT)
        files = {path: path.stat().st_mtime_ns for path in target.rglob('*.*')}
        (target / 'table1_subset' / 'old.png').write_bytes(b'')
        (target / 'other').mkdir()
        collect(read_entries(kept), target, ROOT)
        assert {path: path.stat().st_mtime_ns
                for path in target.rglob('*.*')} == files
        assert (target / 'other').is_dir()

    @pytest.mark.parametrize(('content', 'message'), [
        ('{', 'not a JSON file'), ('[]', 'no title'), ('{}', 'no title')])
    def test_damaged(self, kept, content, message):
        (kept / 'table1_subset' / 'table.json').write_text(content)
        with pytest.raises(ValueError, match=message):
            read_entries(kept)

    def test_two_files(self, kept):
        (kept / 'table1_subset' / 'more.json').write_text('{}')
        with pytest.raises(ValueError, match='several JSON files'):
            read_entries(kept)

    def test_large_pictures_shrink(self):
        pixels = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format='PNG')
        whole = buffer.getvalue()
        assert reduced_picture(whole, len(whole)) is whole
        small = reduced_picture(whole, 20_000)
        assert len(small) <= 20_000 and small == reduced_picture(whole, 20_000)
        with Image.open(io.BytesIO(small)) as picture:
            assert picture.width / picture.height == pytest.approx(1.5, rel=0.02)


def test_paths_are_portable():
    value = {'a': ['/home/user/repo/configs/../configs/x.py',
                   '/env/lib/site-packages/s/c.png',
                   '/elsewhere/deep/file.npy', 'relative/x', 'facepatch://x', 3],
             'b': (Path('/home/user/repo/y'), '/')}
    assert portable(value, '/home/user/repo') == {
        'a': ['configs/x.py', 's/c.png', 'file.npy', 'relative/x', 'facepatch://x', 3],
        'b': ['y', '']}


def test_means_over_seeds():
    rows = [row('a'), row('b, seed 0', 0.1, 'b', 0), row('b, seed 1', 0.2, 'b', 1)]
    first, second = merge_seeds(rows)
    assert first['numbers'] == {} and first['count'] == 0
    assert second['name'] == 'b' and second['count'] == 2
    assert second['numbers']['all/recall@calibrated'] == pytest.approx(0.15)
    tables = experiment_tables(dict(cells=rows, matrix=None))
    assert 'means over up to 2 seeds' in tables[0]
    assert tables[-1].count('| b, seed') == 2


def test_mean_of_fewer_seeds_is_marked():
    """With one seed nothing was detected, so that it has no precision."""
    rows = [row('b, seed 0', 0.1, 'b', 0), row('b, seed 1', 0.0, 'b', 1), row('c', 0.2)]
    rows[1]['numbers']['all/precision@calibrated'] = None
    tables = experiment_tables(dict(cells=rows, matrix=None))
    table = next(table for table in tables if table.startswith('**calibrated'))
    assert table.startswith(
        '**calibrated delta; AF_beta and AP of All; means over up to 2 seeds; * of the '
        'seeds that have one**')
    assert '| b | 90.0*/5.0 |' in table and '| c | 90.0/20.0 |' in table


def test_matrix_of_seeds():
    rows = [row('clean on sln', 0.5, shows='clean'),
            row('p on sln, seed 0', 0.1, 'p on sln', 0),
            row('p on sln, seed 1', 0.3, 'p on sln', 1)]
    first, *_ = experiment_tables(dict(
        cells=rows, matrix=dict(patches=['clean', 'p', 'q'], detectors=['sln'])))
    assert '| p | 90.0/20.0 |' in first and '| q | - |' in first
