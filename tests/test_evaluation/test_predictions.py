"""Files with the detections of a whole data set."""

from __future__ import annotations

import io
import os
import pickle
import re
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mmdet_facepatch.evaluation import (
    Detections,
    check_detections,
    load_predictions,
    read_text_predictions,
    save_predictions,
    write_text_predictions,
)

IMG_ID = '0--Parade/0_Parade_marchingband_1_465'
OTHER_ID = '1--Handshaking/1_Handshaking_Handshaking_1_35'


def detections(num=3, dtype=np.float32, margins=False, patch_boxes=None, seed=0):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-20, 1000, (num, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0, 300, (num, 2))], axis=1)
    return Detections(
        boxes=boxes.astype(dtype),
        scores=rng.random(num).astype(dtype),
        margins=rng.normal(size=num).astype(dtype) if margins else None,
        patch_boxes=patch_boxes,
    )


def assert_equal(found, expected):
    """The same arrays, dtypes included."""
    for name in ('boxes', 'scores', 'margins', 'patch_boxes'):
        left, right = getattr(found, name), getattr(expected, name)
        assert (left is None) == (right is None), name
        if right is not None:
            assert left.dtype == right.dtype, name
            np.testing.assert_array_equal(left, right, err_msg=name)


# check_detections


def test_arrays_get_one_form():
    found = check_detections(
        'a',
        Detections(
            boxes=[[0, 1, 2, 3]],
            scores=np.array([1], dtype=np.int32),
            margins=np.array([0.5], dtype=np.float16),
            patch_boxes=np.array([[0.0, 0.0, 4.0, 4.0]]),
        ),
    )
    assert found.boxes.dtype == np.float64
    assert found.scores.dtype == np.float64
    assert found.margins.dtype == np.float32
    assert found.patch_boxes.dtype == np.int64
    assert found.patch_boxes.tolist() == [[0, 0, 4, 4]]


@pytest.mark.parametrize('dtype', ['>f4', '>f8', '<f4', '<f8'])
def test_floating_dtype_is_kept_in_native_order(dtype):
    found = check_detections('a', detections(dtype=np.dtype(dtype), margins=True))
    for array in (found.boxes, found.scores, found.margins):
        assert array.dtype == np.dtype(dtype).newbyteorder('=')
    np.testing.assert_array_equal(found.boxes, detections(dtype=dtype).boxes)


def test_what_has_the_form_is_not_copied():
    given_ = detections(margins=True, patch_boxes=np.zeros((0, 4), dtype=np.int64))
    found = check_detections('a', given_)
    for name in ('boxes', 'scores', 'margins', 'patch_boxes'):
        assert getattr(found, name) is getattr(given_, name)


def test_empty_arrays():
    found = check_detections('a', Detections([], [], margins=[], patch_boxes=[]))
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == found.margins.shape == (0,)
    assert found.patch_boxes.shape == (0, 4)
    assert found.patch_boxes.dtype == np.int64
    assert check_detections('a', Detections([], [])).patch_boxes is None


BOX = [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(boxes=[BOX, [0, 0, np.nan, 1]]), r'boxes\[1\] = .*nan.* is NaN or inf'),
        (dict(boxes=[BOX, [-np.inf, 0, 1, 1]]), r'boxes\[1\] = .* is NaN or infinite'),
        (dict(boxes=[BOX, [1, 0, 0, 1]]), r'boxes\[1\] = .* has x2 < x1 or y2 < y1'),
        (dict(boxes=[BOX, [0, 1, 1, 0]]), r'boxes\[1\] = .* has x2 < x1 or y2 < y1'),
        (dict(boxes=[BOX]), r'scores must be \(1,\), one for each box.* \(2,\)'),
        (dict(boxes=np.zeros((2, 5))), r'boxes must be \(N, 4\), got shape \(2, 5\)'),
        (dict(boxes=np.zeros(8)), r'boxes must be \(N, 4\), got shape \(8,\)'),
        (dict(boxes=np.zeros((4, 0))), r'boxes must be \(N, 4\), got shape \(4, 0\)'),
        (dict(boxes=[BOX, [0]]), 'boxes are not an array'),
        (dict(boxes=[['a'] * 4] * 2), 'boxes must be real numbers, not <U1'),
        (dict(scores=[0.5, np.nan]), r'scores\[1\] = nan is NaN or infinite'),
        (dict(scores=[0.5, 1.5]), r'scores\[1\] = 1.5 lies outside \[0, 1\]'),
        (dict(scores=[0.5, -0.5]), r'scores\[1\] = -0.5 lies outside \[0, 1\]'),
        (dict(scores=[[0.5], [0.5]]), r'scores must be \(2,\).*got shape \(2, 1\)'),
        (dict(scores=[True, False]), 'scores must be real numbers, not bool'),
        (dict(scores=np.array([0.5, None])), 'scores must be real numbers, not object'),
        (dict(margins=[1.0]), r'margins must be \(2,\), one for each box'),
        (dict(margins=[1.0, np.inf]), r'margins\[1\] = inf is NaN or infinite'),
        (dict(patch_boxes=[[0, 0, 4]]), r'patch_boxes must be \(N, 4\)'),
        (dict(patch_boxes=[[4, 0, 0, 4]]), r'patch_boxes\[0\] = .* has x2 < x1'),
        (dict(patch_boxes=[[0.5, 0, 4, 4]]), r'patch_boxes\[0\].*not whole pixels'),
        (dict(patch_boxes=[[np.nan, 0, 4, 4]]), r'patch_boxes\[0\].*not whole pixels'),
        (dict(patch_boxes=[[0, 0, 2.0**63, 4]]), r'patch_boxes\[0\].*not whole pixels'),
    ],
)
def test_what_is_wrong_with_an_image(fields, message):
    wrong = Detections(**{'boxes': [BOX, BOX], 'scores': [0.5, 0.25], **fields})
    with pytest.raises(ValueError, match=f'^image 7: {message}'):
        check_detections('image 7', wrong)


# Text


def put(folder, name, text, encoding='utf-8'):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def test_the_text_format(tmp_path):
    found = Detections(
        boxes=np.array([[1, 2, 3, 5], [10, 20, 10.5, 20], [0, 0, 1, 1]], np.float32),
        scores=np.array([0.25, 0.1, 0.25], np.float32),
    )
    write_text_predictions(tmp_path / 'out', {'0--Parade/a': found, '139': found})
    # 0.1 is no float32; the one nearest to it is written, with all its digits.
    expected = (
        'a\n3\n1.0 2.0 2.0 3.0 0.25\n0.0 0.0 1.0 1.0 0.25\n'
        '10.0 20.0 0.5 0.0 0.10000000149011612\n'
    )
    written = tmp_path / 'out' / '0--Parade' / 'a.txt'
    assert written.read_bytes().decode() == expected
    assert (tmp_path / 'out' / '139.txt').read_bytes().decode()[3:] == expected[1:]
    assert sorted(p.name for p in tmp_path.iterdir()) == ['out']


def test_text_leaves_margins_and_patches_out(tmp_path):
    found = detections(margins=True, patch_boxes=np.array([[0, 0, 4, 4]]))
    write_text_predictions(tmp_path / 'out', {'a': found})
    back = read_text_predictions(tmp_path / 'out')['a']
    assert back.margins is None
    assert back.patch_boxes is None


# Left and upper ends below 2^-13 are tested apart: see test_text_near_zero.
coordinates = st.floats(-16384, 16384, width=32).filter(
    lambda value: value == 0 or abs(value) >= 2**-13
)
unit = st.floats(0, 1, width=32)


@settings(max_examples=60, deadline=None)
@given(
    corners=hnp.arrays(np.float32, (6, 2, 2), elements=coordinates),
    scores=hnp.arrays(np.float32, 6, elements=unit),
)
def test_text_gives_float32_back(corners, scores, tmp_path_factory):
    boxes = np.sort(corners, axis=1).reshape(6, 4)
    folder = tmp_path_factory.mktemp('text') / 'out'
    write_text_predictions(folder, {IMG_ID: Detections(boxes, scores)})
    back = read_text_predictions(folder)[IMG_ID]
    assert back.boxes.dtype == np.float64
    assert back.scores.dtype == np.float32
    order = np.argsort(-scores, kind='stable')
    # Without a cast: these float64 are the float32.
    np.testing.assert_array_equal(back.scores, scores[order])
    np.testing.assert_array_equal(back.boxes[:, :2], boxes[order, :2])
    np.testing.assert_array_equal(back.boxes.astype(np.float32), boxes[order])
    inside = (boxes[order, :2] >= 0).all(axis=1)
    np.testing.assert_array_equal(back.boxes[inside], boxes[order][inside])


@settings(max_examples=60, deadline=None)
@given(
    corners=hnp.arrays(np.float32, (6, 2, 2), elements=st.floats(0, 2**31, width=32))
)
def test_text_gives_any_float32_inside_the_image_back(corners, tmp_path_factory):
    boxes = np.sort(corners, axis=1).reshape(6, 4)
    folder = tmp_path_factory.mktemp('text') / 'out'
    write_text_predictions(folder, {'a': Detections(boxes, np.full(6, 0.5))})
    back = read_text_predictions(folder)['a']
    np.testing.assert_array_equal(back.boxes, boxes)


def test_text_of_other_scores_stays_float64(tmp_path):
    """One score that is no float32 is enough: 0.9 is not 0.89999998."""
    boxes = np.array([[0.0, 0, 9, 9]])
    write_text_predictions(
        tmp_path / 'out',
        {
            'a': Detections(boxes, np.array([0.9])),
            'b': Detections(boxes, np.array([0.5])),
        },
    )
    back = read_text_predictions(tmp_path / 'out')
    assert back['a'].scores.tolist() == [0.9]
    assert back['b'].scores.dtype == np.float64


def test_text_near_zero(tmp_path):
    # The documented limit: no w gives -100 + w = 1e-20 in float64.
    boxes = np.array([[-100, -100, 1e-20, -1e-20]], dtype=np.float32)
    write_text_predictions(tmp_path / 'out', {'a': Detections(boxes, np.ones(1))})
    back = read_text_predictions(tmp_path / 'out')['a']
    np.testing.assert_allclose(back.boxes, boxes, rtol=0, atol=1e-13)


def test_text_of_images_without_detections(tmp_path):
    nothing = Detections(np.zeros((0, 4)), np.zeros(0, np.float32))
    write_text_predictions(tmp_path / 'out', {'e/a': nothing, 'e/b': detections()})
    assert (tmp_path / 'out' / 'e' / 'a.txt').read_text() == 'a\n0\n'
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        back = read_text_predictions(tmp_path / 'out')
    assert_equal(back['e/a'], nothing)


@pytest.mark.parametrize('exists', [False, True])
def test_text_folder_appears_whole(tmp_path, monkeypatch, exists):
    target = tmp_path / 'out'
    if exists:
        target.mkdir()
    seen = []
    replace = os.replace

    def spy(source, destination):
        seen.append((sorted(p.name for p in source.rglob('*.txt')), destination))
        replace(source, destination)

    monkeypatch.setattr(os, 'replace', spy)
    write_text_predictions(target, {'e/a': detections(), 'b': detections()})
    assert seen == [(['a.txt', 'b.txt'], target)]
    # As readable as any new folder.
    (tmp_path / 'new').mkdir()
    assert target.stat().st_mode == (tmp_path / 'new').stat().st_mode


def test_text_through_a_link(tmp_path):
    (tmp_path / 'place').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'place')
    write_text_predictions(tmp_path / 'link', {'e/a': detections()})
    assert (tmp_path / 'link').is_symlink()
    assert list(read_text_predictions(tmp_path / 'place')) == ['e/a']


def test_failed_text_leaves_nothing(tmp_path, monkeypatch):
    def fail(source, destination):
        raise OSError('disk')

    monkeypatch.setattr(os, 'replace', fail)
    with pytest.raises(OSError, match='disk'):
        write_text_predictions(tmp_path / 'out', {'a': detections()})
    assert list(tmp_path.iterdir()) == []


def test_text_folder_must_be_empty(tmp_path):
    kept = put(tmp_path, 'out/notes.md', 'mine')
    for target in (tmp_path / 'out', kept):
        with pytest.raises(FileExistsError, match='choose another one or remove it'):
            write_text_predictions(target, {'a': detections()})
    assert kept.read_text() == 'mine'


@pytest.mark.parametrize(
    ('img_id', 'message'),
    [
        ('/etc/a', 'cannot name a text file'),
        ('../a', 'cannot name a text file'),
        ('e/../../a', 'cannot name a text file'),
        ('e//a', 'cannot name a text file'),
        ('e/', 'cannot name a text file'),
        ('e/.a', 'cannot name a text file'),
        ('e/a ', 'cannot name a text file'),
        ('a\nb', 'cannot name a text file'),
        ('e/a.jpg', 'must not have the suffix of an image file'),
        ('e/a.PNG', 'must not have the suffix of an image file'),
        ('', 'img_id must be a non-empty str'),
        ('a\0', 'img_id must be a non-empty str'),
        (139, 'img_id must be a non-empty str, got 139'),
    ],
)
def test_ids_that_are_no_text_files(tmp_path, img_id, message):
    with pytest.raises(ValueError, match=message):
        write_text_predictions(tmp_path / 'out', {img_id: detections()})
    assert list(tmp_path.iterdir()) == []


def test_text_that_cannot_be_written(tmp_path):
    target = tmp_path / 'out'
    with pytest.raises(ValueError, match='there are no predictions to write'):
        write_text_predictions(target, {})
    wrong = Detections(np.zeros((1, 4)), np.array([2.0]))
    with pytest.raises(ValueError, match=r'^b: scores\[0\] = 2.0 lies outside'):
        write_text_predictions(target, {'a': detections(), 'b': wrong})
    wide = Detections(np.array([[-1e308, 0, 1e308, 1]]), np.ones(1))
    with pytest.raises(ValueError, match=r'^b: boxes\[0\] = .* is too large'):
        write_text_predictions(target, {'a': detections(), 'b': wide})
    assert list(tmp_path.iterdir()) == []


ROWS = '1 2 3 4 0.5\n5 6 7 8 0.25\n'


@pytest.mark.parametrize(
    ('name', 'text', 'encoding'),
    [
        ('e/a.txt', 'a\n2\n' + ROWS, 'utf-8'),
        ('e/a.txt', 'a.jpg\n2\n' + ROWS, 'utf-8'),
        ('e/a.txt', 'e/a.jpg\n2\n' + ROWS, 'utf-8'),
        ('e/a.txt', 'some/where/a.png\n2\n' + ROWS, 'utf-8'),
        ('e/a.TXT', 'a.JPG\n2\n' + ROWS, 'utf-8'),
        ('e/a.jpg.txt', 'a\n2\n' + ROWS, 'utf-8'),
        ('e/a.jpeg.txt', 'a.jpg\n2\n' + ROWS, 'utf-8'),
        ('e/a.txt', 'a\n2\n' + ROWS, 'utf-8-sig'),
        ('e/a.txt', ('a\n2\n' + ROWS).replace('\n', '\r\n'), 'utf-8-sig'),
        ('e/a.txt', 'a\n2\n' + ROWS + '\n \r\n\n', 'utf-8'),
        ('e/a.txt', 'a \n 2 \n' + ROWS.rstrip(), 'utf-8'),
        ('e/a.txt', 'a\n2\n' + ROWS.replace(' ', '\t ').replace('\n', ' \n'), 'utf-8'),
        ('e/a.txt', 'a\n2\n1.0e0 2. 3 4 +.5\n5 6 7 8 2.5E-1', 'utf-8'),
    ],
)
def test_spellings_of_the_text_format(tmp_path, name, text, encoding):
    put(tmp_path, name, text, encoding)
    back = read_text_predictions(tmp_path)
    assert list(back) == ['e/a']
    assert back['e/a'].boxes.tolist() == [[1, 2, 4, 6], [5, 6, 12, 14]]
    assert back['e/a'].scores.tolist() == [0.5, 0.25]


def test_suffix_is_taken_off_as_a_whole_and_once(tmp_path):
    # str.rstrip('.jpg') would make 'bi' and 'a' of these.
    put(tmp_path, 'e/bigjpg.txt', 'bigjpg.jpg\n0\n')
    put(tmp_path, 'e/ag.txt', 'ag\n0\n')
    put(tmp_path, 'e/c.jpg.jpg.txt', 'c.jpg.jpg\n0\n')
    assert list(read_text_predictions(tmp_path)) == ['e/ag', 'e/bigjpg', 'e/c.jpg']


def test_which_files_are_read(tmp_path):
    put(tmp_path, '139.txt', '139\n0\n')
    put(tmp_path, 'z.txt', 'z\n0\n')
    put(tmp_path, '2002/08/11/big/img_591.txt', 'img_591\n0\n')
    put(tmp_path, 'e/readme.md', 'no')
    put(tmp_path, 'e/._a.txt', '\0')
    put(tmp_path, '.cache/a.txt', 'no')
    put(tmp_path, 'elsewhere/../../linked/a.txt', 'a\n0\n')
    (tmp_path / 'f').symlink_to(tmp_path.parent / 'linked')
    back = read_text_predictions(tmp_path)
    assert list(back) == ['139', '2002/08/11/big/img_591', 'f/a', 'z']


def test_rows_keep_their_order(tmp_path):
    put(tmp_path, 'a.txt', 'a\n3\n1 0 0 0 0.1\n2 0 0 0 0.9\n3 0 0 0 0.5\n')
    back = read_text_predictions(tmp_path)['a']
    assert back.boxes[:, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ('text', 'line', 'message'),
    [
        ('', 1, "should name image 'a', found ''"),
        ('b\n0\n', 1, "should name image 'a', found 'b'"),
        ('\na\n0\n', 1, "should name image 'a', found ''"),
        ('a.txt\n0\n', 1, "should name image 'a', found 'a.txt'"),
        ('a\n', 2, "should be the number of detections, found ''"),
        ('a\nmany\n', 2, "should be the number of detections, found 'many'"),
        ('a\n-1\n', 2, "should be the number of detections, found '-1'"),
        ('a\n1.0\n1 2 3 4 0.5', 2, "should be the number of detections, found '1.0'"),
        ('a\n' + '9' * 5000, 2, "should be the number of detections, found '9999"),
        ('a\n3\n' + ROWS, 2, 'says 3 detections, but 2 lines follow'),
        ('a\n1\n' + ROWS, 2, 'says 1 detections, but 2 lines follow'),
        ('a\n1\n', 2, 'says 1 detections, but 0 lines follow'),
        ('a\n3\n' + ROWS + '1 2 3 x 1\n', 5, "should be five numbers .*'1 2 3 x 1'"),
        ('a\n3\n' + ROWS + '1 2 3 4\n', 5, "should be five numbers .*'1 2 3 4'"),
        ('a\n3\n' + ROWS + '1 2 3 4 5 6\n', 5, 'should be five numbers'),
        ('a\n2\n1 2 3 4\n5 6 7 8 1 1\n', 3, 'should be five numbers'),
        ('a\n2\n1 2 3 4\n5 6 7 8\n', 3, 'should be five numbers'),
        ('a\n3\n1 2 3 4 1\n\n' + '1 2 3 4 1\n', 4, "five numbers .* found ''"),
        ('a\n1\n1,2,3,4,1\n', 3, 'should be five numbers'),
        ('a\n1\n1 2 3 4 1 # sure\n', 3, 'should be five numbers'),
        ('a\n1\n1_0 2 3 4 1\n', 3, 'should be five numbers'),
        ('a\n3\n' + ROWS + 'nan 2 3 4 1\n', 5, r'NaN, .* x y w h score = \[nan, 2.0'),
        ('a\n3\n' + ROWS + '1 2 inf 4 1\n', 5, 'NaN, infinite or too large'),
        ('a\n3\n' + ROWS + '1 2 3 4 nan\n', 5, 'NaN, infinite or too large'),
        ('a\n1\n1 2 1e999 4 1\n', 3, 'NaN, infinite or too large'),
        ('a\n1\n1e308 2 1e308 4 1\n', 3, 'NaN, infinite or too large'),
        ('a\n1\n-inf 2 inf 4 1\n', 3, 'NaN, infinite or too large'),
        ('a\n3\n' + ROWS + '1 2 -3 4 1\n', 5, 'negative width or height'),
        ('a\n3\n' + ROWS + '1 2 3 -4 1\n', 5, 'negative width or height'),
        ('a\n3\n' + ROWS + '1 2 3 4 1.5\n', 5, r'score outside \[0, 1\]'),
        ('a\n3\n' + ROWS + '1 2 3 4 -.5\n', 5, r'score outside \[0, 1\]'),
    ],
)
def test_what_is_wrong_with_a_text_file(tmp_path, text, line, message):
    path = put(tmp_path, 'e/a.txt', text)
    put(tmp_path, 'e/b.txt', 'b\n0\n')
    pattern = f'^{re.escape(str(path))}, line {line}: .*{message}'
    with (
        warnings.catch_warnings(),
        pytest.raises(ValueError, match=pattern) as caught,
    ):
        warnings.simplefilter('error')
        read_text_predictions(tmp_path)
    assert len(str(caught.value)) < len(str(path)) + 200


def test_text_that_is_none(tmp_path):
    path = put(tmp_path, 'a.txt', 'a\n0\n', encoding='utf-16')
    with pytest.raises(ValueError, match=f'^{re.escape(str(path))} is not a UTF-8'):
        read_text_predictions(tmp_path)


def test_two_files_for_one_image(tmp_path):
    first = put(tmp_path, '0--Parade/a.jpg.txt', 'a\n0\n')
    second = put(tmp_path, '0--Parade/a.txt', 'a\n0\n')
    put(tmp_path, '1--Handshaking/a.txt', 'a\n0\n')
    pattern = f'{first} and {second} both belong to image 0--Parade/a;'
    with pytest.raises(ValueError, match=re.escape(pattern)):
        read_text_predictions(tmp_path)


def test_folders_without_predictions(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        read_text_predictions(tmp_path / 'nowhere')
    put(tmp_path, 'e/a.md', 'no')
    with pytest.raises(ValueError, match=f'^{tmp_path} has no prediction file'):
        read_text_predictions(tmp_path)
    with pytest.raises(NotADirectoryError):
        read_text_predictions(tmp_path / 'e' / 'a.md')


def test_folder_that_cannot_be_read_is_not_passed_over(tmp_path, monkeypatch):
    put(tmp_path, 'a.txt', 'a\n0\n')
    put(tmp_path, 'e/a.txt', 'a\n0\n')
    scandir = os.scandir

    def refuse(path):
        if os.path.basename(path) == 'e':
            raise PermissionError(13, 'Permission denied', path)
        return scandir(path)

    # Not by its mode, which root may pass over.
    monkeypatch.setattr(os, 'scandir', refuse)
    with pytest.raises(PermissionError, match='Permission denied'):
        read_text_predictions(tmp_path)


def test_links_in_a_circle(tmp_path):
    put(tmp_path, 'e/a.txt', 'a\n0\n')
    (tmp_path / 'e' / 'again').symlink_to(tmp_path)
    with pytest.raises(ValueError, match='e/again is a link to a folder that it lies'):
        read_text_predictions(tmp_path)


# npz

PATCHES = np.array([[0, 0, 8, 8], [5, 6, 20, 21]], dtype=np.int64)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float64]))
def test_npz_gives_all_back(data, dtype, tmp_path_factory):
    width = np.dtype(dtype).itemsize * 8
    reals = st.floats(allow_nan=False, allow_infinity=False, width=width)
    keep = data.draw(st.booleans())
    predictions = {}
    for i in range(data.draw(st.integers(1, 4))):
        num = data.draw(st.integers(0, 3))
        corners = data.draw(hnp.arrays(dtype, (num, 2, 2), elements=reals))
        scores = st.floats(0, 1, width=width)
        predictions[f'event/{i}é'] = Detections(
            boxes=np.sort(corners, axis=1).reshape(num, 4),
            scores=data.draw(hnp.arrays(dtype, num, elements=scores)),
            margins=data.draw(hnp.arrays(dtype, num, elements=reals)) if keep else None,
            patch_boxes=data.draw(st.sampled_from([None, PATCHES, PATCHES[:0]])),
        )
    path = tmp_path_factory.mktemp('npz') / 'p.npz'
    save_predictions(path, predictions)
    back = load_predictions(path)
    assert list(back) == list(predictions)
    for img_id, expected in predictions.items():
        assert_equal(back[img_id], expected)
        assert back[img_id].boxes.flags.writeable


def test_the_npz_format(tmp_path):
    path = tmp_path / 'p.npz'
    predictions = {
        IMG_ID: detections(2, margins=True, patch_boxes=PATCHES),
        OTHER_ID: detections(1, margins=True, patch_boxes=PATCHES[:0]),
        '139': detections(3, margins=True),
    }
    save_predictions(path, predictions)
    with np.load(path, allow_pickle=False) as arrays:
        assert sorted(arrays) == sorted(
            ['format_version', 'img_ids', 'counts', 'boxes', 'scores', 'margins']
            + ['patch_counts', 'patch_boxes']
        )
        assert int(arrays['format_version']) == 1
        assert arrays['img_ids'].tolist() == list(predictions)
        assert arrays['counts'].tolist() == [2, 1, 3]
        assert arrays['patch_counts'].tolist() == [2, 0, -1]
        assert arrays['boxes'].shape == (6, 4)
        assert arrays['boxes'].dtype == np.float32
        assert arrays['patch_boxes'].dtype == np.int64
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_image_does_not_decide_on_the_dtype(tmp_path):
    path = tmp_path / 'p.npz'
    save_predictions(path, {'a': Detections([], []), 'b': detections(margins=True)})
    back = load_predictions(path)
    assert_equal(back['b'], detections(margins=True))
    assert back['a'].margins.shape == (0,)
    save_predictions(path, {'a': Detections([], [], margins=[]), 'b': detections()})
    assert load_predictions(path)['a'].margins is None
    save_predictions(path, {'a': Detections([], [], margins=[])})
    assert load_predictions(path)['a'].margins.shape == (0,)


def test_margins_of_some_images(tmp_path):
    predictions = {'a': detections(), 'b': detections(margins=True)}
    with pytest.raises(ValueError, match='of b have margins, those of a have none'):
        save_predictions(tmp_path / 'p.npz', predictions)
    assert list(tmp_path.iterdir()) == []


def test_npz_that_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match=r'p.txt must end in .npz'):
        save_predictions(tmp_path / 'p.txt', {'a': detections()})
    with pytest.raises(ValueError, match='there are no predictions to write'):
        save_predictions(tmp_path / 'p.npz', {})
    wrong = Detections(np.zeros((1, 4)), np.array([np.nan]))
    with pytest.raises(ValueError, match=r'^a: scores\[0\] = nan is NaN'):
        save_predictions(tmp_path / 'p.npz', {'a': wrong})


def test_failed_npz_leaves_the_earlier_one(tmp_path, monkeypatch):
    path = tmp_path / 'p.npz'
    save_predictions(path, {'a': detections(seed=1)})

    def fail(file, **arrays):
        file.write(b'half')
        raise OSError('disk')

    monkeypatch.setattr(np, 'savez_compressed', fail)
    with pytest.raises(OSError, match='disk'):
        save_predictions(path, {'b': detections()})
    assert list(tmp_path.iterdir()) == [path]
    assert_equal(load_predictions(path)['a'], detections(seed=1))


ARRAYS = {
    'format_version': np.array(1),
    'img_ids': np.array(['e/a', 'e/b']),
    'counts': np.array([1, 2]),
    'boxes': np.array([BOX] * 3, dtype=np.float32),
    'scores': np.array([0.5, 0.25, 1], dtype=np.float32),
    'margins': np.zeros(3, dtype=np.float32),
    'patch_counts': np.array([-1, 1]),
    'patch_boxes': np.array([[0, 0, 4, 4]]),
}


def put_npz(tmp_path, **changes):
    path = tmp_path / 'p.npz'
    arrays = {**ARRAYS, **changes}
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


def test_npz_of_others(tmp_path):
    boxes = np.asfortranarray(np.arange(12).reshape(3, 4).astype('>f4'))
    path = put_npz(tmp_path, boxes=boxes, author=np.array(['x']), margins=None)
    back = load_predictions(path)
    assert back['e/b'].boxes.tolist() == [[4, 5, 6, 7], [8, 9, 10, 11]]
    assert back['e/b'].boxes.dtype == np.float32
    assert back['e/a'].patch_boxes is None
    assert back['e/b'].patch_boxes.tolist() == [[0, 0, 4, 4]]


WRAPS = np.array([2**63 - 1, 2**63 - 1, 5])


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(format_version=None), 'there is no format_version; not a file of save'),
        (dict(format_version=np.array(2)), 'format_version is 2, .* reads 1'),
        (dict(format_version=np.array([1])), r'format_version has .* shape \(1,\)'),
        (dict(format_version=np.array('1')), 'format_version has type <U1'),
        (dict(scores=None, counts=None), r"arrays \['counts', 'scores'\] are missing"),
        (dict(img_ids=np.array([1, 2])), 'img_ids has type int64'),
        (dict(img_ids=np.array([b'a', b'b'])), r'img_ids has type \|S1'),
        (dict(img_ids=np.array(['a', 'a'])), "img_ids has 'a' more than once"),
        (dict(img_ids=np.array(['a', ''])), 'img_ids has an empty entry'),
        (
            dict(img_ids=np.array([2**31, 65] * 2, np.uint32).view('U2')),
            'img_ids is not text',
        ),
        (dict(img_ids=np.array(['a'])), r'counts has shape \(2,\), .* be \(1,\)'),
        (dict(counts=np.array([1.0, 2.0])), 'counts has type float64'),
        (dict(counts=np.array([[1, 2]])), r'counts has .* shape \(1, 2\)'),
        (dict(counts=np.array([1, 1])), 'counts sum up to 2, but there are 3 boxes'),
        (dict(counts=np.array([4, -1])), 'counts has an entry below 0'),
        (
            dict(counts=WRAPS, img_ids=np.array(['a', 'b', 'c']), patch_counts=WRAPS),
            'counts sum up to 18446744073709551619, but there are 3 boxes',
        ),
        (dict(boxes=np.zeros((3, 5))), r'boxes has shape \(3, 5\)'),
        (dict(boxes=np.zeros(12)), r'boxes has .* shape \(12,\)'),
        (dict(boxes=np.zeros((3, 4), complex)), 'boxes has type complex128'),
        (dict(scores=np.zeros(2)), r'scores has shape \(2,\), .* be \(3,\)'),
        (dict(margins=np.zeros(2)), r'margins has shape \(2,\), .* be \(3,\)'),
        (dict(patch_counts=np.array([-1])), r'patch_counts has shape \(1,\)'),
        (dict(patch_counts=np.array([-2, 1])), 'patch_counts has an entry below -1'),
        (
            dict(patch_counts=np.array([-1, 2])),
            'patch_counts sum up to 2, but .* 1 box',
        ),
        (dict(patch_boxes=np.zeros((1, 4))), 'patch_boxes has type float64'),
        (dict(patch_boxes=np.zeros((1, 3), int)), r'patch_boxes has shape \(1, 3\)'),
        (
            dict(
                img_ids=np.array([], dtype='U1'),
                counts=np.zeros(0, int),
                patch_counts=np.zeros(0, int),
                boxes=np.zeros((0, 4)),
                scores=np.zeros(0),
                margins=None,
                patch_boxes=np.zeros((0, 4), int),
            ),
            'there is no image',
        ),
    ],
)
def test_what_is_wrong_with_an_npz(tmp_path, changes, message):
    path = put_npz(tmp_path, **changes)
    with pytest.raises(ValueError, match=f'^{re.escape(str(path))}: .*{message}'):
        load_predictions(path)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(scores=np.array([0.5, 0.5, 2])), r'scores\[1\] = 2.0 lies outside'),
        (dict(margins=np.array([0, 0, np.inf])), r'margins\[1\] = inf is NaN'),
        (dict(boxes=-np.eye(3, 4)[:, ::-1]), r'boxes\[0\] = .* has x2 < x1 or y2 < y1'),
        (dict(patch_boxes=np.array([[4, 0, 0, 4]])), r'patch_boxes\[0\] = .* x2 < x1'),
    ],
)
def test_what_is_wrong_with_an_image_in_an_npz(tmp_path, changes, message):
    path = put_npz(tmp_path, **changes)
    pattern = f'^{re.escape(str(path))}, image e/[ab]: {message}'
    with pytest.raises(ValueError, match=pattern):
        load_predictions(path)


class Bomb:
    """Makes a folder when unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize('name', ['img_ids', 'boxes', 'margins', 'format_version'])
def test_pickles_in_an_npz_are_refused(tmp_path, name):
    target = tmp_path / 'executed'
    path = put_npz(tmp_path, **{name: np.array([Bomb(target)], dtype=object)})
    with pytest.raises(ValueError, match=rf'{path}.*{name}.npy: an array of objects'):
        load_predictions(path)
    assert not target.exists()
    # It would have gone off.
    with np.load(path, allow_pickle=True) as arrays:
        arrays[name]
    assert target.exists()


@pytest.mark.parametrize('name', ['p.pkl', 'p.pickle', 'p.npz', 'p'])
def test_pickles_are_refused(tmp_path, name):
    target = tmp_path / 'executed'
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Bomb(target)))
    message = 'npz of predictions' if name == 'p.npz' else 'folder of text files .*npz'
    with pytest.raises(ValueError, match=f'^{path} is n.* {message}'):
        load_predictions(path)
    assert not target.exists()


def put_members(tmp_path, compression=zipfile.ZIP_DEFLATED, **members):
    """An npz whose members are these bytes, or else as they should be."""
    path = tmp_path / 'p.npz'
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for name, array in ARRAYS.items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            archive.writestr(f'{name}.npy', members.get(name, buffer.getvalue()))
    return path


def npy(shape, descr='<f4', data=b'', version=b'\x01\x00'):
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n"
    size = len(header).to_bytes(2, 'little')
    return b'\x93NUMPY' + version + size + header.encode() + data


@pytest.mark.parametrize(
    ('member', 'message'),
    [
        (b'', 'damaged npy header'),
        (b'\x80\x04K\x01.', 'damaged npy header'),
        (npy('(3,)')[:30], 'damaged npy header'),
        (npy('(3,)', data=b'\0' * 12, version=b'\x03\x00'), r'version \(3, 0\) is not'),
        (npy('print', data=b'\0' * 12), 'damaged npy header'),
        (npy('(' * 500), 'damaged npy header'),
        (npy('(3,)', descr='nonsense'), 'damaged npy header'),
        # A terabyte, said to be there.
        (npy('(250000000000,)', data=b'\0' * 12), r'1000000000000 bytes, there are 12'),
        (npy(f'({2**62}, {2**62})'), 'there are 0'),
        (npy('(-1,)', data=b'\0' * 12), 'there are 12'),
        (npy('(2,)', data=b'\0' * 12), '8 bytes, there are 12'),
        (npy('(4,)', data=b'\0' * 12), '16 bytes, there are 12'),
        (npy(f'(0, {10**30})'), 'scores.npy: '),
        (npy('(3,)', descr='<U0'), 'scores.npy: '),
    ],
)
def test_what_is_wrong_with_an_array(tmp_path, member, message):
    path = put_members(tmp_path, scores=member)
    pattern = f'^{re.escape(str(path))} is not an npz of predictions: scores.npy: .*'
    with pytest.raises(ValueError, match=pattern) as caught:
        load_predictions(path)
    assert re.search(message, str(caught.value))


def test_npz_of_another_compression(tmp_path):
    path = put_members(tmp_path, zipfile.ZIP_BZIP2)
    with pytest.raises(ValueError, match=f'{path} .* is compressed by method 12'):
        load_predictions(path)


def test_truncated_and_damaged_npz(tmp_path):
    path = put_members(tmp_path)
    whole = path.read_bytes()
    assert list(load_predictions(path)) == ['e/a', 'e/b']
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=f'^{path} is not an npz of predictions'):
            load_predictions(path)
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        # A byte that no reader looks at may be any.
        try:
            back = load_predictions(path)
        except ValueError as error:
            assert str(path) in str(error)
        else:
            assert list(back) == ['e/a', 'e/b']


# Both


def test_load_predictions_takes_either(tmp_path):
    predictions = {IMG_ID: detections(), OTHER_ID: detections(seed=1)}
    write_text_predictions(tmp_path / 'results.npz', predictions)
    save_predictions(tmp_path / 'p.NPZ', predictions)
    # A folder may have any name.
    for path in (tmp_path / 'results.npz', str(tmp_path / 'p.NPZ')):
        back = load_predictions(path)
        assert sorted(back) == sorted(predictions)
        for img_id, expected in predictions.items():
            order = np.argsort(-back[img_id].scores, kind='stable')
            sorted_ = np.argsort(-expected.scores, kind='stable')
            np.testing.assert_array_equal(
                back[img_id].boxes[order].astype(np.float32), expected.boxes[sorted_]
            )


def test_load_predictions_of_nothing_known(tmp_path):
    for name in ('nowhere', 'nowhere.npz'):
        with pytest.raises(FileNotFoundError, match=name):
            load_predictions(tmp_path / name)
    for name in ('p.json', 'p.pkl'):
        with pytest.raises(ValueError, match=r'folder of text files.*\.npz.*pickles'):
            load_predictions(tmp_path / name)
