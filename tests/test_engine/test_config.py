"""Reading of configs for the tools."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmdet_facepatch.engine import load_config


def write(tmp_path, **keys):
    path = tmp_path / 'some.py'
    Config(dict(model=dict(type='X'), optim_wrapper=dict(type='OptimWrapper'),
                **keys)).dump(path)
    return str(path)


def test_work_dir_defaults_to_the_configs_name(tmp_path):
    path = write(tmp_path)
    assert load_config(path).work_dir == str(Path('work_dirs/some'))
    assert load_config(path, work_dir='here').work_dir == 'here'


def test_options_resume_and_amp(tmp_path):
    cfg = load_config(write(tmp_path), options={'model.depth': 3}, resume='auto',
                      amp=True)
    assert cfg.model.depth == 3
    assert cfg.resume and cfg.load_from is None
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert load_config(write(tmp_path), resume='a.pth').load_from == 'a.pth'


def test_overlay_replaces_whole_keys(tmp_path):
    overlay = Config(dict(model=dict(type='Y')))
    assert load_config(write(tmp_path), overlay=overlay).model == dict(type='Y')


def test_misspelt_key_is_named(tmp_path):
    with pytest.raises(KeyError, match="did you mean 'optim_wrapper'"):
        load_config(write(tmp_path), options={'optim_wraper.lr': 3})


def test_missing_config():
    with pytest.raises(FileNotFoundError, match='no_such.py'):
        load_config('no_such.py')
