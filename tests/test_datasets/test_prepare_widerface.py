"""Unpacking, fetching and verifying the files of WIDER FACE."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import shutil
import stat
import sys
import types
import zipfile
from pathlib import Path

import pytest

import mmdet_facepatch.datasets.widerface_archives as archive_files
import mmdet_facepatch.datasets.widerface_files as files
from mmdet_facepatch.datasets.widerface_archives import fetch_archive, unpack_archive
from mmdet_facepatch.datasets.widerface_files import prepare, verify

REPO_ROOT = Path(__file__).resolve().parents[2]

TRAIN = ['0--Parade/a.jpg', '0--Parade/b.jpg', '1--Handshaking/c.jpg']
VAL = ['0--Parade/d.jpg']


def annotation(paths) -> str:
    return ''.join(f'{path}\n1\n1 2 3 4 0 0 0 0 0 0 \n' for path in paths)


CONTENT = {
    'WIDER_train.zip': {f'WIDER_train/images/{p}': p.encode() for p in TRAIN},
    'WIDER_val.zip': {f'WIDER_val/images/{p}': p.encode() for p in VAL},
    'wider_face_split.zip': {
        'wider_face_split/wider_face_train_bbx_gt.txt': annotation(TRAIN).encode(),
        'wider_face_split/wider_face_val_bbx_gt.txt': annotation(VAL).encode(),
    },
    'eval_tools.zip': {
        f'eval_tools/ground_truth/{name}': name.encode()
        for name in files.GROUND_TRUTH_DIGESTS
    },
}


def write_zip(path: Path, content: dict[str, bytes]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return str(path)


@pytest.fixture()
def small_official(monkeypatch):
    """Make the small archives the official ones."""
    monkeypatch.setattr(files, 'OFFICIAL_COUNTS', {'train': (3, 3), 'val': (1, 1)})
    digests = {
        name: hashlib.sha256(name.encode()).hexdigest()[:8]
        for name in files.GROUND_TRUTH_DIGESTS
    }
    monkeypatch.setattr(files, 'GROUND_TRUTH_DIGESTS', digests)


@pytest.fixture()
def archives(tmp_path: Path, small_official) -> Path:
    folder = tmp_path / 'archives'
    for name, content in CONTENT.items():
        write_zip(folder / name, content)
    return folder


def snapshot(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob('*'))
        if path.is_file()
    }


EVERYTHING = {name: data for c in CONTENT.values() for name, data in c.items()}


def quiet(line: str) -> None:
    """A log that shows nothing."""


class TestUnpack:
    def test_content_and_idempotence(self, archives, tmp_path):
        root = tmp_path / 'root'
        path = str(archives / 'WIDER_train.zip')
        lines = []
        assert unpack_archive(path, str(root), lines.append) == 3
        assert snapshot(root) == CONTENT['WIDER_train.zip']
        times = [p.stat().st_mtime_ns for p in sorted(root.rglob('*.jpg'))]
        assert unpack_archive(path, str(root), lines.append) == 0
        assert times == [p.stat().st_mtime_ns for p in sorted(root.rglob('*.jpg'))]
        assert lines == [
            f'WIDER_train.zip: {n} of 3 files to unpack to {root}' for n in (3, 0)
        ]

    def test_interrupted(self, archives, tmp_path, monkeypatch):
        """An interruption leaves whole files only, and the next call goes on."""
        root = tmp_path / 'root'
        copy, calls = shutil.copyfileobj, []

        def interrupt(source, sink):
            calls.append(1)
            if len(calls) == 2:
                sink.write(source.read(4))
                raise KeyboardInterrupt
            copy(source, sink)

        path = str(archives / 'WIDER_train.zip')
        with monkeypatch.context() as patched:
            patched.setattr(archive_files.shutil, 'copyfileobj', interrupt)
            with pytest.raises(KeyboardInterrupt):
                unpack_archive(path, str(root), quiet)
        assert list(snapshot(root)) == ['WIDER_train/images/0--Parade/a.jpg']
        assert unpack_archive(path, str(root), quiet) == 2
        assert snapshot(root) == CONTENT['WIDER_train.zip']

    def test_wrong_size_is_replaced(self, archives, tmp_path):
        root = tmp_path / 'root'
        broken = root / 'WIDER_train/images/0--Parade/a.jpg'
        broken.parent.mkdir(parents=True)
        broken.write_bytes(b'part')
        unpack_archive(str(archives / 'WIDER_train.zip'), str(root), quiet)
        assert snapshot(root) == CONTENT['WIDER_train.zip']

    def test_leftovers_are_skipped(self, tmp_path):
        content = {
            'WIDER_val/': b'',
            'WIDER_val/images/0--Parade/d.jpg': b'd',
            'WIDER_val/images/.DS_Store': b'x',
            'WIDER_val/images/Thumbs.db': b'x',
            '__MACOSX/WIDER_val/images/._d.jpg': b'x',
        }
        path = write_zip(tmp_path / 'WIDER_val.zip', content)
        assert unpack_archive(path, str(tmp_path / 'root'), quiet) == 1
        assert list(snapshot(tmp_path / 'root')) == ['WIDER_val/images/0--Parade/d.jpg']

    @pytest.mark.parametrize(
        'member',
        [
            '../outside.txt',
            'WIDER_val/../../outside.txt',
            '/outside.txt',
            '..\\outside.txt',
            'C:/outside.txt',
            'WIDER_val/c:outside.txt',
        ],
    )
    def test_no_way_out(self, tmp_path, member):
        content = {'WIDER_val/images/0--Parade/d.jpg': b'd', member: b'bad'}
        path = write_zip(tmp_path / 'zips/WIDER_val.zip', content)
        with pytest.raises(ValueError, match='would be written outside'):
            unpack_archive(path, str(tmp_path / 'deep/root'), quiet)
        assert list(snapshot(tmp_path)) == ['zips/WIDER_val.zip']

    def test_no_links(self, tmp_path):
        info = zipfile.ZipInfo('WIDER_val/images')
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        with zipfile.ZipFile(tmp_path / 'WIDER_val.zip', 'w') as archive:
            archive.writestr(info, '/etc')
        with pytest.raises(ValueError, match="'WIDER_val/images' would be written"):
            unpack_archive(str(tmp_path / 'WIDER_val.zip'), str(tmp_path), quiet)

    def test_other_name(self, tmp_path):
        path = write_zip(tmp_path / 'photos.zip', {'a': b''})
        with pytest.raises(ValueError, match='photos.zip is not one of'):
            unpack_archive(path, str(tmp_path), quiet)

    def test_other_content(self, tmp_path):
        path = write_zip(tmp_path / 'WIDER_val.zip', {'photos/a.jpg': b''})
        with pytest.raises(ValueError, match="has no folder 'WIDER_val'"):
            unpack_archive(path, str(tmp_path), quiet)

    def test_cut_off(self, archives, tmp_path):
        path = archives / 'WIDER_train.zip'
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(OSError, match='WIDER_train.zip is damaged or cut off'):
            unpack_archive(str(path), str(tmp_path / 'root'), quiet)

    def test_damaged_member(self, archives, tmp_path):
        path = archives / 'WIDER_train.zip'
        data = path.read_bytes()
        at = data.index(b'/b.jpg0--Parade') + len('/b.jpg')  # stored, not deflated
        path.write_bytes(data[:at] + b'X' + data[at + 1 :])
        with pytest.raises(OSError, match='damaged or cut off'):
            unpack_archive(str(path), str(tmp_path / 'root'), quiet)
        assert list(snapshot(tmp_path / 'root')) == [
            'WIDER_train/images/0--Parade/a.jpg'
        ]


class TestPrepare:
    def test_all(self, archives, tmp_path):
        root = tmp_path / 'root'
        report = prepare(str(root), str(archives), log=quiet)
        assert report.ok
        assert report.needed_archives == []
        assert snapshot(root) == EVERYTHING
        assert '3 of 3 official' in str(report)
        assert str(report).endswith('Complete.')

    def test_second_run_opens_no_archive(self, archives, tmp_path):
        root = str(tmp_path / 'root')
        prepare(root, str(archives), log=quiet)
        shutil.rmtree(archives)
        archives.mkdir()
        assert prepare(root, str(archives), log=quiet).ok

    def test_archives_in_root(self, archives, tmp_path):
        assert prepare(str(archives), log=quiet).ok

    def test_hub_layout(self, archives, tmp_path):
        (archives / 'data').mkdir()
        (archives / 'WIDER_train.zip').rename(archives / 'data/WIDER_train.zip')
        assert prepare(str(tmp_path / 'root'), str(archives), log=quiet).ok

    def test_restores_one_image(self, archives, tmp_path):
        root = tmp_path / 'root'
        prepare(str(root), str(archives), log=quiet)
        gone = root / 'WIDER_train/images' / TRAIN[1]
        gone.unlink()
        lines = []
        assert prepare(str(root), str(archives), log=lines.append).ok
        assert lines == [f'WIDER_train.zip: 1 of 3 files to unpack to {root}']
        assert gone.read_bytes() == TRAIN[1].encode()

    def test_one_archive_missing(self, archives, tmp_path):
        (archives / 'WIDER_val.zip').unlink()
        lines = []
        report = prepare(str(tmp_path / 'root'), str(archives), log=lines.append)
        assert not report.ok
        assert report.needed_archives == ['WIDER_val.zip']
        assert f'WIDER_val.zip is needed, and not in {archives}' in lines

    def test_no_archive_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='archive folder .*gone'):
            prepare(str(tmp_path), str(tmp_path / 'gone'), log=quiet)

    def test_download(self, archives, tmp_path, monkeypatch):
        """Only what is missing is fetched, and it is kept for the next time."""
        fetched = []

        def fetch(name, folder, log):
            fetched.append(name)
            return shutil.copy(archives / name, folder)

        own = tmp_path / 'own'
        own.mkdir()
        shutil.copy(archives / 'WIDER_val.zip', own)
        monkeypatch.setattr(files, 'fetch_archive', fetch)
        report = prepare(str(tmp_path / 'root'), str(own), download=True, log=quiet)
        assert report.ok
        assert sorted(fetched) == sorted(set(CONTENT) - {'WIDER_val.zip'})
        assert fetched[0] == 'wider_face_split.zip'


class TestVerify:
    @pytest.fixture()
    def root(self, small_official, tmp_path):
        for name, data in EVERYTHING.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return tmp_path

    def failed(self, root, **kwargs) -> dict[str, str]:
        report = verify(str(root), **kwargs)
        checks = {check.name: check.detail for check in report.checks if not check.ok}
        assert report.ok == (not checks)
        for name in checks:
            assert f'NOT OK  {name}' in str(report)
        return checks

    def test_complete(self, root):
        assert self.failed(root) == {}

    def test_nothing(self, root):
        report = verify(str(root / 'gone'))
        assert not any(check.ok for check in report.checks)
        assert report.needed_archives == list(archive_files.ARCHIVES)
        assert not (root / 'gone').exists()

    def test_missing_image(self, root):
        (root / 'WIDER_train/images' / TRAIN[2]).unlink()
        assert self.failed(root) == {
            'train images': '2 of 3 official; first missing: 1--Handshaking/c.jpg'
        }

    def test_image_list(self, root):
        (root / 'WIDER_train/images' / TRAIN[2]).unlink()
        image_list = root / 'few.txt'
        image_list.write_text('\n'.join(TRAIN[:2]))
        assert self.failed(root, image_lists=dict(train=str(image_list))) == {}
        image_list.write_text(TRAIN[2])
        failed = self.failed(root, image_lists=dict(train=str(image_list)))
        assert failed['train images'].startswith(f'0 of 1 listed in {image_list}')
        image_list.write_text('0--Parade/x.jpg')
        with pytest.raises(ValueError, match='0--Parade/x.jpg'):
            verify(str(root), dict(train=str(image_list)))

    def test_unknown_split(self, root):
        with pytest.raises(ValueError, match=r"unknown splits \['test'\]"):
            verify(str(root), dict(test='x.txt'))

    def test_images_level(self, root):
        for folder in (root / 'WIDER_val/images').iterdir():
            folder.rename(root / 'WIDER_val' / folder.name)
        (root / 'WIDER_val/images').rmdir()
        detail = self.failed(root)['val images']
        assert f'0 of 1 official; the image folder {root}/WIDER_val/images' in detail
        assert f'but {root}/WIDER_val has' in detail

    def test_annotation_of_other_length(self, root):
        path = root / 'wider_face_split/wider_face_val_bbx_gt.txt'
        path.write_text(annotation(TRAIN))
        assert self.failed(root) == {
            'val annotation': '3 images, 3 faces, expected 1 and 1'
        }

    def test_malformed_annotation(self, root):
        path = root / 'wider_face_split/wider_face_val_bbx_gt.txt'
        path.write_text('nonsense')
        assert 'line 1' in self.failed(root)['val annotation']

    def test_missing_annotation(self, root):
        (root / 'wider_face_split/wider_face_val_bbx_gt.txt').unlink()
        assert list(self.failed(root)) == ['val annotation']
        shutil.rmtree(root / 'WIDER_val')
        assert list(self.failed(root)) == ['val annotation', 'val images']

    def test_digest(self, root):
        path = root / 'eval_tools/ground_truth/wider_hard_val.mat'
        path.write_bytes(b'other')
        digest = hashlib.sha256(b'other').hexdigest()[:8]
        detail = self.failed(root)['wider_hard_val.mat']
        assert f'begins with {digest}, the official with' in detail


class TestFetch:
    @pytest.fixture()
    def hub(self, monkeypatch):
        """A stand-in for huggingface_hub."""
        module = types.ModuleType('huggingface_hub')
        monkeypatch.setitem(sys.modules, 'huggingface_hub', module)
        return module

    def test_hub(self, hub, tmp_path):
        asked = []
        hub.hf_hub_download = lambda **kwargs: asked.append(kwargs) or 'path'
        assert fetch_archive('WIDER_val.zip', str(tmp_path), quiet) == 'path'
        assert asked == [
            dict(
                repo_id='CUHK-CSE/wider_face',
                repo_type='dataset',
                filename='data/WIDER_val.zip',
                local_dir=str(tmp_path),
            )
        ]

    def test_hub_is_not_installed(self, monkeypatch, tmp_path):
        monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
        with pytest.raises(ImportError, match='`pip install huggingface_hub`.*http'):
            fetch_archive('WIDER_val.zip', str(tmp_path), quiet)

    def test_hub_fails(self, hub, tmp_path):
        def fail(**kwargs):
            raise RuntimeError('no network')

        hub.hf_hub_download = fail
        with pytest.raises(OSError, match=r'WIDER_val.zip .*\(no network\).*by hand'):
            fetch_archive('WIDER_val.zip', str(tmp_path), quiet)

    def test_eval_tools(self, archives, tmp_path, monkeypatch):
        data = (archives / 'eval_tools.zip').read_bytes()
        asked = []

        def urlopen(url, timeout):
            asked.append(url)
            return io.BytesIO(data)

        monkeypatch.setattr(archive_files.urllib.request, 'urlopen', urlopen)
        path = fetch_archive('eval_tools.zip', str(tmp_path / 'new'), quiet)
        assert asked == [archive_files.EVAL_TOOLS_URL]
        assert Path(path).read_bytes() == data
        data = data[:100]
        with pytest.raises(OSError, match='not a whole zip file'):
            fetch_archive('eval_tools.zip', str(tmp_path / 'newer'), quiet)
        assert snapshot(tmp_path / 'newer') == {}

    def test_unknown(self, tmp_path):
        with pytest.raises(ValueError, match='x.zip is not one of'):
            fetch_archive('x.zip', str(tmp_path), quiet)


class TestTool:
    @pytest.fixture()
    def main(self):
        path = REPO_ROOT / 'tools' / 'prepare_widerface.py'
        spec = importlib.util.spec_from_file_location('prepare_widerface', path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.main

    def test_unpack_then_verify(self, main, archives, tmp_path, capsys):
        root = str(tmp_path / 'root')
        assert main(['--root', root, '--verify-only']) == 1
        assert 'Needed: WIDER_train.zip, WIDER_val.zip' in capsys.readouterr().out
        assert not Path(root).exists()
        assert main(['--root', root, '--archives', str(archives)]) == 0
        assert 'Complete.' in capsys.readouterr().out
        assert main(['--root', root, '--verify-only']) == 0

    def test_image_list(self, main, archives, tmp_path, capsys):
        root = tmp_path / 'root'
        main(['--root', str(root), '--archives', str(archives)])
        (root / 'WIDER_train/images' / TRAIN[0]).unlink()
        (root / 'few.txt').write_text(TRAIN[1])
        verify_only = ['--root', str(root), '--verify-only']
        assert main(verify_only) == 1
        assert '--train-list' in capsys.readouterr().out
        assert main([*verify_only, '--train-list', 'few.txt']) == 0
        with pytest.raises(FileNotFoundError, match=r'no image list none\.txt or'):
            main([*verify_only, '--val-list', 'none.txt'])

    def test_error(self, main, archives, tmp_path):
        (archives / 'WIDER_val.zip').write_bytes(b'no zip')
        root = str(tmp_path / 'root')
        with pytest.raises(OSError, match='the archive'):
            main(['--root', root, '--archives', str(archives)])

    def test_options_that_exclude_each_other(self, main, capsys):
        with pytest.raises(SystemExit) as error:
            main(['--verify-only', '--download'])
        assert error.value.code == 2
        assert '--verify-only goes with neither' in capsys.readouterr().err

    def test_real_data(self, main, widerface_root, capsys):
        args = ['--root', str(widerface_root), '--verify-only']
        image_lists = ['--train-list', 'train_subset.txt', '--val-list']
        assert main([*args, *image_lists, 'val_subset.txt']) == 0
        out = capsys.readouterr().out
        assert '12,880 images, 159,420 faces' in out
        assert '581 of 581 listed' in out
