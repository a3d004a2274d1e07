"""Pictures beside each other, and files."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmdet_facepatch.visualization import save_png, side_by_side
from mmdet_facepatch.visualization.face_visualizer import BLUE, RED

GREY = 120


def grey(height=120, width=160):
    return np.full((height, width, 3), GREY, dtype=np.uint8)


def is_colour(image, colour):
    return (np.abs(image.astype(int) - colour) < 30).all(axis=-1)


def test_side_by_side():
    noise = np.random.default_rng(0).integers(0, 99, (240, 200, 3), dtype=np.uint8)
    panels = [grey(), noise]
    result = side_by_side(panels, ['clean', 'attacked'])
    # The first panel is doubled to the height of the second, which stays as it is.
    assert is_colour(result, (GREY,) * 3).sum() >= 240 * 320
    top = np.flatnonzero((result[:, -100] < 100).all(axis=-1))[0]
    assert np.array_equal(result[top : top + 240, -204:-4], noise)
    assert is_colour(result, RED).any() and is_colour(result, BLUE).any()
    bare = side_by_side(panels, ['', ''], legend=False)
    assert not is_colour(bare, RED).any()
    assert bare.shape[1] == result.shape[1] and bare.shape[0] < result.shape[0]


@pytest.mark.parametrize('title', ['a long title ' * 3, '$a long title of $', 'a_{b'])
def test_titles_stay_inside_the_bar(title):
    """A title far too long changes nothing beside its own bar."""
    panels = [grey(300, 120), grey(300, 120)]
    plain = side_by_side(panels, ['', ''], legend=False)
    titled = side_by_side(panels, [title, ''], legend=False)
    changed = (plain != titled).any(axis=-1)
    top = np.flatnonzero(is_colour(plain, (GREY,) * 3).any(axis=1))[0]
    assert changed[:top].any()
    assert not changed[top:].any()
    assert not changed[:, 126:].any()


def test_narrow_pages_have_their_whole_legend():
    result = side_by_side([grey(300, 120)], [''])
    below = result[-20:]
    assert is_colour(below, BLUE).any() and is_colour(below, RED).any()
    # Margins at both ends.
    assert (below[:, [0, -1]] == 255).all()


def test_save_png(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    save_png(tmp_path / 'a.png', image)
    assert np.array_equal(cv2.imread(str(tmp_path / 'a.png'))[..., ::-1], image)
    assert [file.name for file in tmp_path.iterdir()] == ['a.png']
    with pytest.raises(FileNotFoundError):
        save_png(tmp_path / 'none' / 'a.png', image)


def test_wrong_arguments():
    with pytest.raises(ValueError, match='1 images and 2 titles'):
        side_by_side([grey()], ['a', 'b'])
    with pytest.raises(ValueError, match='0 images'):
        side_by_side([], [])
    with pytest.raises(ValueError, match='type uint8'):
        side_by_side([grey().astype(float)], [''])
