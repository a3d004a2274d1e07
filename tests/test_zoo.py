"""Weights in the package."""

from pathlib import Path

import pytest
import torch
from mmengine.runner import CheckpointLoader

from mmdet_facepatch import zoo
from mmdet_facepatch.attack import build_frozen_detector
from mmdet_facepatch.engine import Experiment, data_config
from mmdet_facepatch.engine.published_attacks import published_patches

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'


@pytest.mark.parametrize('name', zoo.names())
class TestShipped:

    def test_has_a_card_and_is_small(self, name):
        path = zoo.checkpoint_path(name)
        assert path.stat().st_size <= 8 * 2**20
        card = path.with_suffix('.md').read_text()
        for part in ('research use', 'tools/train.py', 'AP'):
            assert part in card

    def test_fits_its_config(self, name):
        detector = build_frozen_detector(
            str(CONFIGS / f'{name}.py'), f'facepatch://{name}')
        assert all(p.dtype == torch.float32 for p in detector.parameters())

    def test_mmengine_loads_it(self, name):
        loaded = CheckpointLoader.load_checkpoint(f'facepatch://{name}')
        assert loaded['state_dict']


def test_published_files_are_told_from_others(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, 'FOLDER', tmp_path)
    for name in ('x', 'y'):
        zoo.save_checkpoint(dict(w=torch.ones(3)), tmp_path / f'{name}.pth', {})
        with pytest.raises(ValueError, match=r'says None.*install'):
            zoo.load_from_zoo(f'facepatch://{name}')
        zoo.record_digest(name)
    zoo.save_checkpoint(dict(w=torch.zeros(3)), tmp_path / 'x.pth', {})
    with pytest.raises(ValueError, match=r'x\.pth has the SHA-256 [0-9a-f]{64}'):
        zoo.load_from_zoo('facepatch://x')
    assert zoo.load_from_zoo('facepatch://y')['state_dict']['w'].sum() == 3


@pytest.mark.parametrize(('name', 'count'), [('zoo_patches', 60), ('steps', 14)])
def test_patches_are_of_the_present_configs(
        widerface_root, tmp_path, monkeypatch, name, count):
    """Of each attack of the experiment, with its weights and its images."""
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'WIDERFace').symlink_to(widerface_root)
    monkeypatch.chdir(tmp_path)
    experiment = Experiment(
        str(CONFIGS / 'experiments' / f'{name}.py'),
        data_config('subset', CONFIGS), tmp_path)
    attacks = {job.digest for job in experiment.first_jobs() if job.kind == 'attack'}
    assert len(attacks) == count
    assert set(published_patches(zoo.PATCHES)) >= attacks


def test_there_is_one():
    assert zoo.names()


def test_unknown_name_lists_what_exists():
    with pytest.raises(FileNotFoundError, match=zoo.names()[0]):
        CheckpointLoader.load_checkpoint('facepatch://no_such')


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    """A file that would run code when unpickled is refused."""

    class Evil:

        def __reduce__(self):
            return (Path.touch, (tmp_path / 'ran', ))

    torch.save(dict(state_dict={}, meta=Evil()), tmp_path / 'evil.pth')
    monkeypatch.setattr(zoo, 'FOLDER', tmp_path)
    zoo.record_digest('evil')
    with pytest.raises(Exception, match='[Ww]eights.only'):
        CheckpointLoader.load_checkpoint('facepatch://evil')
    assert not (tmp_path / 'ran').exists()


def test_round_trip_in_float16(tmp_path, monkeypatch):
    state = dict(w=torch.tensor([1.0, 0.1]), n=torch.tensor(3))
    zoo.save_checkpoint(state, tmp_path / 'x.pth', dict(iter=1))
    monkeypatch.setattr(zoo, 'FOLDER', tmp_path)
    zoo.record_digest('x')
    loaded = zoo.load_from_zoo('facepatch://x')
    assert loaded['meta'] == dict(iter=1)
    assert loaded['state_dict']['w'].dtype == torch.float32
    assert torch.equal(loaded['state_dict']['w'], state['w'].half().float())
    assert loaded['state_dict']['n'] == 3
