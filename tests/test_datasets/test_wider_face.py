"""The WIDER FACE annotation and data set."""

from __future__ import annotations

import pickle
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS

import mmdet_facepatch.datasets.wider_face as wider_face
from mmdet_facepatch.datasets.wider_face import WiderFaceDataset, find_missing_images
from mmdet_facepatch.utils.wider_annotation import (
    parse_wider_annotation,
    read_image_list,
)

ANN_FILE = 'wider_face_split/wider_face_train_bbx_gt.txt'

# Every trap of the format: flags, degenerate boxes, count 0 with its line of zeros
# and without it, trailing blanks.
ANNOTATION = """\
0--Parade/a.jpg
3
10 20 30 40 1 0 1 0 2 1 \n\
5 6 7 8 0 0 0 1 0 0 \n\
50 60 0 9 2 1 0 0 0 0 \n\
0--Parade/none.jpg
0
0 0 0 0 0 0 0 0 0 0 \n\
1--Handshaking/bare.jpg
0
1--Handshaking/b.jpg
1
-3 4 11 -2 0 0 0 0 0 0

"""
PATHS = (
    '0--Parade/a.jpg',
    '0--Parade/none.jpg',
    '1--Handshaking/bare.jpg',
    '1--Handshaking/b.jpg',
)


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return str(path)


@pytest.fixture()
def root(tmp_path: Path) -> Path:
    """A small WIDER FACE with images of 64 x 48 pixels."""
    write(tmp_path / ANN_FILE, ANNOTATION)
    for path in PATHS:
        file = tmp_path / 'WIDER_train/images' / path
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.full((48, 64, 3), 90, np.uint8))
    return tmp_path


def build(root: Path, **kwargs) -> WiderFaceDataset:
    config = dict(type='WiderFaceDataset', data_root=str(root), ann_file=ANN_FILE)
    return DATASETS.build({**config, **kwargs})


class TestParse:
    @pytest.mark.parametrize('newline', ['\n', '\r\n'])
    @pytest.mark.parametrize('mark', ['', '\ufeff'])
    def test_values(self, tmp_path, newline, mark):
        text = mark + ANNOTATION.replace('\n', newline)
        images = parse_wider_annotation(write(tmp_path / 'a.txt', text))
        assert tuple(images) == PATHS
        first = images[PATHS[0]]
        assert first.path == PATHS[0]
        assert first.img_id == '0--Parade/a'
        assert first.boxes.dtype == np.float32
        assert first.boxes.tolist() == [[10, 20, 30, 40], [5, 6, 7, 8], [50, 60, 0, 9]]
        assert first.attributes.tolist() == [
            [1, 0, 1, 0, 2, 1],
            [0, 0, 0, 1, 0, 0],
            [2, 1, 0, 0, 0, 0],
        ]
        assert first.ignored.tolist() == [False, True, True]
        assert images[PATHS[3]].ignored.tolist() == [True]
        for path in PATHS[1:3]:
            assert images[path].boxes.shape == (0, 4)
            assert images[path].attributes.shape == (0, 6)

    def test_only_images_without_faces(self, tmp_path):
        path = write(tmp_path / 'a.txt', 'e/a.jpg\n0\ne/b.jpg\n0\n0 0 0 0 0 0 0 0 0 0')
        assert [len(i.boxes) for i in parse_wider_annotation(path).values()] == [0, 0]

    def test_fractions_are_kept(self, tmp_path):
        path = write(tmp_path / 'a.txt', 'e/a.jpg\n1\n0.5 1 2.25 3 0 0 0 0 0 0')
        (image,) = parse_wider_annotation(path).values()
        assert image.boxes.tolist() == [[0.5, 1, 2.25, 3]]

    @pytest.mark.parametrize(
        ('text', 'line', 'what'),
        [
            ('e/a.jpg\n1\n1 2 3 4 0 0 0 0 0\n', 3, 'expected a face of e/a.jpg'),
            ('e/a.jpg\n1\n1 2 3 4 0 0 0 0 0 0 0\n', 3, 'expected a face'),
            ('e/a.jpg\n1\n1 2 x 4 0 0 0 0 0 0\n', 3, "'1 2 x 4 0 0 0 0 0 0'"),
            ('e/a.jpg\n1\n1 2 nan 4 0 0 0 0 0 0\n', 3, 'expected a face'),
            ('e/a.jpg\n1\n1 2 3 4 0.5 0 0 0 0 0\n', 3, 'attributes are integers'),
            # numbers of columns that would balance over two lines
            (
                'e/a.jpg\n2\n1 2 3 4 0 0 0 0 0\n1 2 3 4 0 0 0 0 0 0 0\n',
                3,
                'expected a face',
            ),
            (
                'e/a.jpg\n2\n1 2 3 4 0 0 0 0 0 0\ne/b.jpg\n0\n',
                4,
                'count 2 on line 2 is too large',
            ),
            ('e/a.jpg\n3\n1 2 3 4 0 0 0 0 0 0\n', 2, 'only 1 lines are left'),
            (
                'e/a.jpg\n1\n1 2 3 4 0 0 0 0 0 0\n5 6 7 8 0 0 0 0 0 0\n',
                4,
                'the count on line 2 may be too small',
            ),
            ('e/a.jpg\n0\n1 2 3 4 0 0 0 0 0 0\n', 3, 'expected the path of an image'),
            ('e/a.jpg\n', 1, 'ends before its face count'),
            ('e/a.jpg\nmany\n', 2, "expected a face count; the line is 'many'"),
            ('e/a.jpg\n-1\n', 2, 'expected a face count'),
            ('e/a.jpg\n0\ne/a.jpg\n0\n', 3, 'annotated already on line 1'),
            ('12 3\n', 1, 'expected the path of an image'),
        ],
    )
    def test_malformed(self, tmp_path, text, line, what):
        path = write(tmp_path / 'a.txt', text)
        with pytest.raises(ValueError) as error:
            parse_wider_annotation(path)
        message = str(error.value)
        assert message.startswith(f'{path}, line {line}: ')
        assert what in message
        assert repr(text.split('\n')[line - 1]) in message

    @pytest.mark.parametrize('text', ['', '\n \n'])
    def test_empty(self, tmp_path, text):
        with pytest.raises(ValueError, match='a.txt: the annotation file is empty'):
            parse_wider_annotation(write(tmp_path / 'a.txt', text))

    @pytest.mark.parametrize(
        ('split', 'images', 'faces', 'most', 'invalid', 'degenerate'),
        [
            # 159,424 rows in the .mat: four are the zeros of images without faces
            ('train', 12880, 159420, 1968, 2399, 27),
            ('val', 3226, 39708, 709, 585, 11),
        ],
    )
    def test_official(
        self, widerface_root, split, images, faces, most, invalid, degenerate
    ):
        path = widerface_root / f'wider_face_split/wider_face_{split}_bbx_gt.txt'
        start = time.process_time()
        parsed = list(parse_wider_annotation(str(path)).values())
        assert time.process_time() - start < 3  # about 0.6 s
        counts = [len(image.boxes) for image in parsed]
        boxes = np.concatenate([image.boxes for image in parsed])
        flags = np.concatenate([image.attributes for image in parsed])[:, 3]
        assert (len(parsed), sum(counts), max(counts)) == (images, faces, most)
        assert flags.sum() == invalid
        assert (boxes[:, 2:] <= 0).any(1).sum() == degenerate

    def test_same_as_mat(self, widerface_root):
        """The official .mat of the validation set holds the same numbers."""
        loadmat = pytest.importorskip('scipy.io').loadmat
        mat = loadmat(
            str(widerface_root / 'eval_tools/ground_truth/wider_face_val.mat')
        )
        parsed = parse_wider_annotation(
            str(widerface_root / 'wider_face_split/wider_face_val_bbx_gt.txt')
        )
        seen = 0
        for event, files, boxes in zip(
            mat['event_list'], mat['file_list'], mat['face_bbx_list']
        ):
            for file, box in zip(files[0], boxes[0]):
                image = parsed[f'{event[0][0]}/{file[0][0]}.jpg']
                np.testing.assert_array_equal(image.boxes, box[0].astype(np.float32))
                seen += 1
        assert seen == len(parsed)


class TestDataset:
    def test_data_info(self, root):
        dataset = build(root, test_mode=True)
        assert len(dataset) == 4
        assert dataset.metainfo['classes'] == ('face',)
        info = dataset.get_data_info(0)
        assert info['img_id'] == '0--Parade/a'
        assert Path(info['img_path']) == root / 'WIDER_train/images/0--Parade/a.jpg'
        assert info['instances'] == [
            dict(
                bbox=[10, 20, 40, 60],
                bbox_label=0,
                ignore_flag=0,
                attributes=dict(
                    blur=1, expression=0, illumination=1, invalid=0, occlusion=2, pose=1
                ),
            ),
            dict(
                bbox=[5, 6, 12, 14],
                bbox_label=0,
                ignore_flag=1,
                attributes=dict(
                    blur=0, expression=0, illumination=0, invalid=1, occlusion=0, pose=0
                ),
            ),
            dict(
                bbox=[50, 60, 50, 69],
                bbox_label=0,
                ignore_flag=1,
                attributes=dict(
                    blur=2, expression=1, illumination=0, invalid=0, occlusion=0, pose=0
                ),
            ),
        ]
        assert [len(dataset.get_data_info(i)['instances']) for i in range(4)] == [
            3,
            0,
            0,
            1,
        ]

    def test_pipeline(self, root):
        """mmdet's own transforms accept degenerate boxes and empty images."""
        dataset = build(
            root,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations', with_bbox=True),
                dict(type='PackDetInputs', meta_keys=('img_id', 'instances')),
            ],
        )
        sample = dataset[0]['data_samples']
        assert sample.gt_instances.bboxes.tensor.tolist() == [[10, 20, 40, 60]]
        assert len(sample.ignored_instances) == 2
        assert len(sample.instances) == 3
        assert len(dataset[1]['data_samples'].gt_instances) == 0

    def test_image_list(self, root):
        names = [PATHS[3], PATHS[0]]
        write(root / 'few.txt', f'# two\n{names[0]}\n\n {names[1]} \n')
        dataset = build(root, image_list='few.txt')
        assert [dataset.get_data_info(i)['img_id'] for i in range(2)] == [
            '1--Handshaking/b',
            '0--Parade/a',
        ]
        assert len(dataset) == 2

    def test_image_list_needs_only_its_images(self, root):
        (root / 'WIDER_train/images' / PATHS[3]).unlink()
        write(root / 'few.txt', PATHS[0])
        assert len(build(root, image_list='few.txt')) == 1

    def test_image_list_outside_root(self, root, tmp_path_factory):
        path = write(tmp_path_factory.mktemp('lists') / 'few.txt', PATHS[0])
        assert len(build(root, image_list=path)) == 1

    @pytest.mark.parametrize(
        ('text', 'what'),
        [
            ('', 'few.txt: the image list is empty'),
            ('# nothing\n', 'few.txt: the image list is empty'),
            ('0--Parade/x.jpg', '1 of 1 entries are not annotated.*0--Parade/x.jpg'),
            (f'{PATHS[0]}\n{PATHS[0]}', f"names '{PATHS[0]}' more than once"),
        ],
    )
    def test_bad_image_list(self, root, text, what):
        write(root / 'few.txt', text)
        with pytest.raises(ValueError, match=what):
            build(root, image_list='few.txt')

    def test_filter_empty(self, root):
        # b.jpg has one face only, which is degenerate
        config = dict(filter_empty_gt=True)
        dataset = build(root, filter_cfg=config)
        assert [dataset.get_data_info(i)['img_id'] for i in range(len(dataset))] == [
            '0--Parade/a'
        ]
        assert len(build(root, filter_cfg=config, test_mode=True)) == 4

    def test_filter_min_size(self, root):
        small = root / 'WIDER_train/images' / PATHS[0]
        cv2.imwrite(str(small), np.zeros((31, 64, 3), np.uint8))
        assert len(build(root, filter_cfg=dict(min_size=31))) == 4
        assert len(build(root, filter_cfg=dict(min_size=32))) == 3
        assert len(build(root, filter_cfg=dict(min_size=32), test_mode=True)) == 4
        with pytest.raises(ValueError, match='leaves none of the 4 images'):
            build(root, filter_cfg=dict(min_size=49))

    def test_min_face_side(self, root):
        write(root / ANN_FILE, ANNOTATION.replace('10 20 30 40', '10 20 30 7'))

        def flags(**kwargs):
            info = build(root, **kwargs).get_data_info(0)
            return [face['ignore_flag'] for face in info['instances']]

        assert flags() == [0, 1, 1]
        assert flags(filter_cfg=dict(bbox_min_size=7)) == [0, 1, 1]
        assert flags(filter_cfg=dict(bbox_min_size=8)) == [1, 1, 1]
        assert flags(filter_cfg=dict(bbox_min_size=8), test_mode=True) == [0, 1, 1]

    def test_unknown_filter_key(self, root):
        with pytest.raises(ValueError, match=r"filter_cfg has unknown keys \['min'\]"):
            build(root, filter_cfg=dict(min=3))

    @pytest.mark.parametrize('serialize', [True, False])
    def test_base_class_features(self, root, serialize):
        dataset = build(root, serialize_data=serialize, indices=3)
        assert len(dataset) == 3
        assert dataset.get_subset([2]).get_data_info(0)['img_id'] == (
            '1--Handshaking/bare'
        )
        copied = pickle.loads(pickle.dumps(dataset))
        assert copied.get_data_info(0) == dataset.get_data_info(0)

    def test_lazy(self, root):
        """Nothing is read before it is needed."""
        dataset = build(root / 'later', lazy_init=True)
        with pytest.raises(FileNotFoundError, match='later does not exist'):
            len(dataset)

    def test_no_image_is_opened(self, root, monkeypatch):
        opened = []
        monkeypatch.setattr(wider_face.Image, 'open', opened.append)
        for path in PATHS:
            (root / 'WIDER_train/images' / path).write_bytes(b'no image')
        assert len(build(root)) == 4
        assert not opened


class TestMissing:
    def check(self, root: Path, *parts: str, **kwargs) -> None:
        with pytest.raises(FileNotFoundError) as error:
            build(root, **kwargs)
        for part in parts:
            assert part in str(error.value)

    def test_root(self, tmp_path):
        gone = tmp_path / 'gone'
        self.check(gone, f'data root {gone}', f'prepare_widerface.py --root {gone}')

    def test_annotation(self, root):
        self.check(root, 'x.txt does not exist', 'prepare', ann_file='x.txt')

    def test_no_annotation(self, root):
        with pytest.raises(ValueError, match='needs ann_file'):
            build(root, ann_file='')

    def test_missing_image_list(self, root):
        self.check(root, 'few.txt does not exist', image_list='few.txt')

    def test_prefix_key(self, root):
        with pytest.raises(ValueError, match="needs the key 'img'"):
            build(root, data_prefix=dict(image='WIDER_train'))

    def test_images_level_not_in_files(self, root):
        images = root / 'WIDER_train/images'
        for folder in images.iterdir():
            folder.rename(root / 'WIDER_train' / folder.name)
        images.rmdir()
        self.check(
            root,
            f'{images} does not exist, but {root / "WIDER_train"} has',
            'WIDER_<split>/images/<event>',
        )

    def test_images_level_not_in_prefix(self, root):
        self.check(
            root,
            f'{root / "WIDER_train"} has no event folder (0--Parade, 1--Handshaking)',
            f'but {root / "WIDER_train/images"} has',
            data_prefix=dict(img='WIDER_train'),
        )

    def test_level_too_many(self, root):
        (root / 'WIDER_train').rename(root / 'moved')
        (root / 'WIDER_train').mkdir()
        (root / 'moved').rename(root / 'WIDER_train/WIDER_train')
        self.check(root, f'but {root / "WIDER_train/WIDER_train/images"} has')

    def test_one_image(self, root):
        (root / 'WIDER_train/images' / PATHS[3]).unlink()
        self.check(root, '1 of 4 images', PATHS[3], '`image_list`', 'prepare')

    def test_event(self, root):
        for path in PATHS[2:]:
            (root / 'WIDER_train/images' / path).unlink()
        (root / 'WIDER_train/images/1--Handshaking').rmdir()
        self.check(root, '2 of 4 images', f'{PATHS[2]}, {PATHS[3]};')

    def test_other_split(self, root):
        """The annotation of one split with the images of the other."""
        for path in PATHS:
            file = root / 'WIDER_train/images' / path
            file.rename(file.with_name('other.jpg'))
        self.check(root, '4 of 4 images', 'data_prefix', f'{PATHS[2]}, ...')

    def test_one_listing_per_event(self, root, monkeypatch):
        listed = []
        scandir = wider_face.os.scandir
        monkeypatch.setattr(
            wider_face.os, 'scandir', lambda p: listed.append(str(p)) or scandir(p)
        )
        images = root / 'WIDER_train/images'
        assert find_missing_images(str(images), PATHS) == []
        assert sorted(listed) == [
            str(images / e) for e in ('0--Parade', '1--Handshaking')
        ]


class TestRealData:
    def test_train_image_list(self, widerface_root):
        dataset = build(widerface_root, image_list='train_subset.txt')
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        assert len(infos) == 581
        # 17,505 rows in the .mat, with the zeros of 0_Parade_Parade_0_452
        assert sum(len(info['instances']) for info in infos) == 17504
        empty = [info['img_id'] for info in infos if not info['instances']]
        assert empty == ['0--Parade/0_Parade_Parade_0_452']
        names = list(read_image_list(str(widerface_root / 'train_subset.txt')))
        assert [info['img_id'] + '.jpg' for info in infos] == names
        filtered = build(
            widerface_root,
            image_list='train_subset.txt',
            filter_cfg=dict(filter_empty_gt=True, min_size=32),
        )
        assert len(filtered) == 580

    def test_whole_is_not_there(self, widerface_root):
        with pytest.raises(FileNotFoundError, match='12299 of 12880 images'):
            build(widerface_root)
