"""Loading of images."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmdet.registry import TRANSFORMS

from mmdet_facepatch.datasets.loading import LoadIntactImage, image_is_complete


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
