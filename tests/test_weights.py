"""Checkpoints from strangers: what is in them is not run, by no way that leads in."""

from __future__ import annotations

import io
import pickle
import socket
import zipfile

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel, initialize
from mmengine.runner import CheckpointLoader, Runner, load_checkpoint
from torch.utils.data import DataLoader

from mmdet_facepatch.attack import build_frozen_detector
from mmdet_facepatch.utils.safe_loading import (
    SafeCheckpointLoader,
    enable_safe_loading,
    mmengine_globals,
    read_checkpoint,
)


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


@pytest.fixture(autouse=True)
def safe_loading(monkeypatch):
    """As in the tools; afterwards MMEngine's loaders are its own again."""
    monkeypatch.setattr(CheckpointLoader, '_schemes', CheckpointLoader._schemes)
    enable_safe_loading()


class Line(BaseModel):
    """One weight."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, mode='loss'):
        return dict(loss=(self.w * x).sum())


@pytest.fixture
def trap(tmp_path):
    return tmp_path / 'ran'


@pytest.fixture
def evil(tmp_path, trap):
    """A checkpoint as MMEngine's runner writes it, and a payload in it."""
    path = tmp_path / 'epoch_1.pth'
    content = dict(
        state_dict=Line().state_dict(),
        meta=dict(epoch=1, iter=3, extra=Payload(trap)),
        message_hub={},
    )
    torch.save(content, path)
    # The payload works: unpickling as MMEngine does it runs it.
    torch.load(path, weights_only=False)
    assert trap.exists()
    trap.unlink()
    return path


def runner(work_dir, epochs=2, **more):
    return Runner(
        Line(),
        str(work_dir),
        train_dataloader=DataLoader([dict(x=torch.ones(1))] * 3),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.5)),
        experiment_name=f'{work_dir.parent.name}_{epochs}_{len(more)}',
        **more,
    )


REFUSED = r'epoch_1\.pth is refused, since it holds more than tensors'


@pytest.mark.parametrize(
    'load',
    [
        lambda path: read_checkpoint(path),
        lambda path: CheckpointLoader.load_checkpoint(str(path)),
        lambda path: load_checkpoint(Line(), str(path)),
        lambda path: initialize(Line(), dict(type='Pretrained', checkpoint=str(path))),
        lambda path: initialize(
            Line(), dict(type='Pretrained', checkpoint=str(path), prefix='w')
        ),
    ],
    ids=['own', 'loader', 'load_checkpoint', 'init_cfg', 'init_cfg with prefix'],
)
def test_payload_is_refused(evil, trap, load):
    with pytest.raises(ValueError, match=REFUSED):
        load(evil)
    assert not trap.exists()


def test_payload_for_a_frozen_detector(evil, trap, tmp_path, tiny_sln):
    Config(dict(model=tiny_sln)).dump(tmp_path / 'detector.py')
    with pytest.raises(ValueError, match=REFUSED):
        build_frozen_detector(str(tmp_path / 'detector.py'), str(evil))
    assert not trap.exists()


@pytest.mark.parametrize('resume', [False, True])
def test_payload_for_a_runner(evil, trap, tmp_path, resume):
    with pytest.raises(ValueError, match=REFUSED):
        runner(tmp_path / 'work', load_from=str(evil), resume=resume).train()
    assert not trap.exists()


def test_config_in_a_checkpoint_is_not_run(tmp_path, trap):
    """Runner.resume would run ``meta['config']``, which is text to the unpickler."""
    runner(tmp_path / 'work', epochs=1).train()
    path = tmp_path / 'work' / 'epoch_1.pth'
    content = torch.load(path, weights_only=False)
    content['meta']['config'] = f'open({str(trap)!r}, "w")'
    torch.save(content, path)
    resumed = runner(tmp_path / 'work', load_from=str(path), resume=True)
    resumed.train()
    assert not trap.exists()
    # Gradients of three steps of each of two epochs.
    assert resumed.model.w.item() == pytest.approx(-0.5 * 6)


def test_own_checkpoint_resumes_without_unpickling_code(tmp_path):
    """The message hub of the runner is read with weights_only=True."""
    runner(tmp_path / 'work', epochs=1).train()
    loaded = read_checkpoint(tmp_path / 'work' / 'epoch_1.pth')
    buffer = loaded['message_hub']['log_scalars']['train/loss']
    assert len(buffer.data[0]) == 3
    resumed = runner(tmp_path / 'work', resume=True)
    resumed.train()
    assert resumed.epoch == 2
    assert len(resumed.message_hub.get_scalar('train/loss').data[0]) == 6
    assert resumed.model.w.item() == pytest.approx(-0.5 * 6)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('s3://bucket/x.pth', 'object stores are not read'),
        ('a:petrel://bucket/x.pth', 'object stores are not read'),
        ('pavi://x', 'object stores are not read'),
        ('open-mmlab://no_such', "knows no weights 'no_such'"),
        ('mmcls://no_such', "knows no weights 'no_such'"),
    ],
)
def test_other_schemes(name, message):
    with pytest.raises(ValueError, match=message):
        CheckpointLoader.load_checkpoint(name)


@pytest.mark.parametrize(
    'name',
    [
        'https://host/epoch_1.pth',
        'torchvision://resnet18',
        'open-mmlab://resnet50_caffe',
        'mmcls://vgg11',
    ],
)
def test_downloads_are_read_as_files_are(evil, trap, tmp_path, monkeypatch, name):
    """The file is fetched once, and refused each time."""
    fetched = []

    def fetch(url, path, **kwargs):
        fetched.append(url)
        evil.rename(path)

    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', fetch)
    for _ in range(2):
        with pytest.raises(ValueError, match='is refused, since it holds more'):
            CheckpointLoader.load_checkpoint(name)
    assert len(fetched) == 1
    assert fetched[0].startswith('http')
    assert not trap.exists()


def test_silent_server(tmp_path, monkeypatch):
    """A download ends soon after the server has fallen silent."""
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    monkeypatch.setattr('mmdet_facepatch.utils.safe_loading.SILENCE', 0.2)
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    with socket.create_server(('127.0.0.1', 0)) as server:
        url = f'http://127.0.0.1:{server.getsockname()[1]}/x.pth'
        with pytest.raises(ConnectionError, match=f'{url} could not be .*timed out'):
            SafeCheckpointLoader.load_checkpoint(url)
    with pytest.raises(ConnectionError, match=f'{url} could not be .*refused'):
        SafeCheckpointLoader.load_checkpoint(url)
    assert socket.getdefaulttimeout() is None
    assert not [path for path in tmp_path.rglob('*') if path.is_file()]


def test_backbone_of_a_classifier(tmp_path, monkeypatch):
    state = {'backbone.w': torch.ones(1), 'head.w': torch.zeros(1)}

    def fetch(url, path, **kwargs):
        torch.save(dict(state_dict=state), path)

    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', fetch)
    loaded = CheckpointLoader.load_checkpoint('mmcls://vgg11')
    assert loaded == dict(state_dict=dict(w=torch.ones(1)))


def test_archive_that_grows_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / 'x.pth'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('x/data/0', bytes(90 << 20), compresslevel=1)
    with pytest.raises(ValueError, match=r'x\.pth: .* that unpack to 94,371,840'):
        read_checkpoint(path)


def test_damaged_files_are_told_from_malicious_ones(tmp_path):
    path = tmp_path / 'x.pth'
    torch.save(dict(w=torch.ones(1000)), path)
    data = path.read_bytes()
    for part in (b'', data[:3], data[: len(data) // 2], b'<html>' * 20):
        path.write_bytes(part)
        with pytest.raises(ValueError, match=r'x\.pth is damaged or no checkpoint'):
            read_checkpoint(path)
    with pytest.raises(FileNotFoundError, match=r'y\.pth does not exist'):
        read_checkpoint(tmp_path / 'y.pth')
    stream = io.BytesIO()
    pickle.dump([1], stream)
    path.write_bytes(stream.getvalue())
    with pytest.raises(ValueError, match=r'x\.pth'):
        read_checkpoint(path)


def test_safetensors(tmp_path):
    save = pytest.importorskip('safetensors.torch').save_file
    path = tmp_path / 'x.safetensors'
    save(dict(w=torch.arange(3.0)), path)
    loaded = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    assert list(loaded) == ['state_dict']
    assert loaded['state_dict']['w'].tolist() == [0, 1, 2]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r'x\.safetensors is damaged'):
        read_checkpoint(path)


def test_own_reading_is_safe_without_the_switch(evil, trap, monkeypatch):
    unsafe = {'': lambda *args: torch.load(evil, weights_only=False)}
    monkeypatch.setattr(CheckpointLoader, '_schemes', unsafe)
    with pytest.raises(ValueError, match=REFUSED):
        SafeCheckpointLoader.load_checkpoint(str(evil))
    assert not trap.exists()


def test_schemes_of_others_are_theirs(monkeypatch):
    monkeypatch.setattr(CheckpointLoader, '_schemes', CheckpointLoader._schemes)
    CheckpointLoader.register_scheme('mine://', lambda name, place: dict(name=name))
    assert SafeCheckpointLoader.load_checkpoint('mine://x') == dict(name='mine://x')


# --- what MMEngine's runner saves -------------------------------------------------


def saved_message_hub() -> bytes:
    buffer = HistoryBuffer()
    for value in (4.0, 2.0, 3.0):
        buffer.update(value, 2)
    file = io.BytesIO()
    torch.save(
        {
            'message_hub': {
                'log_scalars': {'train/loss': buffer},
                'best': np.float64(0.25),
                'count': np.int64(3),
            },
            'rng': np.arange(3, dtype=np.uint32),
        },
        file,
    )
    return file.getvalue()


def load(checkpoint: bytes) -> dict:
    """In torch's own list nothing is allowed."""
    with mmengine_globals():
        return torch.load(io.BytesIO(checkpoint), weights_only=True)


needs_safe_globals = pytest.mark.skipif(
    not hasattr(torch.serialization, 'get_safe_globals')
    or not hasattr(torch.serialization, 'safe_globals'),
    reason='torch < 2.6 has no list of named safe globals',
)


@needs_safe_globals
def test_mmengine_checkpoint_loads_where_allowed() -> None:
    checkpoint = saved_message_hub()
    with pytest.raises(pickle.UnpicklingError, match='HistoryBuffer'):
        torch.load(io.BytesIO(checkpoint), weights_only=True)
    loaded = load(checkpoint)
    buffer = loaded['message_hub']['log_scalars']['train/loss']
    history, counts = buffer.data
    assert history.tolist() == [4.0, 2.0, 3.0]
    assert counts.tolist() == [2, 2, 2]
    assert buffer.statistics('mean') == 1.5
    assert loaded['message_hub']['best'] == 0.25
    assert loaded['message_hub']['count'] == 3
    assert loaded['rng'].dtype == np.uint32
    assert loaded['rng'].tolist() == [0, 1, 2]


@needs_safe_globals
def test_checkpoint_written_under_the_other_numpy_loads() -> None:
    """numpy 1 and 2 name the module of their unpickling functions differently."""
    new, old = b'cnumpy._core.multiarray\n', b'cnumpy.core.multiarray\n'
    target = io.BytesIO()
    replaced = 0
    with (
        zipfile.ZipFile(io.BytesIO(saved_message_hub())) as source,
        zipfile.ZipFile(target, 'w') as copy,
    ):
        for name in source.namelist():
            data = source.read(name)
            if name.endswith('data.pkl'):
                swap = (new, old) if new in data else (old, new)
                replaced += data.count(swap[0])
                data = data.replace(*swap)
            copy.writestr(name, data)
    assert replaced >= 1
    assert load(target.getvalue())['rng'].tolist() == [0, 1, 2]


@needs_safe_globals
def test_list_of_the_process_is_as_before() -> None:
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals([HistoryBuffer])
    try:
        allowed = {*map(repr, torch.serialization.get_safe_globals())}
        with pytest.raises(ZeroDivisionError), mmengine_globals():
            _ = 1 / 0
        assert {*map(repr, torch.serialization.get_safe_globals())} == allowed
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


class Reach:
    """Pickles as getattr(owner, name)."""

    def __init__(self, owner: object, name: str) -> None:
        self.call = (getattr, (owner, name))

    def __reduce__(self):
        return self.call


@needs_safe_globals
@pytest.mark.parametrize('name', ['__init__', '__class__', '_statistics_methods'])
def test_getattr_reaches_statistics_only(name: str) -> None:
    file = io.BytesIO()
    torch.save({'x': Reach(HistoryBuffer, name)}, file)
    with pytest.raises((ValueError, pickle.UnpicklingError), match=name):
        load(file.getvalue())


@needs_safe_globals
def test_object_arrays_stay_refused() -> None:
    file = io.BytesIO()
    torch.save({'x': np.array([{}, 1], dtype=object)}, file)
    with pytest.raises(pickle.UnpicklingError, match='ObjectDType'):
        load(file.getvalue())
