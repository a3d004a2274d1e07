"""Faces from official files, sound and damaged, and from other annotations."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmdet_facepatch.evaluation.functional.faces import ATTRIBUTE_VALUES
from mmdet_facepatch.evaluation.io.ground_truth import load_faces, load_ground_truth


def cell(*items):
    array = np.empty((len(items), 1), dtype=object)
    for i, item in enumerate(items):
        array[i, 0] = item
    return array


def write_subset(path, kept, num_faces=300, compress=False, **more):
    """A list of one event with two images; the second keeps nothing."""
    savemat = pytest.importorskip('scipy.io').savemat
    savemat(
        path,
        {
            'event_list': cell('0--Parade'),
            'file_list': cell(cell('a.jpg.jpg', 'b')),
            'face_bbx_list': cell(cell(np.ones((num_faces, 4)), np.ones((2, 4)))),
            'gt_list': cell(cell(kept, np.zeros((0, 0), dtype=np.uint8))),
            **more,
        },
        do_compression=compress,
    )


def test_subset_lists(tmp_path):
    write_subset(tmp_path / 'wider_easy_val.mat', np.array([[1], [200], [255]], 'u1'))
    faces = load_ground_truth(tmp_path, names=('easy',))
    assert list(faces) == ['0--Parade/a.jpg.jpg', '0--Parade/b']
    first, second = faces.values()
    assert np.flatnonzero(first.keep['easy']).tolist() == [0, 199, 254]
    assert first.keep['easy'].shape == (300,)
    assert second.keep['easy'].tolist() == [False, False]
    # x y w h of ones.
    assert second.boxes.tolist() == [[1.0, 1.0, 2.0, 2.0]] * 2
    assert first.attributes is None


def test_attributes(tmp_path):
    """Columns in the order of the annotation text."""
    # The column's number in binary, one digit a face.
    labels = {
        f'{name}_label_list': cell(
            cell(np.array([[i >> 2], [i >> 1 & 1], [i & 1]]), np.ones((2, 1)))
        )
        for i, name in enumerate(ATTRIBUTE_VALUES)
    }
    path = tmp_path / 'wider_hard_val.mat'
    write_subset(path, np.array([[1]], 'u1'), 3, **labels)
    faces = load_ground_truth(tmp_path, names=('hard',))
    assert faces['0--Parade/a.jpg.jpg'].attributes.tolist() == [
        [0, 0, 0, 0, 1, 1],
        [0, 0, 1, 1, 0, 0],
        [0, 1, 0, 1, 0, 1],
    ]
    labels['blur_label_list'] = cell(cell(np.zeros((4, 1)), np.zeros((2, 1))))
    write_subset(path, np.array([[1]], 'u1'), 3, **labels)
    with pytest.raises(ValueError, match='0--Parade/a.* 3 boxes and 4 values of blur'):
        load_ground_truth(tmp_path, names=('hard',))


def test_lists_that_disagree(tmp_path):
    for name, count in (('easy', 3), ('medium', 3), ('hard', 4)):
        write_subset(tmp_path / f'wider_{name}_val.mat', np.array([[1]], 'u1'), count)
    with pytest.raises(ValueError, match='wider_hard_val.mat and .*easy.* disagree'):
        load_ground_truth(tmp_path)
    faces = load_ground_truth(tmp_path, names=('easy', 'medium'))
    assert list(next(iter(faces.values())).keep) == ['easy', 'medium']


def test_says_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match='wider_easy_val.mat'):
        load_ground_truth(tmp_path)
    (tmp_path / 'wider_easy_val.mat').write_bytes(b'not a mat file' * 20)
    with pytest.raises(ValueError, match=r'wider_easy_val.mat is not a readable'):
        load_ground_truth(tmp_path)
    (tmp_path / 'wider_easy_val.mat').write_bytes(b'')
    with pytest.raises(ValueError, match=r'wider_easy_val.mat is not a readable'):
        load_ground_truth(tmp_path)
    write_subset(tmp_path / 'wider_easy_val.mat', np.array([[4]], 'u1'), 3)
    with pytest.raises(ValueError, match='0--Parade/a.* names face 4 of 3'):
        load_ground_truth(tmp_path)
    write_subset(tmp_path / 'wider_easy_val.mat', np.array([[2], [2]], 'u1'))
    with pytest.raises(ValueError, match='names a face twice'):
        load_ground_truth(tmp_path)


@pytest.mark.parametrize('compress', [False, True])
def test_cut_off_subset_lists(tmp_path, compress):
    path = tmp_path / 'wider_easy_val.mat'
    write_subset(path, np.array([[2]], 'u1'), compress=compress)
    raw = path.read_bytes()
    assert load_ground_truth(tmp_path, names=('easy',))
    for length in np.linspace(0, len(raw) - 1, 40, dtype=int):
        path.write_bytes(raw[:length])
        with pytest.raises(ValueError, match=r'wider_easy_val.mat'):
            load_ground_truth(tmp_path, names=('easy',))


def test_damaged_subset_lists(tmp_path):
    """Each byte of the compressed part matters; none may crash the process."""
    path = tmp_path / 'wider_easy_val.mat'
    write_subset(path, np.array([[2]], 'u1'), compress=True)
    raw = path.read_bytes()
    for position in range(128, len(raw)):
        damaged = bytearray(raw)
        damaged[position] ^= 0x55
        path.write_bytes(bytes(damaged))
        with pytest.raises(ValueError, match=r'wider_easy_val.mat is not a readable'):
            load_ground_truth(tmp_path, names=('easy',))


def test_other_mat_files(tmp_path):
    savemat = pytest.importorskip('scipy.io').savemat
    path = tmp_path / 'wider_easy_val.mat'
    savemat(path, {'event_list': cell('a')})
    with pytest.raises(ValueError, match=r"lacks \['file_list'"):
        load_ground_truth(tmp_path)
    keys = ('event_list', 'file_list', 'face_bbx_list', 'gt_list')
    savemat(path, {key: np.ones((2, 1)) for key in keys})
    with pytest.raises(ValueError, match='not laid out as an official subset list'):
        load_ground_truth(tmp_path)


def test_official_files(widerface_root):
    """The counts that the protocol's description states, and the text's faces."""
    folder = widerface_root / 'eval_tools' / 'ground_truth'
    faces = load_faces(folder)
    names = ('easy', 'medium', 'hard')
    kept = {n: sum(f.keep[n].sum() for f in faces.values()) for n in names}
    assert kept == {'easy': 7211, 'medium': 13319, 'hard': 31958}
    empty = {n: sum(not f.keep[n].any() for f in faces.values()) for n in names}
    assert empty == {'easy': 622, 'medium': 207, 'hard': 7}
    assert len(faces) == 3226
    assert sum(len(f.boxes) for f in faces.values()) == 39708
    for image in faces.values():
        assert not (image.keep['easy'] & ~image.keep['medium']).any()
        assert not (image.keep['medium'] & ~image.keep['hard']).any()
    # A face without extent, kept all the same.
    odd = faces['39--Ice_Skating/39_Ice_Skating_iceskiing_39_583']
    assert odd.keep['hard'][7]
    assert (odd.boxes[7, 2:] <= odd.boxes[7, :2]).any()
    text = load_faces(widerface_root / 'wider_face_split' / 'wider_face_val_bbx_gt.txt')
    assert list(text) == list(faces)
    for img_id, image in faces.items():
        assert np.array_equal(text[img_id].boxes, image.boxes)
        assert np.array_equal(text[img_id].attributes, image.attributes)
        assert not text[img_id].keep


def test_coco(tmp_path):
    path = tmp_path / 'faces.json'
    faces = [
        dict(image_id=7, bbox=[1, 2, 3, 4], id=1, category_id=1),
        dict(image_id=7, bbox=[5.5, 0, 10, 20], iscrowd=1, id=2, category_id=1),
    ]
    images = [dict(id=7, file_name='a.jpg'), dict(id=8, file_name='b.jpg')]
    path.write_text(json.dumps(dict(images=images, annotations=faces)))
    found = load_faces(path)
    assert list(found) == ['7', '8']
    assert found['7'].boxes.tolist() == [[1, 2, 4, 6], [5.5, 0, 15.5, 20]]
    assert found['7'].keep['all'].tolist() == [True, False]
    assert found['8'].boxes.shape == (0, 4)
    path.write_text(json.dumps(dict(images=images, annotations=[dict(image_id=9)])))
    with pytest.raises(ValueError, match='faces.json is no COCO annotation'):
        load_faces(path)


def test_other_files(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing.json'):
        load_faces(tmp_path / 'nothing.json')
    (tmp_path / 'faces.xml').write_text('')
    with pytest.raises(ValueError, match='faces.xml is no annotation that is known'):
        load_faces(tmp_path / 'faces.xml')
