"""The compositor against exact tensors, a literal loop and finite differences."""

from functools import lru_cache
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import TASK_UTILS

from mmdet_facepatch.attack import paste_copies
from mmdet_facepatch.attack.compositor import PatchCompositor, paste_patch
from mmdet_facepatch.attack.paste_plan import plan_paste, visible_rectangles
from mmdet_facepatch.attack.patch.resampling import area_taps, resize_area


@lru_cache
def literal_weights(size, source):
    """Share of each source pixel in each output pixel, by the definition."""
    table = torch.zeros(size, source, dtype=torch.float64)
    for i in range(size):
        low, high = i * source / size, (i + 1) * source / size
        if high - low < 1:
            centre = (low + high) / 2
            low, high = centre - 0.5, centre + 0.5
        for a in range(source):
            table[i, a] = max(0.0, min(high, a + 1) - max(low, a))
        table[i] /= table[i].sum()
    return table


def literal_paste(images, patch, boxes):
    """One resize and one slice assignment for each face, later ones on top."""
    results = []
    for image, rows in zip(images, boxes, strict=True):
        out = image.clone()
        height, width = image.shape[1:]
        for x1, y1, x2, y2 in rows.tolist():
            left, top = max(x1, 0), max(y1, 0)
            right, bottom = min(x2, width), min(y2, height)
            if left >= right or top >= bottom:
                continue
            by_row = literal_weights(y2 - y1, patch.shape[1]).to(patch)
            by_col = literal_weights(x2 - x1, patch.shape[2]).to(patch)
            small = by_row @ patch @ by_col.t()
            out[:, top:bottom, left:right] = small[
                :, top - y1 : bottom - y1, left - x1 : right - x1
            ]
        results.append(out)
    return results


def rand(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=dtype)


def random_squares(count, image_size, largest, seed=0):
    generator = torch.Generator().manual_seed(seed)
    side = torch.randint(1, largest + 1, (count, 1), generator=generator)
    corner = torch.randint(-largest, image_size, (count, 2), generator=generator)
    return torch.cat([corner, corner + side], dim=1)


# --------------------------------------------------------------------- resampling
def area_weights(sizes, first, count, source):
    """The taps as a table (S, count, source)."""
    like = torch.zeros((), dtype=torch.float64)
    taps = area_taps(np.array(sizes), np.array(first), count, source, like)
    assert taps.pixels.min() >= 0 and taps.pixels.max() < source
    return taps.dense()


@pytest.mark.parametrize(
    ('size', 'source', 'expected'),
    [
        (2, 4, [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]),
        (2, 3, [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]]),
        (4, 2, [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]),
        (1, 4, [[0.25] * 4]),
        (3, 3, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        (3, 1, [[1], [1], [1]]),
    ],
)
def test_area_weights_exact(size, source, expected):
    weights = area_weights([size], [0], size, source)
    torch.testing.assert_close(weights[0], torch.tensor(expected, dtype=torch.float64))


def test_area_weights_window_and_repeat():
    weights = area_weights([7, 3], [2, 1], 4, 5)
    torch.testing.assert_close(weights[0], literal_weights(7, 5)[2:6])
    torch.testing.assert_close(weights[1], literal_weights(3, 5)[[1, 2, 2, 2]])


@given(st.integers(1, 200), st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_area_weights_are_averages(size, source):
    weights = area_weights([size], [0], size, source)[0]
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(size, dtype=torch.float64))
    torch.testing.assert_close(weights, literal_weights(size, source))
    if size <= source:  # area averaging: every source pixel counts the same
        expected = torch.full((source,), size / source, dtype=torch.float64)
        torch.testing.assert_close(weights.sum(0), expected)


@pytest.mark.parametrize('side', [1, 2, 4, 8, 16, 32, 64])
def test_resize_equals_adaptive_area_for_integer_factors(side):
    patch = rand(3, 64, 128)
    size = (side, 2 * side)
    expected = F.interpolate(patch[None], size=size, mode='area')[0]
    torch.testing.assert_close(resize_area(patch, size), expected)


@pytest.mark.parametrize('size', [(16, 16), (17, 31), (64, 16), (200, 99)])
def test_resize_equals_bilinear_when_enlarging(size):
    patch = rand(3, 16, 16)
    expected = F.interpolate(
        patch[None], size=size, mode='bilinear', align_corners=False
    )[0]
    torch.testing.assert_close(resize_area(patch, size), expected)


def test_resize_to_nothing_is_an_error():
    with pytest.raises(ValueError, match='at least 1 x 1'):
        resize_area(rand(3, 4, 4), (0, 4))


# ----------------------------------------------------------------------- ownership
def rectangles_of(boxes, height, width):
    """Rows (x, y, width, height, face) of what shows."""
    found = visible_rectangles(np.array(boxes, np.int64).reshape(-1, 4), height, width)
    columns = [found.x, found.y, found.width, found.height, found.face]
    return np.stack(columns, axis=1).tolist()


def test_visible_rectangles_exact():
    #   . 0 0 .
    #   . 0 1 1      face 1 over face 0, cut by the right border
    #   . . 1 1
    boxes = [[1, 0, 3, 2], [2, 1, 5, 3], [2, 1, 2, 3], [9, 9, 11, 11]]
    assert rectangles_of(boxes, 3, 4) == [
        [1, 0, 2, 1, 0],
        [1, 1, 1, 1, 0],
        [2, 1, 2, 2, 1],
    ]


def test_patch_that_nothing_covers_is_one_rectangle():
    assert rectangles_of([[1, 2, 5, 9], [6, 0, 8, 30]], 20, 10) == [
        [1, 2, 4, 7, 0],
        [6, 0, 2, 20, 1],
    ]


def test_patch_in_the_middle_of_another_leaves_a_frame():
    assert rectangles_of([[0, 0, 5, 5], [1, 1, 4, 4]], 5, 5) == [
        [0, 0, 5, 1, 0],
        [0, 1, 1, 3, 0],
        [0, 4, 5, 1, 0],
        [4, 1, 1, 3, 0],
        [1, 1, 3, 3, 1],
    ]


def test_visible_rectangles_do_not_wrap_around_rows():
    assert rectangles_of([[-3, -3, 9, 9]], 2, 3) == [[0, 0, 3, 2, 0]]


def test_visible_rectangles_of_nothing():
    assert rectangles_of([], 3, 4) == []
    assert rectangles_of([[4, 0, 6, 2]], 3, 4) == []


@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_rectangles_tile_what_a_painter_leaves(seed, count):
    rng = np.random.default_rng(seed)
    low = rng.integers(-4, 12, (count, 2))
    boxes = np.concatenate([low, low + rng.integers(0, 9, (count, 2))], axis=1)
    painted = np.full((10, 13), -1)
    for face, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        painted[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = face
    tiled = np.full_like(painted, -1)
    for x, y, width, height, face in rectangles_of(boxes, 10, 13):
        assert (tiled[y : y + height, x : x + width] == -1).all()
        assert min(width, height) >= 1 and x + width <= 13 and y + height <= 10
        tiled[y : y + height, x : x + width] = face
    np.testing.assert_array_equal(tiled, painted)


def test_plan_renders_only_sizes_that_show():
    # The 2 px patch is buried under the 3 px one; the 5 px one is outside.
    boxes = np.array([[1, 1, 3, 3], [0, 0, 3, 3], [8, 8, 13, 13]])
    plan = plan_paste([(8, 8)], [[boxes]], (3, 16, 16))
    assert [atlas.frames.tolist() for atlas in plan.atlases] == [[[3], [3], [0], [0]]]


def test_plan_renders_only_what_shows_of_a_large_patch():
    boxes = np.array([[-1000, -2000, 9000, 8000]])
    plan = plan_paste([(6, 5)], [[boxes]], (3, 16, 16))
    (atlas,) = plan.atlases
    assert atlas.frames[:, 0].tolist() == [10000, 10000, 2000, 1000]
    assert (atlas.rows, atlas.cols) == (6, 5)


# ------------------------------------------------------------------------- pasting
def paste_both_ways(images, patch, boxes, weights, parts, chunk_size):
    """Outputs and gradients with rectangles copied by view, then by index."""
    results = []
    for pixels, way in ((0, paste_copies._ByView), (2**62, paste_copies._ByIndex)):
        with (
            mock.patch.object(paste_copies, '_PIXELS_FOR_VIEWS', pixels),
            mock.patch.object(
                way, 'paste', autospec=True, side_effect=way.paste
            ) as used,
        ):
            leaves = [tensor.clone().requires_grad_() for tensor in (patch, *images)]
            outs = paste_patch(leaves[1:], leaves[0], boxes, chunk_size, parts)
            torch.autograd.backward(outs, weights)
        untouched = [out is leaf for out, leaf in zip(outs, leaves[1:], strict=True)]
        assert used.called or all(untouched)
        results.append([*outs, *(leaf.grad for leaf in leaves)])
    return results


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**16),
    chunk_size=st.sampled_from([1, 30, 2**16]),
    cut=st.booleans(),
)
def test_copies_by_index_equal_copies_by_view(seed, chunk_size, cut):
    images = [rand(3, 20, 31, seed=seed), rand(3, 17, 9, seed=seed + 1)]
    weights = [rand(*image.shape, seed=seed + 2) for image in images]
    boxes = [random_squares(6, 25, 14, seed=seed + i) for i in range(2)]
    parts = None
    if cut:
        parts = [
            torch.cat([b[:, :2], torch.maximum(b[:, 2:] - 2, b[:, :2])], dim=1)
            for b in boxes
        ]
    by_view, by_index = paste_both_ways(
        images, rand(3, 12, 10), boxes, weights, parts, chunk_size
    )
    for ours, other in zip(by_view, by_index, strict=True):
        torch.testing.assert_close(ours, other)


def test_gradient_that_is_part_of_a_larger_tensor():
    patch = rand(3, 8, 8).requires_grad_()
    boxes = torch.tensor([[1, 1, 5, 4]])
    (out,) = paste_patch([torch.zeros(3, 6, 6)], patch, [boxes])
    # Contiguous, but not at the beginning of its memory.
    weight = rand(5, 3, 6, 6)[2]
    (found,) = torch.autograd.grad(out, patch, weight, retain_graph=True)
    (expected,) = torch.autograd.grad(out, patch, weight.clone())
    assert torch.equal(found, expected)


def test_paste_exact_small_tensor():
    image = torch.full((1, 3, 4), 9.0)
    patch = torch.arange(16.0).view(1, 4, 4)
    boxes = torch.tensor([[1, 0, 3, 2]])
    (out,) = paste_patch([image], patch, [boxes])
    expected = [[9, 2.5, 4.5, 9], [9, 10.5, 12.5, 9], [9, 9, 9, 9]]
    assert out.tolist() == [expected]
    assert (image == 9).all(), 'the input image must not change'


@pytest.mark.parametrize('side', [1, 2, 4, 8, 16])
def test_paste_equals_interpolate_loop(side):
    image, patch = rand(3, 40, 40, seed=1), rand(3, 16, 16)
    corners = torch.tensor([[-3, 5], [12, 12], [12 + side // 2, 14], [36, 38]])
    boxes = torch.cat([corners, corners + side], dim=1)
    small = F.interpolate(patch[None], size=(side, side), mode='area')[0]
    expected = F.pad(image, (16, 16, 16, 16))
    for x, y in (corners + 16).tolist():
        expected[:, y : y + side, x : x + side] = small
    (out,) = paste_patch([image], patch, [boxes])
    torch.testing.assert_close(out, expected[:, 16:-16, 16:-16])


def test_channels_stay_apart():
    patch = torch.tensor([0.25, 0.5, 0.75])[:, None, None].expand(3, 8, 8)
    (out,) = paste_patch([torch.zeros(3, 6, 6)], patch, [torch.tensor([[1, 2, 4, 5]])])
    torch.testing.assert_close(out[:, 2:5, 1:4], patch[:, :3, :3])
    assert out.sum() == pytest.approx(9 * 1.5)


def test_black_is_opaque():
    (out,) = paste_patch(
        [torch.ones(3, 5, 5)], torch.zeros(3, 8, 8), [torch.tensor([[1, 1, 3, 3]])]
    )
    assert out.sum() == 3 * (25 - 4)
    assert (out[:, 1:3, 1:3] == 0).all()


def test_later_faces_lie_over_earlier_ones():
    patch = torch.arange(4.0).view(1, 2, 2)
    boxes = torch.tensor([[0, 0, 2, 2], [1, 1, 3, 3]])
    (out,) = paste_patch([torch.full((1, 3, 3), -1.0)], patch, [boxes])
    assert out.tolist() == [[[0, 1, -1], [2, 0, 1], [-1, 2, 3]]]
    (out,) = paste_patch([torch.full((1, 3, 3), -1.0)], patch, [boxes.flip(0)])
    assert out.tolist() == [[[0, 1, -1], [2, 3, 1], [-1, 2, 3]]]


def test_border_cuts_the_patch():
    patch = torch.arange(9.0).view(1, 3, 3)
    boxes = torch.tensor([[-1, -2, 2, 1], [3, 2, 6, 5]])
    (out,) = paste_patch([torch.full((1, 4, 5), -1.0)], patch, [boxes])
    expected = torch.full((4, 5), -1.0)
    expected[0, :2] = torch.tensor([7.0, 8.0])
    expected[2:, 3:] = torch.tensor([[0.0, 1.0], [3.0, 4.0]])
    assert torch.equal(out[0], expected)


@pytest.mark.parametrize(
    'boxes',
    [
        torch.zeros((0, 4), dtype=torch.int64),
        torch.tensor([[3, 3, 3, 3]]),
        torch.tensor([[5, 0, 7, 2], [-4, 0, 0, 4], [0, -9, 5, 0], [0, 5, 5, 10]]),
    ],
    ids=['no box', 'empty box', 'outside'],
)
def test_nothing_to_draw_returns_the_image(boxes):
    image = rand(3, 5, 5)
    patch = rand(3, 4, 4).requires_grad_()
    (out,) = paste_patch([image], patch, [boxes])
    assert out is image
    assert paste_patch([], patch, []) == []


def test_patch_over_the_whole_image():
    patch = rand(3, 8, 8)
    (out,) = paste_patch([torch.zeros(3, 8, 8)], patch, [torch.tensor([[0, 0, 8, 8]])])
    torch.testing.assert_close(out, patch)


def test_one_pixel_face_shows_the_mean():
    patch = rand(3, 128, 128)
    (out,) = paste_patch([torch.zeros(3, 3, 3)], patch, [torch.tensor([[1, 1, 2, 2]])])
    torch.testing.assert_close(out[:, 1, 1], patch.mean(dim=(1, 2)))
    assert out.count_nonzero() == 3


def test_batch_equals_list_and_mixed_sizes_work():
    images = rand(3, 3, 20, 24, seed=1)
    boxes = [random_squares(n, 24, 15, seed=n) for n in (4, 0, 9)]
    patch = rand(3, 8, 8)
    batch = paste_patch(images, patch, boxes)
    assert isinstance(batch, torch.Tensor)
    singles = [
        paste_patch([i], patch, [b])[0] for i, b in zip(images, boxes, strict=True)
    ]
    torch.testing.assert_close(batch, torch.stack(singles))
    mixed = paste_patch([images[0], images[2, :, :7, :5]], patch, [boxes[0], boxes[2]])
    torch.testing.assert_close(mixed, [batch[0], batch[2, :, :7, :5]])


def test_non_contiguous_images():
    image = rand(20, 24, 3).permute(2, 0, 1).requires_grad_()
    boxes = random_squares(6, 20, 9)
    patch = rand(3, 8, 8).requires_grad_()
    (out,) = paste_patch([image], patch, [boxes])
    (expected,) = literal_paste([image], patch, [boxes])
    torch.testing.assert_close(out, expected)
    weight = rand(20, 24, 3, seed=3).permute(2, 0, 1)
    got = torch.autograd.grad(out, (image, patch), weight)
    torch.testing.assert_close(
        got, torch.autograd.grad(expected, (image, patch), weight)
    )


def test_rectangles_and_oblong_patches():
    image, patch = rand(3, 20, 20, seed=1), rand(3, 6, 11)
    boxes = torch.tensor([[2, 3, 9, 6], [-2, 10, 14, 28], [15, 1, 18, 2]])
    (out,) = paste_patch([image], patch, [boxes])
    torch.testing.assert_close(out, literal_paste([image], patch, [boxes])[0])


box = st.tuples(
    st.integers(-12, 14), st.integers(-12, 14), st.integers(0, 24), st.integers(0, 24)
).map(lambda v: (v[0], v[1], v[0] + v[2], v[1] + v[3]))


@given(
    shapes=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=3),
    rows=st.lists(st.lists(box, max_size=8), min_size=3, max_size=3),
    patch_size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    chunk_size=st.sampled_from([1, 7, 60, 2**16]),
)
@settings(max_examples=150, deadline=None)
def test_equals_the_literal_loop(shapes, rows, patch_size, dtype, chunk_size):
    images = [
        rand(3, *shape, seed=i, dtype=dtype).requires_grad_()
        for i, shape in enumerate(shapes)
    ]
    boxes = [
        torch.tensor(r, dtype=torch.int64).reshape(-1, 4) for r in rows[: len(shapes)]
    ]
    patch = rand(3, *patch_size, seed=9, dtype=dtype).requires_grad_()
    out = paste_patch(images, patch, boxes, chunk_size=chunk_size)
    expected = literal_paste(images, patch, boxes)
    assert len(out) == len(images)
    for got, wanted in zip(out, expected, strict=True):
        torch.testing.assert_close(got, wanted)

    def gradients(pasted):
        loss = patch.sum() * 0 + sum(
            (p * rand(*p.shape, seed=5, dtype=dtype)).sum() for p in pasted
        )
        return torch.autograd.grad(loss, [patch, *images])

    torch.testing.assert_close(gradients(out), gradients(expected))


def test_huge_patch_shows_the_right_part():
    # A box far larger than the image: only the part that shows is computed.
    patch = rand(3, 5, 5, dtype=torch.float64)
    side, x, y = 10**8, 39_999_990, 60_000_000
    boxes = torch.tensor([[-x, -y, side - x, side - y]])
    (out,) = paste_patch([rand(3, 16, 16, dtype=torch.float64)], patch, [boxes])
    row = (y + torch.arange(16, dtype=torch.float64) + 0.5) * 5 / side - 0.5
    col = (x + torch.arange(16, dtype=torch.float64) + 0.5) * 5 / side - 0.5
    grid = torch.stack(torch.meshgrid(col, row, indexing='xy'), dim=-1)
    expected = F.grid_sample(
        patch[None], grid[None] / 2 - 1, mode='bilinear', align_corners=True
    )[0]
    torch.testing.assert_close(out, expected)


# ----------------------------------------------------------------------- gradients
def test_gradient_equals_finite_differences():
    # Shrunk, enlarged, overlapping, cut; two images of unlike size.
    images = [rand(2, 5, 6, seed=1, dtype=torch.float64), torch.zeros(2, 3, 3).double()]
    boxes = [
        torch.tensor([[-1, -1, 2, 2], [1, 1, 8, 8], [3, 2, 5, 4], [0, 4, 1, 5]]),
        torch.tensor([[-2, -3, 9, 8], [1, 1, 3, 3]]),
    ]
    patch = rand(2, 5, 4, dtype=torch.float64)

    def paste(patch, *images):
        return tuple(paste_patch(images, patch, boxes, chunk_size=20))

    inputs = [t.requires_grad_() for t in (patch, *images)]
    assert torch.autograd.gradcheck(paste, inputs, fast_mode=False)


def test_paste_is_linear_in_the_patch():
    image, boxes = torch.zeros(3, 30, 30), random_squares(12, 30, 20)
    first, second = rand(3, 16, 16, seed=1), rand(3, 16, 16, seed=2)
    (out,) = paste_patch([image], 2 * first + second, [boxes])
    (a,), (b,) = (paste_patch([image], p, [boxes]) for p in (first, second))
    torch.testing.assert_close(out, 2 * a + b)


@pytest.mark.parametrize('side', [1, 9, 100, 128, 300])
def test_every_patch_pixel_has_gradient(side):
    patch = rand(3, 128, 128).requires_grad_()
    boxes = torch.tensor([[2, 3, 2 + side, 3 + side]])
    (out,) = paste_patch([torch.zeros(3, 310, 310)], patch, [boxes])
    out.sum().backward()
    # Each of the side^2 pixels hands on a gradient of 1. Far from the border of an
    # enlarged patch, and everywhere in a shrunk one, the shares are equal.
    share = (side / 128) ** 2
    assert (patch.grad > share / 2).all()
    assert patch.grad.sum().item() == pytest.approx(3 * side**2, rel=1e-5)
    if side <= 128:
        torch.testing.assert_close(patch.grad, torch.full_like(patch, share))


def test_no_gradient_under_the_patch_and_one_beside_it():
    image = rand(3, 6, 6).requires_grad_()
    boxes = torch.tensor([[1, 2, 4, 4]])
    (out,) = paste_patch([image], rand(3, 4, 4), [boxes])
    out.sum().backward()
    expected = torch.ones(3, 6, 6)
    expected[:, 2:4, 1:4] = 0
    assert torch.equal(image.grad, expected)


def test_hidden_pixels_give_no_gradient():
    patch = rand(1, 2, 2).requires_grad_()
    boxes = torch.tensor([[0, 0, 2, 2], [1, 0, 3, 2]])
    (out,) = paste_patch([torch.zeros(1, 2, 4)], patch, [boxes])
    out.sum().backward()
    assert patch.grad.tolist() == [[[2, 1], [2, 1]]]


def test_unused_output_leaves_the_rest_alone():
    patch = rand(3, 4, 4).requires_grad_()
    images = [rand(3, 8, 8, seed=i).requires_grad_() for i in range(2)]
    boxes = [torch.tensor([[1, 1, 4, 4]])] * 2
    first, _ = paste_patch(images, patch, boxes)
    first.sum().backward()
    assert patch.grad.sum().item() == pytest.approx(27)
    assert images[1].grad is None


def test_double_backward_is_refused():
    patch = rand(3, 4, 4).requires_grad_()
    boxes = torch.tensor([[1, 1, 4, 4]])
    (out,) = paste_patch([torch.zeros(3, 8, 8)], patch, [boxes])
    (grad,) = torch.autograd.grad((out**2).sum(), patch, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        grad.sum().backward()


def test_same_bits_on_every_run():
    image, boxes = rand(3, 200, 200), random_squares(300, 200, 60)
    results = []
    for _ in range(3):
        patch = rand(3, 64, 64).requires_grad_()
        (out,) = paste_patch([image], patch, [boxes])
        (out * rand(3, 200, 200, seed=4)).sum().backward()
        results.append((out.detach(), patch.grad))
    for out, grad in results[1:]:
        assert torch.equal(out, results[0][0])
        assert torch.equal(grad, results[0][1])


def test_autocast_keeps_the_dtype_of_the_patch():
    image, boxes = rand(3, 30, 30), random_squares(12, 30, 20)
    patch = rand(3, 16, 16).requires_grad_()
    expected = paste_patch([image], patch, [boxes])[0]
    (expected_grad,) = torch.autograd.grad(expected.sum(), patch)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = paste_patch([image], patch, [boxes])[0]
        (grad,) = torch.autograd.grad(out.sum(), patch)
    assert out.dtype == torch.float32
    assert torch.equal(out, expected)
    assert torch.equal(grad, expected_grad)


def test_half_precision_images():
    image, boxes = rand(3, 30, 30).bfloat16(), random_squares(12, 30, 20)
    patch = rand(3, 16, 16).requires_grad_()
    (out,) = paste_patch([image], patch, [boxes])
    expected = paste_patch([image.float()], patch, [boxes])[0].bfloat16()
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, expected)
    (out.float() ** 2).sum().backward()
    assert patch.grad.dtype == torch.float32


# -------------------------------------------------------------- many faces, memory
def test_1968_faces_equal_the_loop():
    image, patch = rand(3, 256, 320), rand(3, 32, 32)
    boxes = random_squares(1968, 320, 24)
    (out,) = paste_patch([image], patch, [boxes])
    torch.testing.assert_close(out, literal_paste([image], patch, [boxes])[0])


def saved_bytes(image, boxes):
    """Bytes that autograd keeps for the backward of one paste."""
    sizes = []

    def pack(tensor):
        sizes.append(tensor.numel() * tensor.element_size())
        return tensor

    patch = rand(3, 128, 128).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        paste_patch([image], patch, [boxes])
    return sum(sizes)


def test_saved_memory_stays_within_the_documented_bound():
    image = rand(3, 300, 300)
    area = image[0].numel()
    for count in (1, 100, 1968):
        for largest in (1, 10, 600):
            boxes = random_squares(count, 300, largest, seed=count)
            rows = (boxes[:, 3].clamp(0, 300) - boxes[:, 1].clamp(0, 300)).sum().item()
            assert saved_bytes(image, boxes) <= 32 * min(area, 2 * rows)


def test_saved_memory_does_not_grow_with_faces_on_the_same_pixels():
    image = rand(3, 250, 250)
    one = saved_bytes(image, torch.tensor([[0, 0, 250, 250]]))
    many = saved_bytes(image, torch.tensor([[0, 0, 250, 250]]).repeat(1968, 1))
    assert one == many == 32


def test_renderings_and_copies_stay_within_the_chunk():
    boxes = random_squares(500, 400, 350)
    chunk_size = 2**14
    plan = plan_paste([(400, 400)], [[boxes.numpy()]], (3, 64, 64), chunk_size)
    assert len(plan.atlases) > 1
    for atlas in plan.atlases:
        count = atlas.frames.shape[1]
        assert count * atlas.rows * max(atlas.cols, 64) <= chunk_size
        # A rectangle is copied whole.
        assert all(chunk.pixels <= 2 * chunk_size for chunk in atlas.chunks)
    chunks = [chunk for atlas in plan.atlases for chunk in atlas.chunks]
    shown = visible_rectangles(boxes.numpy(), 400, 400)
    height, width = plan.rectangles[2:]
    owned = (shown.height * shown.width).sum()
    assert sum(c.pixels for c in chunks) == owned == (height * width).sum()
    assert sum(c.rows for c in chunks) == height.sum()


# ----------------------------------------------------------------------- bad input
IMAGE, PATCH, BOX = torch.zeros(3, 8, 8), torch.zeros(3, 4, 4), torch.zeros(1, 4).long()


@pytest.mark.parametrize(
    ('images', 'patch', 'boxes', 'error', 'message'),
    [
        ([IMAGE], PATCH, [], ValueError, '1 images but 0 box tensors'),
        ([IMAGE], PATCH, [BOX.float()], TypeError, 'must be integers'),
        ([IMAGE], PATCH, [BOX[0]], ValueError, r'must be \(N, 4\)'),
        ([IMAGE], PATCH, [BOX - torch.tensor([0, 0, 1, 0])], ValueError, 'x1 <= x2'),
        ([IMAGE], PATCH, [BOX + 2**30], ValueError, 'magnitude'),
        ([IMAGE], PATCH, [BOX - 2**63], ValueError, 'magnitude'),
        ([IMAGE.byte()], PATCH, [BOX], TypeError, 'images must be floating'),
        ([IMAGE[:1]], PATCH, [BOX], ValueError, '3 channels of the patch'),
        ([IMAGE[0]], PATCH, [BOX], ValueError, r'\(C, H, W\)'),
        ([IMAGE], PATCH.byte(), [BOX], TypeError, 'patch must be floating'),
        ([IMAGE], PATCH[0], [BOX], ValueError, r'\(C, h, w\)'),
        ([IMAGE], PATCH[:, :0], [BOX], ValueError, r'\(C, h, w\)'),
        ([IMAGE], PATCH.to('meta'), [BOX], ValueError, 'patch is on meta'),
    ],
)
def test_bad_input_is_one_clear_error(images, patch, boxes, error, message):
    with pytest.raises(error, match=message):
        paste_patch(images, patch, boxes)


def test_registered_compositor():
    compositor = TASK_UTILS.build(dict(type='PatchCompositor', chunk_size=64))
    assert isinstance(compositor, PatchCompositor)
    image, patch, boxes = rand(3, 30, 30), rand(3, 16, 16), random_squares(12, 30, 20)
    (out,) = compositor([image], patch, [boxes])
    torch.testing.assert_close(out, paste_patch([image], patch, [boxes])[0])
    for make in (
        lambda: PatchCompositor(chunk_size=0),
        lambda: paste_patch([image], patch, [boxes], chunk_size=0),
    ):
        with pytest.raises(ValueError, match='chunk_size 0'):
            make()
