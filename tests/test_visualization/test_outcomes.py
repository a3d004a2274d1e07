"""Pictures: which pixels change, and to what."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmdet_facepatch.visualization.outcomes import (
    BLUE,
    RED,
    describe_outcomes,
    draw_outcomes,
    save_png,
    side_by_side,
)

GREY = 120
BOX = [20, 30, 80, 90]


def grey(height=120, width=160):
    return np.full((height, width, 3), GREY, dtype=np.uint8)


def is_colour(image, colour):
    return (image == np.array(colour)).all(axis=-1)


def draw(image=None, dets=(), status=(), gts=(), found=(), **kwargs):
    kwargs.setdefault('channel_order', 'rgb')
    image = grey() if image is None else image
    return draw_outcomes(image, dets, status, gts, found, **kwargs)


def share_on_edge(image, colour, box):
    """Share of the pixels of a box's outline that have the colour."""
    x1, y1, x2, y2 = box
    hit = is_colour(image, colour)
    rows = np.concatenate([hit[y1, x1 : x2 + 1], hit[y2, x1 : x2 + 1]])
    return np.concatenate([rows, hit[y1 : y2 + 1, x1], hit[y1 : y2 + 1, x2]]).mean()


def test_true_positive_is_solid_blue():
    result = draw(dets=[BOX], status=[1], gts=[BOX], found=[True])
    assert share_on_edge(result, BLUE, BOX) == 1.0
    assert not is_colour(result, RED).any()


def test_false_positive_is_solid_red():
    result = draw(dets=[BOX], status=[0])
    assert share_on_edge(result, RED, BOX) == 1.0
    assert not is_colour(result, BLUE).any()


def test_missed_face_is_dashed_blue():
    result = draw(gts=[BOX], found=[False])
    assert 0.4 < share_on_edge(result, BLUE, BOX) < 0.9
    blue = is_colour(result, BLUE)
    x1, y1, x2, y2 = BOX
    assert all(blue[y, x] for x in (x1, x2) for y in (y1, y2))
    assert not is_colour(result, RED).any()


def test_ignored_and_found_leave_no_line_of_their_own():
    result = draw(dets=[BOX], status=[-1], gts=[BOX], found=[True])
    assert np.array_equal(result, grey())


def test_false_positive_lies_on_top():
    result = draw(dets=[BOX, BOX], status=[0, 1], gts=[BOX], found=[True])
    assert share_on_edge(result, RED, BOX) == 1.0


def test_channel_order():
    rgb = draw(dets=[BOX], status=[1])
    bgr = draw(dets=[BOX], status=[1], channel_order='bgr')
    assert np.array_equal(bgr, rgb[..., ::-1])
    assert not np.array_equal(bgr, rgb)


def test_only_the_outline_changes_and_the_input_does_not():
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    before = image.copy()
    result = draw(image, dets=[BOX], status=[0], line_width=2)
    assert np.array_equal(image, before)
    changed = (result != image).any(axis=-1)
    x1, y1, x2, y2 = BOX
    assert not changed[y1 + 4 : y2 - 3, x1 + 4 : x2 - 3].any()
    changed[y1 - 3 : y2 + 4, x1 - 3 : x2 + 4] = False
    assert not changed.any()


@pytest.mark.parametrize('size', [1, 2, 5])
def test_small_boxes_keep_their_inside(size):
    box = [50, 50, 50 + size, 50 + size]
    result = draw(dets=[box], status=[1], line_width=9)
    assert is_colour(result, BLUE).sum() == (size + 1) ** 2 - max(0, size - 1) ** 2


def test_boxes_beyond_the_image():
    huge = [-1e12, 40, 1e12, 80]
    result = draw(dets=[huge, [500, 500, 600, 600]], status=[1, 0], line_width=1)
    blue = is_colour(result, BLUE)
    assert blue[40].all() and blue[80].all()
    assert not blue[41:80].any()
    assert not is_colour(result, RED).any()
    assert np.array_equal(draw(gts=[[0, 0, 0, -3]], found=[True]), grey())


def test_scale_moves_boxes_along():
    result = draw(dets=[BOX], status=[1], scale=2)
    assert result.shape == (240, 320, 3)
    assert share_on_edge(result, BLUE, [2 * side for side in BOX]) == 1.0


def test_lines_grow_with_the_image():
    counts = [
        is_colour(draw(grey(side, side), dets=[BOX], status=[1]), BLUE).sum()
        for side in (200, 1600)
    ]
    assert counts[1] > 1.5 * counts[0]


def test_description():
    assert describe_outcomes([1, 0, -1], [True, False]) == (
        '1 of 2 faces found, 1 false positive'
    )
    assert describe_outcomes([], []) == '0 of 0 faces found, 0 false positives'
    assert describe_outcomes([1], [True]) == '1 of 1 face found, 0 false positives'


def test_side_by_side():
    panels = [grey(), np.full((240, 200, 3), (200, 0, 0), dtype=np.uint8)]
    result = side_by_side(panels, ['clean', 'attacked'], channel_order='rgb')
    # The first panel is doubled to the height of the second.
    assert is_colour(result, (GREY,) * 3).sum() >= 240 * 320
    assert is_colour(result, (200, 0, 0)).sum() == 240 * 200
    assert is_colour(result, RED).any() and is_colour(result, BLUE).any()
    bare = side_by_side(panels, ['', ''], channel_order='rgb', legend=False)
    assert not is_colour(bare, RED).any()
    assert bare.shape[1] == result.shape[1] and bare.shape[0] < result.shape[0]
    swapped = side_by_side([p[..., ::-1] for p in panels], ['clean', 'attacked'])
    assert np.array_equal(swapped, result[..., ::-1])


def test_titles_stay_inside_the_bar():
    """A title far too long changes nothing beside its own bar."""
    panels, long = [grey(300, 120), grey(300, 120)], 'a long title ' * 3
    plain = side_by_side(panels, ['', ''], legend=False)
    titled = side_by_side(panels, [long, long], legend=False)
    changed = (plain != titled).any(axis=-1)
    top = np.flatnonzero(is_colour(plain, (GREY,) * 3).any(axis=1))[0]
    assert changed[:top].any()
    assert not changed[top:].any()


def test_save_png(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    save_png(tmp_path / 'a.png', image)
    assert np.array_equal(cv2.imread(str(tmp_path / 'a.png')), image)
    save_png(tmp_path / 'a.png', image, channel_order='rgb')
    assert np.array_equal(cv2.imread(str(tmp_path / 'a.png')), image[..., ::-1])
    assert [file.name for file in tmp_path.iterdir()] == ['a.png']
    with pytest.raises(FileNotFoundError):
        save_png(tmp_path / 'none' / 'a.png', image)


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r'\(H, W, 3\) and type uint8'):
        draw(grey().astype(np.float32))
    with pytest.raises(ValueError, match='no pixels'):
        draw(np.zeros((0, 5, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match='2 statuses for 1 detections'):
        draw(dets=[BOX], status=[1, 0])
    with pytest.raises(ValueError, match='NaN or infinite'):
        draw(dets=[[0, 0, np.nan, 5]], status=[1])
    with pytest.raises(ValueError, match="'bgr' or 'rgb', got 'gbr'"):
        draw(channel_order='gbr')
    with pytest.raises(ValueError, match='1 images and 2 titles'):
        side_by_side([grey()], ['a', 'b'])
    with pytest.raises(ValueError, match='0 images'):
        side_by_side([], [])
