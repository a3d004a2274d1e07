"""RESULTS.md from made-up results, as a fresh clone would write it."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from findings.page import results_page
from findings.pictures import reduced_picture
from PIL import Image

from mmdet_facepatch.experiments import (
    AttackRecord,
    EvaluationRecord,
    ExperimentIndex,
    TableEntry,
)
from mmdet_facepatch.experiments.records import write_record
from mmdet_facepatch.utils.json_files import write_json

ROOT = Path(__file__).resolve().parents[2]
DATA = dict(
    type='WiderFaceDataset',
    annotation='val.txt',
    images=115,
    faces=3948,
    num_events=1,
    events=['0--Parade'],
)
TRAINED = dict(
    DATA,
    annotation='train.txt',
    images=580,
    faces=7000,
    num_events=2,
    events=['0--Parade', '1--Handshaking'],
)


def evaluation(digest, recall, precision=0.9):
    numbers = {
        'all/AP': 0.5,
        'all/precision@calibrated': precision,
        'all/recall@calibrated': recall,
        'all/precision@0.99': precision,
        'all/recall@0.99': recall,
        'all/AF0.5': 0.05,
        'calibrated_delta': 0.9936,
    }
    return EvaluationRecord(
        digest=digest,
        weights='w',
        data='d',
        numbers=numbers,
        intervals={'all/recall@0.99': [recall - 0.01, recall + 0.02]},
    )


def attack(digest, seed):
    return AttackRecord(
        digest=digest,
        detector={},
        data={},
        config=None,
        config_digest=None,
        seed=seed,
        epochs=3,
        steps=870,
        empty_steps=0,
        batch_size=4,
        processes=1,
        seconds=90,
        device='cpu',
        versions={},
        history=None,
        files={},
    )


@pytest.fixture
def results(tmp_path):
    """An experiment with seeds, and findings."""
    root = tmp_path / '.results'
    for part in ('runs', 'experiments/table1_subset'):
        (root / part).mkdir(parents=True)
    seeds = [f'{seed}' * 12 for seed in (0, 1)]
    attacks = [f'a{seed}' * 6 for seed in (0, 1)]
    records = [
        evaluation('c' * 12, 0.083),
        evaluation(seeds[0], 0.01),
        evaluation(seeds[1], 0.03, precision=None),
        *(attack(digest, seed) for seed, digest in enumerate(attacks)),
    ]
    for record in records:
        write_record(root / 'runs' / f'{record.digest}.json', record)
    common = dict(detector='sln', paper=dict(all='7.3/1.4'))
    entries = [
        TableEntry(name='clean', condition='clean', evaluation='c' * 12, **common),
        *(
            TableEntry(
                name=f'noise, seed {seed}',
                group='noise',
                seed=seed,
                condition='attack',
                evaluation=seeds[seed],
                attack=attacks[seed],
                **common,
            )
            for seed in (0, 1)
        ),
        TableEntry(name='coffee', condition='attack', evaluation='d' * 12, **common),
    ]
    index = ExperimentIndex(
        title='Table 1',
        config='configs/experiments/table1.py',
        data='subset',
        command='python tools/experiment.py configs/experiments/table1.py',
        seeds=[0, 1],
        options={},
        held_out=24,
        data_sets=dict(
            reported=DATA,
            optimised=dict(TRAINED, images=556),
            detectors=dict(sln=TRAINED),
        ),
        detectors=dict(
            sln=dict(config='c.py', checkpoint='facepatch://sln_mbv2_widerface_subset')
        ),
        figure=None,
        matrix=None,
        entries=entries,
    )
    write_record(root / 'experiments' / 'table1_subset.json', index)
    Image.new('RGB', (8, 8)).save(root / 'experiments' / 'table1_subset' / 'figure.png')
    check = dict(statement='less', verdict='agrees', measured='p 1.0 %, noise 2.0 %')
    finding = dict(
        key='a',
        claim='suppresses',
        verdict='agrees',
        measured='less: p 1.0 %, noise 2.0 %',
        checks=[check],
    )
    write_json(
        root / 'paper_subset.json',
        dict(
            schema_version=3,
            title='Findings',
            note='How it is judged.',
            command='python judge',
            findings=[finding],
        ),
    )
    return root


@pytest.fixture
def page(results, tmp_path):
    """The page, with single spaces: columns are padded."""
    return re.sub(' +', ' ', results_page(results, ROOT, tmp_path))


def test_says_what_the_data_is(page):
    assert (
        'Reported on: 115 images with 3,948 faces of `val.txt`, 1 event (0--Parade).'
    ) in page
    assert 'not comparable with published ones' in page
    assert 'Detectors sln trained on: 580 images' in page
    assert '2 events (0--Parade, 1--Handshaking)' in page


def test_sections(page):
    """The findings lead."""
    titles = ('Findings', 'What was measured', 'Table 1', 'Not run')
    places = [page.index(f'## {title}') for title in titles]
    assert places == sorted(places)
    assert '| (a) | suppresses | **agrees** | less: p 1.0 %, noise 2.0 % |' in page
    assert '3 of 4 entries have been run' in page
    assert '| noise | 7.3/1.4 | 90.0*/2.0 |' in page
    assert '| coffee | 7.3/1.4 | - |' in page
    assert '| noise, seed 0 | 90.0 | 1.0 [0.0, 3.0] |' in page
    assert (
        '| noise, mean (lowest..highest) | 90.0 (90.0..90.0), 1 of 2 without | '
        '2.0 (1.0..3.0) |'
    ) in page
    # A table within is one only after an empty line.
    assert (
        '<details>\n<summary>Every check</summary>\n\nHow it is judged.\n\n'
        '**(a) suppresses**\n\n|'
    ) in page
    assert page.count('<details>\n') == page.count('\n\n</details>\n\n') == 1
    picture = '.results/experiments/table1_subset/figure.png'
    assert f'![Table 1: figure]({picture})' in page
    assert '(.results/experiments/table1_subset.json)' in page
    assert 'Attacks: 2; steps 870 of 4 images, 0.0% without samples;' in page
    assert 'minutes 1.5 each (cpu)' in page


def test_names_what_is_not_run(page):
    listed = page[page.index('## Not run') :]
    assert 'experiment.py configs/experiments/table2.py`' in listed
    assert 'configs/transfer/frameworks_subset.py' in listed
    assert 'table1.py' not in listed


def test_same_results_give_the_same_page(results, tmp_path, run):
    out = tmp_path / 'RESULTS.md'
    arguments = ['--results', results, '--out', out]
    assert run('write_results.py', *arguments).returncode == 0
    assert '## Table 1' in out.read_text()
    first = out.read_bytes()
    assert run('write_results.py', *arguments).returncode == 0
    assert out.read_bytes() == first


def test_large_pictures_shrink():
    pixels = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format='PNG')
    whole = buffer.getvalue()
    assert reduced_picture(whole, len(whole)) is whole
    small = reduced_picture(whole, 20_000)
    assert len(small) <= 20_000 and small == reduced_picture(whole, 20_000)
    with Image.open(io.BytesIO(small)) as picture:
        assert picture.width / picture.height == pytest.approx(1.5, rel=0.02)
