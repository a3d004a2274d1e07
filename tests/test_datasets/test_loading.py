"""Loading of images."""

from __future__ import annotations

import io
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmdet.registry import HOOKS, TRANSFORMS
from mmengine.dataset import ConcatDataset
from PIL import Image
from torch.utils.data import DataLoader

import mmdet_facepatch.engine  # noqa: F401  registers the hook
from mmdet_facepatch.datasets import WiderFaceDataset
from mmdet_facepatch.datasets.transforms.loading import (
    LoadIntactImage,
    find_image_loaders,
    image_is_complete,
    size_in_header,
)


class TestLoadIntactImage:
    @pytest.fixture()
    def image(self):
        rng = np.random.RandomState(1)
        small = rng.randint(0, 256, (9, 12, 3), dtype=np.uint8)
        return cv2.resize(small, (120, 90))

    @pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp'])
    @pytest.mark.parametrize('to_float32', [False, True])
    def test_same_as_mmcv(self, tmp_path, image, suffix, to_float32):
        path = str(tmp_path / f'a{suffix}')
        cv2.imwrite(path, image)
        config = dict(to_float32=to_float32)
        ours = TRANSFORMS.build(dict(type='LoadIntactImage', **config))
        theirs = LoadImageFromFile(**config)
        results = ours(dict(img_path=path))
        expected = theirs(dict(img_path=path))
        np.testing.assert_array_equal(results.pop('img'), expected.pop('img'))
        assert results == expected

    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='a.jpg does not exist'):
            LoadIntactImage()(dict(img_path=str(tmp_path / 'a.jpg')))

    @pytest.mark.parametrize('suffix', ['.jpg', '.png'])
    @pytest.mark.parametrize('share', [0.05, 0.5, 0.95, 0.999])
    def test_truncated(self, tmp_path, image, suffix, share):
        data = cv2.imencode(suffix, image)[1].tobytes()
        path = tmp_path / f'a{suffix}'
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(OSError, match=f'a{suffix} is truncated'):
            LoadIntactImage()(dict(img_path=str(path)))

    @pytest.mark.parametrize('backend', ['cv2', 'pillow'])
    @pytest.mark.parametrize(
        'data', [b'', b'no image', b'\xff\xd8\xff\xda\0\2\xff\xd9']
    )
    def test_undecodable(self, tmp_path, data, backend):
        path = tmp_path / 'a.jpg'
        path.write_bytes(data)
        with pytest.raises(OSError, match='a.jpg .* cannot be decoded'):
            LoadIntactImage(imdecode_backend=backend)(dict(img_path=str(path)))

    def test_bytes_after_the_end(self, image):
        data = cv2.imencode('.jpg', image)[1].tobytes()
        assert image_is_complete(data + b'\0' * 20)
        assert image_is_complete(data + b'\xff\xda junk')

    @pytest.mark.parametrize('progressive', [0, 1])
    def test_thumbnail(self, image, progressive):
        """An embedded preview has an end marker of its own."""
        flags = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
        thumbnail = cv2.imencode('.jpg', image[:20, :20])[1].tobytes()
        data = cv2.imencode('.jpg', image, flags)[1].tobytes()
        segment = b'\xff\xe1' + (len(thumbnail) + 2).to_bytes(2, 'big') + thumbnail
        whole = data[:2] + segment + data[2:]
        assert image_is_complete(whole)
        for end in range(2, len(whole)):
            assert not image_is_complete(whole[:end])

    def test_unknown_format(self):
        assert image_is_complete(b'BM...')

    def test_real_images(self, widerface_root):
        paths = sorted((widerface_root / 'WIDER_train/images').glob('*/*.jpg'))[::40]
        assert paths
        for path in paths:
            data = path.read_bytes()
            assert image_is_complete(data)
            assert not image_is_complete(data[:-1000])


def encode(picture, kind, **more):
    stream = io.BytesIO()
    picture.save(stream, kind, **more)
    return stream.getvalue()


class TestGrid:
    """Annotated coordinates are those of the pixels as stored."""

    @pytest.fixture()
    def path(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6  # to be shown turned by 90 degrees
        picture = Image.new('RGB', (40, 20))
        picture.paste((255, 255, 255), (32, 0, 40, 8))
        path = tmp_path / 'a.png'
        path.write_bytes(encode(picture, 'PNG', exif=exif.tobytes()))
        return str(path)

    @pytest.mark.parametrize('backend', ['cv2', 'pillow'])
    def test_as_stored(self, path, backend):
        results = LoadIntactImage(imdecode_backend=backend)(dict(img_path=path))
        assert results['ori_shape'] == (20, 40)
        assert results['img'][:8, 32:].min() == 255
        assert results['img'].sum() == 255 * 3 * 64

    def test_as_shown_on_demand(self, path):
        results = LoadIntactImage(color_type='color')(dict(img_path=path))
        assert results['ori_shape'] == (40, 20)
        assert results['img'][32:, 12:].min() == 255

    def test_mmcv_turns_it(self, path):
        """Why the flag is set."""
        assert LoadImageFromFile()(dict(img_path=path))['ori_shape'] == (40, 20)

    @pytest.mark.parametrize('backend', ['turbojpeg', 'tifffile'])
    def test_backends_without_the_flag(self, backend):
        assert LoadIntactImage(imdecode_backend=backend).color_type == 'color'


class TestSize:
    def test_header(self):
        for kind in ('JPEG', 'PNG', 'GIF', 'BMP', 'TIFF', 'WEBP', 'PPM'):
            assert size_in_header(encode(Image.new('RGB', (7, 5)), kind)) == (7, 5)
        with pytest.raises(ValueError, match='it is none of JPEG, PNG'):
            size_in_header(b'no image')

    def test_limit(self, tmp_path):
        path = tmp_path / 'a.png'
        path.write_bytes(encode(Image.new('RGB', (7, 5)), 'PNG'))
        assert LoadIntactImage(max_pixels=35)(dict(img_path=str(path)))
        with pytest.raises(OSError, match='a.png declares 7 x 5 .* max_pixels=34'):
            LoadIntactImage(max_pixels=34)(dict(img_path=str(path)))

    @pytest.mark.parametrize(
        'arguments', [dict(max_pixels=0), dict(unreadable='ignore')]
    )
    def test_bad_arguments(self, arguments):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            LoadIntactImage(**arguments)


class TestUnreadable:
    """One of four images is empty."""

    @pytest.fixture()
    def build(self, tmp_path):
        folder = tmp_path / 'WIDER_train/images/e'
        folder.mkdir(parents=True)
        for name in 'abcd':
            data = b'' if name == 'c' else encode(Image.new('RGB', (8, 8)), 'PNG')
            (folder / f'{name}.png').write_bytes(data)
        lines = '\n'.join(f'e/{name}.png\n1\n1 1 4 4 0 0 0 0 0 0' for name in 'abcd')
        (tmp_path / 'faces.txt').write_text(lines)

        def build(unreadable, **kwargs):
            steps = [
                dict(type='LoadIntactImage', unreadable=unreadable),
                dict(type='PackDetInputs', meta_keys=('img_id',)),
            ]
            return WiderFaceDataset(
                data_root=str(tmp_path), ann_file='faces.txt', pipeline=steps, **kwargs
            )

        return build

    def test_stop(self, build):
        dataset = build('stop')
        assert dataset[0]['data_samples'].img_id == 'e/a'
        with pytest.raises(OSError, match=r'c\.png .* cannot be decoded'):
            dataset[2]

    def test_skip_takes_another_one(self, build):
        dataset = build('skip')
        np.random.seed(0)
        ids = [dataset[i]['data_samples'].img_id for i in (0, 1, 2, 3)]
        assert ids[:2] + ids[3:] == ['e/a', 'e/b', 'e/d']
        assert ids[2] in ('e/a', 'e/b', 'e/d')
        (load,) = find_image_loaders(dataset)
        assert load.num_skipped >= 1

    @pytest.mark.parametrize('workers', [0, 2])
    def test_workers_count_together(self, build, workers):
        dataset = build('skip')
        loader = DataLoader(
            ConcatDataset([dataset]), num_workers=workers, collate_fn=list
        )
        (load,) = find_image_loaders(loader.dataset)
        for epoch in (1, 2):
            assert len(list(loader)) == 4
            assert load.num_skipped >= epoch

    def test_nothing_to_take(self, build, tmp_path):
        for path in (tmp_path / 'WIDER_train/images/e').iterdir():
            path.write_bytes(b'')
        with pytest.raises(Exception, match='Cannot find valid image after 5'):
            build('skip', max_refetch=5)[0]

    def test_evaluation_stops(self, build):
        dataset = build('skip', test_mode=True)
        assert dataset[1]['data_samples'].img_id == 'e/b'
        with pytest.raises(OSError, match=r'c\.png .* evaluation leaves out no image'):
            dataset[2]

    def test_hook_tells(self, build, tmp_path):
        loader = DataLoader(build('skip'), collate_fn=list)
        list(loader)
        (load,) = find_image_loaders(loader.dataset)
        lines, infos = [], {}
        runner = SimpleNamespace(
            train_dataloader=loader,
            logger=SimpleNamespace(warning=lines.append),
            message_hub=SimpleNamespace(update_info=infos.__setitem__),
        )
        hook = HOOKS.build(dict(type='UnreadableImagesHook'))
        hook.after_train_epoch(runner)
        assert len(lines) == 1
        assert lines[0].startswith(f'{load.num_skipped} times an image could not be')
        assert infos == dict(unreadable_images=load.num_skipped)
        hook.after_train(runner)
        assert len(lines) == 1
