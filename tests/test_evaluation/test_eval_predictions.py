"""tools/eval_predictions.py as a user runs it."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from mmdet_facepatch.evaluation import (
    Detections,
    load_report,
    save_predictions,
    write_text_predictions,
)

TOOL = 'eval_predictions.py'
IDS = ('0--Parade/0_Parade_a_1', '0--Parade/0_Parade_a_2', '1--Handshaking/1_b')


@pytest.fixture(scope='module')
def annotation(tmp_path_factory):
    """Three images, one face each, in WIDER FACE's text."""
    path = tmp_path_factory.mktemp('faces') / 'faces.txt'
    lines = []
    for img_id in IDS:
        lines += [f'{img_id}.jpg', '1', '10 10 20 20 0 0 0 0 0 0']
    path.write_text('\n'.join(lines) + '\n')
    return path


def predictions(score, ids=IDS):
    return {
        img_id: Detections(
            np.array([[10.0, 10, 30, 30], [50, 50, 60, 60]], dtype=np.float32),
            np.array([score, 0.125], dtype=np.float32),
        )
        for img_id in ids
    }


@pytest.mark.slow
def test_two_detectors_beside_each_other(run, annotation, tmp_path):
    """Text of one that saw two of three images, npz of a weaker one."""
    write_text_predictions(tmp_path / 'strong', predictions(0.96875, IDS[:2]))
    save_predictions(tmp_path / 'weak.npz', predictions(0.5))
    done = run(
        TOOL,
        tmp_path / 'strong',
        f'other={tmp_path / "weak.npz"}',
        '--gt',
        annotation,
        '--out',
        tmp_path / 'out',
        '--deltas',
        0.9,
        0.25,
        '--bootstrap',
        50,
        python=sys.executable,
    )
    assert done.returncode == 0, done.stderr
    assert 'all 3 annotated images' in done.stdout
    assert 'score >= 0.9688, where the precision of strong reaches 0.99' in done.stdout
    assert '100.0/66.7' in done.stdout
    report = load_report(tmp_path / 'out' / 'report.json')
    strong, other = (report['conditions'][n]['numbers'] for n in ('strong', 'other'))
    # The image without a file counts as one without detections.
    assert strong['all/recall@0.25'] == pytest.approx(2 / 3)
    assert strong['silent_images@0.25'] == pytest.approx(1 / 3)
    assert other['all/recall@0.25'] == 1.0
    assert other['all/recall@0.9'] == 0.0
    # The first one's calibrated delta is used for both.
    assert strong['calibrated_delta'] == other['calibrated_delta'] == 0.96875
    # As is its range of AF_beta.
    for key, odds in (('margin_low', 1 / 7), ('margin_high', 31)):
        assert strong[key] == other[key] == pytest.approx(math.log(odds))
    assert 'AF_beta over s from -1.946 to 3.434 and over s >= 0; ' in done.stdout
    assert '% (beta 0.5) of the area of strong lies at s >= 0' in done.stdout
    again = run(
        TOOL,
        f'other={tmp_path / "weak.npz"}',
        '--gt',
        annotation,
        '--out',
        tmp_path / 'again',
        '--deltas',
        0.9,
        0.25,
        '--bootstrap',
        0,
        '--reference',
        tmp_path / 'out' / 'report.json',
    )
    assert again.returncode == 0, again.stderr
    assert 'calibrated: score >= 0.9688, as given by the reference' in again.stdout
    report_again = load_report(tmp_path / 'again' / 'report.json')
    assert report_again['conditions']['other']['numbers'] == pytest.approx(
        other, abs=0, nan_ok=True
    )
    assert report['protocol']['predictions']['other'].endswith('weak.npz')
    assert 'all/recall@0.9' in report['comparisons']['other']['differences']


@pytest.mark.slow
def test_part_of_the_images(run, annotation, tmp_path):
    write_text_predictions(tmp_path / 'dets', predictions(0.96875, IDS[:2]))
    (tmp_path / 'part.txt').write_text(f'{IDS[0]}.jpg\n{IDS[1]}.jpg\n')
    arguments = (tmp_path / 'dets', '--gt', annotation, '--out', tmp_path / 'out')
    done = run(TOOL, *arguments, '--images', tmp_path / 'part.txt')
    assert done.returncode == 0, done.stderr
    assert '2 of the 3 annotated images' in done.stdout
    numbers = load_report(tmp_path / 'out' / 'report.json')['conditions']['dets']
    assert numbers['numbers']['all/recall@0.9'] == 1.0
    # Predictions for an image outside the part are for an unknown one.
    (tmp_path / 'part.txt').write_text(f'{IDS[0]}.jpg\n')
    done = run(TOOL, *arguments, '--images', tmp_path / 'part.txt')
    assert done.returncode != 0
    assert f'first is {IDS[1]}' in done.stderr.replace('\n', ' ')


@pytest.mark.slow
def test_moved_boxes_count_at_a_lower_overlap(run, annotation, tmp_path):
    """Half of each face: IoU 11 / 21 with the +1 convention, then 10 / 21."""
    for height, name in ((10.0, 'half'), (9.0, 'less')):
        save_predictions(
            tmp_path / f'{name}.npz',
            {
                img_id: Detections(
                    np.array([[10.0, 10, 30, 10 + height]], np.float32),
                    np.array([0.75], np.float32),
                )
                for img_id in IDS
            },
        )
    paths = [f'{name}={tmp_path / name}.npz' for name in ('half', 'less')]
    for extra, found in (((), 0.0), (('--face-iou-thr', 0.45), 1.0)):
        done = run(
            TOOL,
            *paths,
            '--gt',
            annotation,
            '--out',
            tmp_path / 'out',
            '--bootstrap',
            0,
            *extra,
        )
        assert done.returncode == 0, done.stderr
        report = load_report(tmp_path / 'out' / 'report.json')
        half, less = (
            report['conditions'][name]['numbers'] for name in ('half', 'less')
        )
        assert half['all/recall@0.5'] == 1.0
        assert less['all/recall@0.5'] == found


@pytest.mark.slow
def test_bad_input_is_named(run, annotation, tmp_path):
    out = ('--out', tmp_path / 'out')
    write_text_predictions(tmp_path / 'dets', predictions(0.5))
    bad = tmp_path / 'dets' / f'{IDS[0]}.txt'
    bad.write_text('0_Parade_a_1\n1\n1 2 3 4 1.5\n')
    done = run(TOOL, tmp_path / 'dets', '--gt', annotation, *out)
    assert done.returncode != 0
    assert f'{bad}, line 3' in done.stderr
    assert not (tmp_path / 'out').exists()
    done = run(TOOL, tmp_path / 'dets', tmp_path / 'dets', '--gt', annotation, *out)
    assert "both named 'dets'" in done.stderr
