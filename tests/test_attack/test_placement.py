"""Placement of the patch on faces: exact squares, properties, bad input."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import TASK_UTILS

from mmdet_facepatch.attack.placement import PatchPlacement, patch_boxes

# A face of 40 x 90 at (100, 200): sqrt(w * h) = 60, side 30 at alpha 0.5.
FACE = torch.tensor([[100.0, 200.0, 140.0, 290.0]])


@pytest.mark.parametrize(
    ('center', 'top'),
    [
        ('top', 200),  # centre at 15 below the top edge of the face
        ('top_middle', 215),  # 30: mean of 15 and 45
        ('middle', 230),  # 45
        ('middle_bottom', 245),  # 60: mean of 45 and 75
        ('bottom', 260),  # 75
    ],
)
def test_five_places(center, top):
    boxes = patch_boxes(FACE, 0.5, center)
    assert boxes.dtype == torch.int64
    assert boxes.tolist() == [[105, top, 135, top + 30]]


@pytest.mark.parametrize(
    ('center', 'expected'),
    [
        ((0.5, 0.5), [105, 230, 135, 260]),
        ([0.0, 0.0], [85, 185, 115, 215]),
        ((1.25, -0.5), [135, 140, 165, 170]),
    ],
)
def test_relative_center(center, expected):
    assert patch_boxes(FACE, 0.5, center).tolist() == [expected]


@pytest.mark.parametrize(
    ('scale', 'expected'),
    [
        (1.0, [105, 200, 135, 230]),  # side 30 about (120, 215)
        (0.9, [107, 202, 134, 229]),  # 27
        (0.8, [108, 203, 132, 227]),  # 24
        (0.7, [110, 205, 131, 226]),  # 21
        (0.6, [111, 206, 129, 224]),  # 18
    ],
)
def test_scale_keeps_the_centre(scale, expected):
    assert patch_boxes(FACE, 0.5, 'top', scale).tolist() == [expected]
    assert PatchPlacement()(FACE, scale).tolist() == [expected]


def test_shrunken_patch_has_at_least_one_pixel():
    boxes = patch_boxes(torch.tensor([[5, 6, 7, 8], [5, 6, 5, 8]]), 0.5, 'top', 0.1)
    assert (boxes[:, 2:] - boxes[:, :2]).tolist() == [[1, 1], [0, 0]]


def test_rounding_of_side_and_corner():
    faces = torch.tensor(
        [
            [0.0, 0.0, 9.0, 9.0],  # exact side 4.5 -> 4 (halves to even)
            [0.0, 0.0, 11.0, 11.0],  # 5.5 -> 6
            [0.0, 0.0, 10.0, 10.0],  # 5; left edge floor(5 - 2.5 + 0.5) = 3
            [-7.0, -7.0, 3.0, 3.0],  # the same with a negative corner
            [2.25, 3.75, 12.25, 13.75],  # fractional corner
        ]
    )
    assert patch_boxes(faces, 0.5, 'middle').tolist() == [
        [3, 3, 7, 7],
        [3, 3, 9, 9],
        [3, 3, 8, 8],
        [-4, -4, 1, 1],
        [5, 6, 10, 11],
    ]


def test_one_pixel_face_gets_one_pixel():
    boxes = patch_boxes(torch.tensor([[5, 6, 6, 7]]), 0.01)
    assert boxes.tolist() == [[5, 6, 6, 7]]


def test_faces_without_extent_get_no_patch():
    faces = torch.tensor(
        [[5.0, 5, 5, 9], [5, 5, 9, 5], [9, 5, 5, 9], [9, 9, 5, 5], [5, 5, 9, 9]]
    )
    boxes = patch_boxes(faces, 0.5)
    empty = (boxes[:, 2] == boxes[:, 0]) & (boxes[:, 3] == boxes[:, 1])
    assert empty.tolist() == [True, True, True, True, False]


def test_no_face():
    boxes = patch_boxes(torch.zeros(0, 4))
    assert boxes.shape == (0, 4)
    assert boxes.dtype == torch.int64


@pytest.mark.parametrize('dtype', [torch.float16, torch.float64, torch.int32])
def test_dtype_of_the_faces_does_not_matter(dtype):
    assert torch.equal(patch_boxes(FACE.to(dtype)), patch_boxes(FACE))


coordinate = st.floats(-5000, 5000, width=32)
extent = st.floats(2**-4, 3000, width=32)


@given(
    st.tuples(coordinate, coordinate, extent, extent),
    st.floats(0.01, 1),
    st.sampled_from(['top', 'top_middle', 'middle', 'middle_bottom', 'bottom']),
    st.sampled_from([1.0, 0.9, 0.6, 0.05]),
)
@settings(max_examples=200, deadline=None)
def test_squares_of_the_right_side_about_the_right_centre(face, alpha, center, scale):
    x, y, w, h = face
    box = torch.tensor([[x, y, x + w, y + h]], dtype=torch.float64)
    w, h = (box[0, 2] - box[0, 0]).item(), (box[0, 3] - box[0, 1]).item()
    x1, y1, x2, y2 = patch_boxes(box, alpha, center, scale)[0].tolist()
    exact = alpha * math.sqrt(w * h)
    assert x2 - x1 == y2 - y1 == max(1, round(scale * exact))
    places = {'top': exact / 2, 'middle': h / 2, 'bottom': h - exact / 2}
    places['top_middle'] = (places['top'] + places['middle']) / 2
    places['middle_bottom'] = (places['middle'] + places['bottom']) / 2
    # The nearest square on the pixel grid: at most half a pixel off.
    assert abs((x1 + x2) / 2 - (x + w / 2)) <= 0.5 + 1e-6
    assert abs((y1 + y2) / 2 - (y + places[center])) <= 0.5 + 1e-6


@pytest.mark.parametrize('alpha', [0.0, -0.5, 1.0001, math.nan, math.inf])
def test_alpha_outside_its_range(alpha):
    with pytest.raises(ValueError, match=r'alpha .* outside \(0, 1\]'):
        patch_boxes(FACE, alpha)
    with pytest.raises(ValueError, match=r'alpha .* outside \(0, 1\]'):
        PatchPlacement(alpha=alpha)


@pytest.mark.parametrize('scale', [0.0, -0.5, 1.0001, 90, math.nan])
def test_scale_outside_its_range(scale):
    with pytest.raises(ValueError, match=r'patch scale .* outside \(0, 1\]'):
        patch_boxes(FACE, scale=scale)


@pytest.mark.parametrize(
    ('center', 'message'),
    [
        ('forehead', "unknown patch center 'forehead'; known: top, top_middle"),
        ((0.5,), 'two finite numbers'),
        (0.5, 'two finite numbers'),
        ((0.5, math.nan), 'two finite numbers'),
        ((0.5, math.inf), 'two finite numbers'),
    ],
)
def test_bad_center(center, message):
    with pytest.raises(ValueError, match=message):
        patch_boxes(FACE, 0.5, center)
    with pytest.raises(ValueError, match=message):
        PatchPlacement(center=center)


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf, 2.0**30])
def test_bad_coordinates_name_the_face(value):
    faces = FACE.repeat(3, 1)
    faces[1, 2] = value
    with pytest.raises(ValueError, match='face box 1 is'):
        patch_boxes(faces)


@pytest.mark.parametrize('shape', [(4,), (2, 5), (1, 2, 4)])
def test_bad_shape(shape):
    with pytest.raises(ValueError, match=r'shape \(N, 4\)'):
        patch_boxes(torch.zeros(shape))


def test_registered_placement():
    placement = TASK_UTILS.build(
        dict(type='PatchPlacement', alpha=0.25, center=[0.5, 0.5])
    )
    assert placement(FACE).tolist() == [[113, 238, 128, 253]]
    assert repr(placement) == 'PatchPlacement(alpha=0.25, center=(0.5, 0.5))'
    assert torch.equal(PatchPlacement()(FACE), patch_boxes(FACE, 0.5, 'top'))
