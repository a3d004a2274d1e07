"""Weights in the package."""

from pathlib import Path

import pytest
import torch
from mmengine.runner import CheckpointLoader

from mmdet_facepatch import zoo
from mmdet_facepatch.attack import build_frozen_detector
from mmdet_facepatch.engine import data_config
from mmdet_facepatch.experiments import Planner, RunStore, read_spec
from mmdet_facepatch.utils.json_files import read_json

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / 'configs'


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
            str(CONFIGS / f'{name}.py'), f'facepatch://{name}'
        )
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


def test_patches_are_of_the_present_configs(widerface_root, tmp_path, monkeypatch):
    """Of each attack of the experiment, with its weights and its images."""
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'WIDERFace').symlink_to(widerface_root)
    monkeypatch.chdir(tmp_path)
    spec = read_spec(str(CONFIGS / 'experiments' / 'zoo_patches.py'))
    plan = Planner(spec, data_config(spec.data, CONFIGS)).plan()
    attacks = {run.digest for run in plan.attacks.values()}
    published = {read_json(path)['digest'] for path in zoo.PATCHES.glob('*.json')}
    assert published and published <= attacks
    # And so are the results that are kept.
    kept = RunStore([ROOT / '.results' / 'runs'])
    assert all(
        kept.finished(run.digest)
        for run in plan.evaluations.values()
        if run.attack in published
    )


def test_config_of_weights():
    assert zoo.names()
    for name in zoo.names():
        for given in (name, f'facepatch://{name}'):
            path = zoo.config_path(given)
            assert path.samefile(CONFIGS / f'{name}.py')


def test_configs_that_are_missing(tmp_path, monkeypatch):
    folder = tmp_path / 'package' / 'zoo'
    folder.mkdir(parents=True)
    (folder / 'x.pth').touch()
    monkeypatch.setattr(zoo, 'FOLDER', folder)
    with pytest.raises(FileNotFoundError, match=r'\.mim/configs/x\.py is missing'):
        zoo.config_path('x')
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs' / 'x.py').touch()
    assert zoo.config_path('x') == tmp_path / 'configs' / 'x.py'
    with pytest.raises(FileNotFoundError, match='y: no such weights'):
        zoo.config_path('y')


def test_unknown_name_lists_what_exists():
    with pytest.raises(FileNotFoundError, match=zoo.names()[0]):
        CheckpointLoader.load_checkpoint('facepatch://no_such')


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    """A file that would run code when unpickled is refused."""

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / 'ran',))

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
    assert loaded['meta'] == dict(iter=1, dataset_meta=dict(classes=('face',)))
    again = zoo.load_from_zoo('facepatch://x/')
    assert torch.equal(again['state_dict']['w'], loaded['state_dict']['w'])
    assert loaded['state_dict']['w'].dtype == torch.float32
    assert torch.equal(loaded['state_dict']['w'], state['w'].half().float())
    assert loaded['state_dict']['n'] == 3
