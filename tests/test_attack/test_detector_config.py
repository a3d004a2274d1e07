"""The config of a detector, by its path or as one that a package brings."""

from __future__ import annotations

from pathlib import Path

import mmdet
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from mmdet_facepatch.attack import build_frozen_detector, read_detector_config

FCOS = 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'
TINY = 'yolox/yolox_tiny_8xb8-300e_coco.py'
HERE = Path(mmdet.__file__).parent / '.mim' / 'configs'


def message(config):
    with pytest.raises(FileNotFoundError) as error:
        read_detector_config(config)
    return str(error.value)


def test_of_a_package():
    found = read_detector_config(f'mmdet::{FCOS}')
    assert found.to_dict() == Config.fromfile(HERE / FCOS).to_dict()
    own = read_detector_config('mmdet_facepatch::sln_mbv2_widerface_subset.py')
    assert own.model.type == 'SLN'


def test_path():
    assert read_detector_config(str(HERE / TINY)).model.type == 'YOLOX'


def test_is_built(tmp_path):
    state = MODELS.build(Config.fromfile(HERE / TINY).model).state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'tiny.pth')
    detector = build_frozen_detector(f'mmdet::{TINY}', str(tmp_path / 'tiny.pth'))
    assert not detector.training
    for key, value in detector.state_dict().items():
        assert torch.equal(value, state[key])


def test_misspelt():
    config = f'mmdet::{FCOS.replace("-caffe", "_caffe")}'
    start = f'detector config {config} does not exist; did you mean mmdet::{FCOS} or '
    assert message(config).startswith(start)
    # Without its folder.
    assert f' mmdet::{FCOS}' in message(f'mmdet::{Path(FCOS).name}')


def test_nothing_like_it(tmp_path):
    for config in ('mmdet::zzz.py', str(tmp_path / 'zzz.py')):
        assert message(config) == (
            f'detector config {config} does not exist; give the path of an mmdet '
            'config, or mmdet::PATH'
        )


def test_misspelt_path(tmp_path):
    (tmp_path / 'detector.py').touch()
    assert message(str(tmp_path / 'detektor.py')) == (
        f'detector config {tmp_path}/detektor.py does not exist; did you mean '
        f'{tmp_path}/detector.py?'
    )


@pytest.mark.parametrize('package', ['nothing_here', 'no-name', 'json'])
def test_no_such_package(package):
    assert message(f'{package}::{FCOS}') == (
        f'there are no configs of a package {package!r}; PACKAGE::PATH names one of '
        'an installed package, as '
        'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'
    )


def test_no_model(tmp_path):
    path = tmp_path / 'data.py'
    path.write_text('a = 1')
    with pytest.raises(ValueError, match=f'detector config {path} has no model'):
        read_detector_config(str(path))
