"""Figures of an experiment, and what they are drawn from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from mmdet_facepatch.engine.attack_history import HELD_OUT_RECALL
from mmdet_facepatch.evaluation import average_precision, load_report
from mmdet_facepatch.experiments import RunStore, SavedEvaluations, figures
from mmdet_facepatch.experiments.finish import load_attack_history
from mmdet_facepatch.experiments.records import write_record
from mmdet_facepatch.visualization import plot_f_beta, plot_matrix

from .test_store import attack, evaluation
from .test_tables import add  # noqa: F401


class TestHistory:
    @pytest.fixture
    def folder(self, index, store):
        return store.folder(index.entries[2].attack)

    def test_attack_leaves_its_history(self, folder):
        history = load_attack_history(folder)
        assert [epoch['epoch'] for epoch in history['epochs']] == [1, 2]
        # Three images are left, in batches of two.
        assert [epoch['steps'] for epoch in history['epochs']] == [2, 2]
        for epoch in history['epochs']:
            assert epoch['objective'] is not None and epoch['seconds'] > 0
        # Validated as its config says, after every second epoch.
        first, second = (epoch['held_out'] for epoch in history['epochs'])
        assert first is None and second['num_images'] == 1
        for key in (HELD_OUT_RECALL, 'all/recall@0.99'):
            assert 0 <= second[key] <= 1
        assert history['held_out_clean']['num_images'] == 1
        assert 0 <= history['held_out_clean'][HELD_OUT_RECALL] <= 1
        assert history['seed'] == 0
        assert history['versions']['torch'] == torch.__version__

    def test_objective_is_minus_the_logged_loss(self, folder):
        """Of a log line for each epoch, which is the mean over its steps."""
        lines = [
            json.loads(line)
            for file in folder.glob('*/vis_data/scalars.json')
            for line in file.read_text().splitlines()
        ]
        logged = [line['loss_adv'] for line in lines if 'loss_adv' in line]
        history = load_attack_history(folder)
        assert [epoch['objective'] for epoch in history['epochs']] == pytest.approx(
            [-loss for loss in logged], abs=1e-3
        )

    def test_record_has_it(self, folder, index, store):
        record = store.attack(index.entries[2].attack)
        history = load_attack_history(folder)
        assert record.history == {
            key: history[key] for key in ('held_out_clean', 'epochs')
        }


@pytest.mark.parametrize(
    'kind', ['pictures', 'ranking', 'f_beta', 'gallery', 'evolution']
)
def test_kinds(index, store, tmp_path, kind):
    """From the runs that are finished; nothing is run again."""
    assert figures.write_figures(replace(index, figure=kind), store, tmp_path) == {}
    clean = store.folder(index.entries[0].evaluation)
    image = next((clean / 'pictures').iterdir())
    name = f'figure_{image.name}' if kind == 'pictures' else 'figure.png'
    with Image.open(tmp_path / name) as figure, Image.open(image) as picture:
        assert figure.width > 300
        # Shorter rows are filled up in white.
        corner = (figure.width - 1, figure.height - 1)
        assert figure.convert('RGB').getpixel(corner) == (255, 255, 255)
        if kind == 'evolution':
            # The start and both epochs, each once.
            assert 3 * 192 < figure.width < 4 * 192
        if kind == 'pictures':
            # Four entries in rows of three.
            assert figure.width > 3 * picture.width
            assert 2 * picture.height < figure.height < 3 * picture.height
    assert (tmp_path / 'convergence.png').is_file()


def test_curves_of_seeds_are_their_mean(index, store, tmp_path, monkeypatch):
    """Four entries, of which two are seeds of one: three curves."""
    entries = [
        replace(entry, group='both') if i > 1 else entry
        for i, entry in enumerate(index.entries)
    ]
    drawn = []
    monkeypatch.setattr(
        figures, 'plot_f_beta', lambda *args: drawn.append(args) or plot_f_beta(*args)
    )
    figures.write_figures(
        replace(index, entries=entries, figure='f_beta'), store, tmp_path
    )
    ((_, curves, areas),) = drawn
    assert list(curves[0.5]) == list(areas[0.5]) == ['clean', 'noise', 'both']
    one, two = (
        store.evaluation(entry.evaluation).numbers['all/AF0.5'] for entry in entries[2:]
    )
    assert one != two
    whole, confident = areas[0.5]['both']
    assert whole == pytest.approx((one + two) / 2)
    assert np.isnan(confident) or 0 <= confident <= 1


def test_curves_over_other_ranges(index, store, tmp_path):
    """A figure has one axis: two detectors do not share it."""
    runs = tmp_path / 'runs'
    runs.mkdir()
    for entry in index.entries:
        record = store.evaluation(entry.evaluation)
        write_record(runs / f'{entry.evaluation}.json', record)
        with np.load(store.curves(entry.evaluation)) as content:
            curves = dict(content)
        if entry is index.entries[1]:
            key = next(key for key in curves if key.endswith('/margin_thresholds'))
            curves[key] = curves[key] + 1
        np.savez(runs / f'{entry.evaluation}.npz', **curves)
    message = f'{index.entries[1].name!r} has another range of AF_beta'
    with pytest.raises(ValueError, match=message):
        figures.write_figures(
            replace(index, figure='f_beta'), RunStore([runs]), tmp_path
        )


def test_matrix_is_the_mean_over_seeds(add, tmp_path, monkeypatch):  # noqa: F811
    drawn = []
    monkeypatch.setattr(
        figures, 'plot_matrix', lambda *args: drawn.append(args) or plot_matrix(*args)
    )
    matrix = dict(
        patches=['clean', 'iou'], detectors=['sln', 'ssd'], number=None, label=None
    )
    # Not run: there is nothing to draw.
    add('clean on sln')
    figures.write_figures(add.index(matrix=matrix), add.store, tmp_path)
    assert drawn == []
    add('iou on ssd, seed 0', 0.25, 'iou on ssd', 0)
    add('iou on ssd, seed 1', 0.5, 'iou on ssd', 1)
    figures.write_figures(add.index(matrix=matrix), add.store, tmp_path)
    other = dict(matrix, number='all/AF0.5', label='AF')
    figures.write_figures(add.index(matrix=other), add.store, tmp_path)
    (values, patches, detectors, title, label), last = drawn
    assert (patches, detectors, title) == (['clean', 'iou'], ['sln', 'ssd'], 'Table 1')
    np.testing.assert_array_equal(values, [[np.nan, np.nan], [np.nan, 37.5]])
    assert 'delta 0.99' in label
    np.testing.assert_array_equal(last[0], [[np.nan, np.nan], [np.nan, 0.05]])
    assert last[4] == 'AF'


@pytest.mark.parametrize(
    ('kind', 'lacks'),
    [
        ('pictures', "the pictures of 'clean'"),
        ('ranking', "the detections of 'clean'"),
        ('f_beta', "the curves of 'clean'"),
        ('gallery', "the patch of 'patch'"),
        ('evolution', "the patch of 'patch'"),
    ],
)
def test_what_is_lacking(index, tmp_path, kind, lacks):
    """Records alone: pictures, curves and histories were not kept."""
    store = RunStore([tmp_path])
    for entry in index.entries:
        digest = entry.evaluation
        write_record(tmp_path / f'{digest}.json', evaluation(digest))
        if entry.attack:
            record = attack(entry.attack, history=None)
            write_record(tmp_path / f'{entry.attack}.json', record)
    name = 'figure_*.png' if kind == 'pictures' else 'figure.png'
    assert figures.write_figures(replace(index, figure=kind), store, tmp_path) == {
        name: lacks,
        'convergence.png': "the history of the attack of 'patch'",
    }
    assert not list(tmp_path.glob('*.png'))


def test_ends_of_an_evolution_alone_are_lacking(index, store, tmp_path):
    """Of a published patch there is its end only."""
    entry = index.entries[2]
    record = store.attack(entry.attack)
    write_record(tmp_path / f'{entry.attack}.json', record)
    patch = store.patch(entry.attack)
    shutil.copy(patch, tmp_path / f'{entry.attack}.png')
    lacking = figures.write_figures(index, RunStore([tmp_path]), tmp_path)
    assert lacking == {'figure.png': 'the patches of the epochs'}
    lacking = figures.write_figures(
        replace(index, figure='gallery'), RunStore([tmp_path]), tmp_path
    )
    assert lacking == {} and (tmp_path / 'figure.png').is_file()


class TestSavedEvaluations:
    def test_saved_detections_give_the_report_again(self, index, store):
        folder = store.folder(index.entries[2].evaluation)
        found = SavedEvaluations()(folder)
        (condition,) = load_report(folder / 'report.json')['conditions'].values()
        assert condition['numbers'].keys() == found.numbers.keys()
        for key, interval in condition['intervals'].items():
            assert found.intervals[key].low == pytest.approx(
                interval.low, abs=1e-12, nan_ok=True
            )

    def test_matches_are_those_of_the_report(self, index, store):
        """What ranks are drawn from counts as the report does."""
        folder = store.folder(index.entries[1].evaluation)
        pool = SavedEvaluations().matches(folder)
        numbers = load_report(folder / 'report.json')['conditions']['patch']['numbers']
        status = pool.status(np.ones(pool.num_faces, bool))
        counted = pool.scores >= 0.5
        assert pool.num_faces == numbers['all/num_faces']
        assert (status[counted] == 1).sum() == numbers['all/true_positives@0.5']
        assert pool.on_patch[counted].sum() == numbers['all/on_patch@0.5']
        # The detector is hardly trained: below 0.5 there is more to compare.
        assert len(pool.scores) > 0
        assert average_precision(pool.scores, status, pool.num_faces) == pytest.approx(
            numbers['all/AP']
        )
        assert pool.patch_scores.mean() == pytest.approx(numbers['patch_score_mean'])
        assert pool.patch_scores.max() > 0

    def test_other_detections_are_noticed(self, index, store, tmp_path):
        clean, patch = (store.folder(index.entries[i].evaluation) for i in (0, 2))
        copy = tmp_path / 'evaluation'
        shutil.copytree(patch, copy)
        saved = copy / 'predictions' / 'patch.npz'
        saved.write_bytes((clean / 'predictions' / 'clean.npz').read_bytes())
        with pytest.raises((ValueError, KeyError)):
            SavedEvaluations()(copy)
        saved.unlink()
        with pytest.raises(FileNotFoundError, match='run the experiment again'):
            SavedEvaluations()(copy)
