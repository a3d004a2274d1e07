"""Random inputs: annotation parser, placement, compositor, metric.

250 each; ``FACEPATCH_FUZZ=1000`` tries a thousand, in 2.3 minutes on one core. What
has to hold is stated at each test; what numbers have to come out is computed by plain
references.
"""

from __future__ import annotations

import math
import os
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmdet_facepatch.attack.compositor import paste_patch
from mmdet_facepatch.attack.placement import COORDINATE_LIMIT, patch_boxes
from mmdet_facepatch.evaluation import (
    Detections,
    EvaluationSettings,
    ImageFaces,
    evaluate_faces,
    load_predictions,
    save_predictions,
    to_records,
    write_text_predictions,
)
from mmdet_facepatch.utils.wider_annotation import (
    HIGHEST_ATTRIBUTES,
    parse_wider_annotation,
    to_instances,
)

EXAMPLES = int(os.environ.get('FACEPATCH_FUZZ', '250'))

# Files of predictions are brought to the disk before they are renamed; in memory that
# takes no time.
MEMORY = '/dev/shm' if os.path.isdir('/dev/shm') else None

pytestmark = pytest.mark.slow
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    # A loaded machine generates slowly; that is no failure.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


# ---------------------------------------------------------------------- annotation
#
# A text is either refused, by a ValueError that begins with the file and, unless it
# is empty, names a line that there is; or every image in it is usable: its path stays
# below the image folder, its boxes are finite, its attributes in range, and what is
# written back reads the same.

NUMBERS = st.one_of(
    st.integers(-30, 3000).map(str),
    st.floats(width=32).map(repr),
    st.sampled_from(['nan', 'inf', '-0', '1e5', '1e400', '0x1', '1_0', '٣', '', 'x']),
)
PARTS = st.one_of(
    st.text('ab-_. \u00e9', min_size=1, max_size=5),
    st.sampled_from(['..', '.', '', '~', 'C:', '\\', '\0', '\u2028', '\x0b', '#']),
)
PATHS = st.builds(
    '{}.{}'.format,
    st.lists(PARTS, min_size=1, max_size=3).map('/'.join),
    st.sampled_from(['jpg', 'JPG', 'png', 'jpeg']),
)
FACES = st.lists(NUMBERS, min_size=9, max_size=11).map(' '.join)
SOUND_FACES = st.builds(
    '{} {}'.format,
    st.lists(st.integers(-30, 3000).map(str), min_size=4, max_size=4).map(' '.join),
    st.tuples(*(st.integers(0, high) for high in HIGHEST_ATTRIBUTES)).map(
        lambda values: ' '.join(map(str, values))
    ),
)
LINES = st.one_of(
    PATHS, SOUND_FACES, FACES, st.integers(-1, 4).map(str), st.text(max_size=8)
)


@st.composite
def sound_images(draw):
    """Lines of some images, most of which are sound."""
    lines = []
    for _ in range(draw(st.integers(1, 3))):
        faces = draw(st.lists(SOUND_FACES, max_size=3))
        lines += [draw(PATHS), str(len(faces)), *faces]
    return lines


@st.composite
def annotation_bytes(draw):
    """An annotation, sound but for what befalls files, or anything else."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    lines = draw(sound_images())
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(lines) - 1))
        change = draw(st.sampled_from(['insert', 'replace', 'delete', 'repeat']))
        if change == 'insert':
            lines.insert(place, draw(LINES))
        elif change == 'replace':
            lines[place] = draw(LINES)
        elif change == 'repeat':
            lines[place:place] = lines[: place + 1]
        elif len(lines) > 1:
            del lines[place]
    text = draw(st.sampled_from(['\n', '\r\n', '\r'])).join(lines)
    codec = draw(st.sampled_from(['utf-8', 'utf-8', 'utf-8-sig', 'utf-16', 'latin-1']))
    return text.encode(codec, errors='replace')


@fuzz
@given(annotation_bytes())
def test_annotation_is_usable_or_refused_by_line(data):
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path = Path(folder, 'a.txt')
        path.write_bytes(data)
        try:
            found = parse_wider_annotation(str(path))
        except ValueError as error:
            check_refusal(str(error), path, data)
            return
        again = Path(folder, 'b.txt')
        again.write_text(as_text(found), encoding='utf-8')
        reread = parse_wider_annotation(str(again))
    assert list(found) == list(reread)
    for name, image in found.items():
        inside = Path('/images', name)
        assert inside.parts[:2] == ('/', 'images')
        assert '..' not in inside.parts
        assert np.isfinite(image.boxes).all()
        assert image.boxes.shape == (len(image.attributes), 4)
        assert (image.attributes >= 0).all()
        assert (image.attributes <= HIGHEST_ATTRIBUTES).all()
        assert np.array_equal(image.boxes, reread[name].boxes)
        assert np.array_equal(image.attributes, reread[name].attributes)
        # Whatever is read can be attacked: faces of no extent get no patch.
        corners = [face['bbox'] for face in to_instances(image)]
        squares = patch_boxes(torch.tensor(corners).reshape(-1, 4))
        drawn = (squares[:, 2] > squares[:, 0]).numpy()
        assert drawn[~image.ignored].all()
        assert not drawn[(image.boxes[:, 2:] <= 0).any(1)].any()


def check_refusal(message, path, data):
    assert message.startswith(str(path))
    assert len(message) < 2000
    number = message.removeprefix(str(path)).partition(':')[0]
    if message.endswith('the annotation file is empty'):
        assert not data.decode('utf-8-sig').strip()
        return
    assert number.startswith(', line ')
    lines = data.count(b'\n') + data.count(b'\r') + 1
    assert 1 <= int(number.removeprefix(', line ')) <= lines


def as_text(images):
    lines = []
    for image in images.values():
        lines += [image.path, str(len(image.boxes))]
        for box, attributes in zip(image.boxes, image.attributes, strict=True):
            lines.append(' '.join(map(repr, [*box.tolist(), *attributes.tolist()])))
    return '\n'.join(lines)


@fuzz
@given(
    st.dictionaries(
        st.integers(0, 99), st.lists(SOUND_FACES, max_size=4), min_size=1, max_size=4
    ),
    st.sampled_from(['\n', '\r\n', '\r']),
    st.sampled_from(['utf-8', 'utf-8-sig']),
    st.booleans(),
    st.text(' \t', max_size=2),
)
def test_sound_annotation_is_read_as_it_stands(images, end, codec, dummy, blank):
    lines = []
    for name, faces in images.items():
        lines += [f'e/{name}.jpg', str(len(faces)), *faces]
        if not faces and dummy:
            lines.append(' '.join('0' * 10))
    data = (end.join(line + blank for line in lines) + end).encode(codec)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path = Path(folder, 'a.txt')
        path.write_bytes(data)
        found = parse_wider_annotation(str(path))
    assert list(found) == [f'e/{name}.jpg' for name in images]
    for image, faces in zip(found.values(), images.values(), strict=True):
        rows = np.array([face.split() for face in faces], dtype=int).reshape(-1, 10)
        assert image.boxes.tolist() == rows[:, :4].tolist()
        assert image.attributes.tolist() == rows[:, 4:].tolist()


# ----------------------------------------------------------------------- placement
#
# Coordinates that are not finite or beyond 2**30 are refused by a ValueError, and
# nothing else is. Each face gets what scalar arithmetic gives it, whatever the other
# faces are: a square of integers, or nothing where it has no extent.

PLACES = {
    'top': (1, 0, 0),
    'top_middle': (0.5, 0.5, 0),
    'middle': (0, 1, 0),
    'middle_bottom': (0, 0.5, 0.5),
    'bottom': (0, 0, 1),
}
DTYPES = [torch.float16, torch.float32, torch.float64, torch.int64, torch.int16]
COORDINATES = st.one_of(
    st.integers(-100, 2000),
    st.floats(-5000, 5000),
    st.floats(),
    st.sampled_from([2.0**30, -(2.0**30), 2.0**30 - 1, 5e-324, -0.0]),
)
SHARES = st.floats(0, 1, exclude_min=True)
CENTERS = st.one_of(
    st.sampled_from(list(PLACES)), st.tuples(st.floats(-2, 2), st.floats(-2, 2))
)


def plain_square(face, alpha, center, scale):
    """The square of one face, by scalars."""
    x1, y1, x2, y2 = face
    width, height = x2 - x1, y2 - y1
    exact = alpha * math.sqrt(max(width, 0.0) * max(height, 0.0))
    side = max(1, round(scale * exact)) if width > 0 and height > 0 else 0
    if isinstance(center, str):
        top, middle, bottom = PLACES[center]
        across = width / 2
        down = top * exact / 2 + middle * height / 2 + bottom * (height - exact / 2)
    else:
        across, down = center[0] * width, center[1] * height
    left = math.floor(x1 + across - side / 2 + 0.5)
    upper = math.floor(y1 + down - side / 2 + 0.5)
    return [left, upper, left + side, upper + side]


@fuzz
@given(
    st.lists(st.tuples(*[COORDINATES] * 4), max_size=5),
    st.sampled_from(DTYPES),
    SHARES,
    CENTERS,
    SHARES,
)
def test_placement_of_any_faces(rows, dtype, alpha, center, scale):
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 4)
    if not dtype.is_floating_point:
        table = table.nan_to_num().clamp(-3000, 3000)
    faces = table.to(dtype)
    values = faces.double()
    if not (values.abs() < COORDINATE_LIMIT).all():
        with pytest.raises(ValueError, match=r'face box \d is .* finite pixels'):
            patch_boxes(faces, alpha, center, scale)
        return
    found = patch_boxes(faces, alpha, center, scale)
    assert found.dtype == torch.int64
    assert found.shape == (len(rows), 4)
    for face, square in zip(values.tolist(), found.tolist(), strict=True):
        assert square == plain_square(face, alpha, center, scale)
        x1, y1, x2, y2 = square
        side = x2 - x1
        assert side == y2 - y1
        width, height = face[2] - face[0], face[3] - face[1]
        assert (side > 0) == (width > 0 and height > 0)
        # Never larger than the whole patch of the largest alpha.
        if side > 1:
            assert side <= round(math.sqrt(width * height))


# ---------------------------------------------------------------------- compositor
#
# Pixels that no box covers keep their bits; a covered pixel shows the box that comes
# last, and there the area average of the patch; no value leaves the patch's range;
# the gradient is that of this linear map. Boxes may lie anywhere and be of any size.

FAR = st.integers(-(2**29), 2**29)
NEAR = st.integers(-12, 30)


@st.composite
def pasting(draw):
    """Image sizes, faces or boxes of each, patch size and dtype."""
    sizes = draw(
        st.lists(
            st.tuples(st.integers(1, 16), st.integers(1, 16)), min_size=1, max_size=3
        )
    )
    boxes = []
    for _ in sizes:
        if draw(st.booleans()):
            corner = st.tuples(st.floats(-20, 20), st.floats(-20, 20))
            extent = st.tuples(st.floats(-2, 40), st.floats(-2, 40))
            faces = [
                [x, y, x + w, y + h]
                for (x, y), (w, h) in draw(
                    st.lists(st.tuples(corner, extent), max_size=5)
                )
            ]
            faces_table = torch.tensor(faces).reshape(-1, 4)
            boxes.append(patch_boxes(faces_table, draw(SHARES), draw(CENTERS)))
            continue
        # Mostly near the image, some far, some around all of it.
        value = st.one_of(NEAR, NEAR, NEAR, FAR)
        rows = [
            [min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)]
            for x1, y1, x2, y2 in draw(st.lists(st.tuples(*[value] * 4), max_size=5))
        ]
        boxes.append(torch.tensor(rows, dtype=torch.int64).reshape(-1, 4))
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    seed = draw(st.integers(0, 2**16))
    return sizes, boxes, shape, dtype, seed, draw(st.sampled_from([1, 7, 2**16]))


def shares(begin, end, first, last, source):
    """Share of each source pixel in pixels ``first`` to ``last`` of a box's axis."""
    count = end - begin
    index = np.arange(first - begin, last - begin, dtype=np.float64)
    centre, half = (index + 0.5) * source / count, max(source / count, 1.0) / 2
    low, high = np.maximum(centre - half, 0), np.minimum(centre + half, source)
    pixel = np.arange(source)
    covered = np.minimum(high[:, None], pixel + 1) - np.maximum(low[:, None], pixel)
    return covered.clip(min=0) / (high - low)[:, None]


def plain_paste(image, patch, boxes, weight):
    """Image with patches, gradient of the patch for ``weight``, covered pixels."""
    out, height, width = image.copy(), *image.shape[1:]
    owner = np.full((height, width), -1)
    placed = {}
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        left, right = max(x1, 0), min(x2, width)
        top, bottom = max(y1, 0), min(y2, height)
        if left >= right or top >= bottom:
            continue
        by_row = shares(y1, y2, top, bottom, patch.shape[1])
        by_col = shares(x1, x2, left, right, patch.shape[2])
        out[:, top:bottom, left:right] = by_row @ patch @ by_col.T
        owner[top:bottom, left:right] = number
        placed[number] = (slice(top, bottom), slice(left, right), by_row, by_col)
    gradient = np.zeros_like(patch)
    for number, (rows, cols, by_row, by_col) in placed.items():
        seen = weight[:, rows, cols] * (owner[rows, cols] == number)
        gradient += by_row.T @ seen @ by_col
    return out, gradient, owner >= 0


@fuzz
@given(pasting())
def test_compositor_equals_the_plain_one(case):
    sizes, boxes, shape, dtype, seed, chunk_size = case
    generator = torch.Generator().manual_seed(seed)

    def random(*size):
        return torch.rand(*size, generator=generator, dtype=dtype)

    images = [random(shape[0], *size) for size in sizes]
    weights = [random(shape[0], *size) - 0.5 for size in sizes]
    patch = random(*shape).requires_grad_()
    pasted = paste_patch(images, patch, boxes, chunk_size)
    total = sum((p * w).sum() for p, w in zip(pasted, weights, strict=True))
    tolerance = 1e-9 if dtype == torch.float64 else 2e-5
    expected_gradient = np.zeros(shape)
    pixels = patch.detach().double().numpy()
    for image, weight, out, rows in zip(images, weights, pasted, boxes, strict=True):
        found = out.detach()
        assert found.dtype == dtype
        expected, gradient, covered = plain_paste(
            image.double().numpy(), pixels, rows.tolist(), weight.double().numpy()
        )
        expected_gradient += gradient
        assert torch.equal(found[:, ~covered], image[:, ~covered])
        np.testing.assert_allclose(found.double(), expected, rtol=0, atol=tolerance)
        for channel in range(shape[0]):
            shown = found[channel, covered].double().numpy()
            low, high = pixels[channel].min(), pixels[channel].max()
            assert (shown >= low - tolerance).all()
            assert (shown <= high + tolerance).all()
    if expected_gradient.any() or total.requires_grad:
        total.backward()
        np.testing.assert_allclose(
            patch.grad.double(), expected_gradient, rtol=0, atol=100 * tolerance
        )


# -------------------------------------------------------------------------- metric
#
# Counts equal those of a plain matching. Precision and recall are shares or, with
# nothing to divide by, NaN; recall does not grow with the threshold. The order of
# images, of detections with different scores, and an image without anything do not
# matter; detections that were written and read again give the same numbers.

DELTAS = (0.25, 0.5, 0.9)
SETTINGS = EvaluationSettings(deltas=DELTAS, bootstrap=0, num_thresholds=50)
corner = st.integers(0, 20)
BOXES = st.tuples(corner, corner, st.integers(0, 14), st.integers(0, 14)).map(
    lambda box: [box[0], box[1], box[0] + box[2], box[1] + box[3]]
)
ODD_BOXES = st.tuples(corner, corner, st.integers(-3, 14), st.integers(-3, 14)).map(
    lambda box: [box[0], box[1], box[0] + box[2], box[1] + box[3]]
)


@st.composite
def judged_images(draw):
    """Faces and detections by image, scores all different."""
    faces, detections = {}, {}
    count = draw(st.integers(1, 4))
    scores = iter(
        draw(st.permutations([(i + 0.5) / 40 for i in range(40)])) if count else []
    )
    precision = draw(st.sampled_from([np.float32, np.float64]))
    attacked = draw(st.booleans())
    margins = draw(st.booleans())
    for number in range(count):
        name = f'e/{number}'
        rows = draw(st.lists(ODD_BOXES, max_size=4))
        keep = draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
        faces[name] = ImageFaces(
            np.array(rows, dtype=float).reshape(-1, 4),
            keep=dict(hard=np.array(keep, dtype=bool)),
        )
        near = st.sampled_from(rows) if rows else BOXES
        found = draw(st.lists(st.one_of(BOXES, near), max_size=6))
        found = [box for box in found if box[2] >= box[0] and box[3] >= box[1]]
        own = np.array([next(scores) for _ in found], dtype=precision)
        detections[name] = Detections(
            np.array(found, dtype=precision).reshape(-1, 4),
            own,
            np.log(own / (1 - own)) if margins else None,
            np.array(draw(st.lists(BOXES, max_size=2)), dtype=int).reshape(-1, 4)
            if attacked
            else None,
        )
    return faces, detections


def plain_overlap(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0]) + 1
    height = min(one[3], other[3]) - max(one[1], other[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(b[2] - b[0] + 1) * (b[3] - b[1] + 1) for b in (one, other)]
    return width * height / (areas[0] + areas[1] - width * height)


def plain_counts(faces, detections, subset, delta):
    """Right, claimed and all faces of a subset at a threshold."""
    right = claimed = total = 0
    for name, image in faces.items():
        boxes = image.boxes.tolist()
        keep = image.keep.get(subset, np.ones(len(boxes), bool)).tolist()
        total += sum(keep)
        if not boxes:  # left out by the protocol
            continue
        found = detections[name]
        met = set()
        for row in np.argsort(-found.scores, kind='stable'):
            if found.scores[row] < delta:
                break
            overlaps = [plain_overlap(found.boxes[row].tolist(), b) for b in boxes]
            best = int(np.argmax(overlaps))
            if overlaps[best] >= 0.5:
                if not keep[best]:
                    continue
                right += best not in met
                met.add(best)
            claimed += 1
    return right, claimed, total


def same(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert value == pytest.approx(other[key], abs=1e-9, nan_ok=True), key


@fuzz
@given(judged_images())
def test_metric_equals_the_plain_one(case):
    faces, detections = case
    numbers = evaluate_faces(to_records(detections, faces), SETTINGS).numbers
    for subset in ('hard', 'all'):
        for delta in DELTAS:
            right, claimed, total = plain_counts(faces, detections, subset, delta)
            recall = numbers[f'{subset}/recall@{delta}']
            precision = numbers[f'{subset}/precision@{delta}']
            assert recall == pytest.approx(
                right / total if total else math.nan, nan_ok=True
            )
            assert precision == pytest.approx(
                right / claimed if claimed else math.nan, nan_ok=True
            )
        for low, high in pairwise(DELTAS):
            found = [numbers[f'{subset}/recall@{delta}'] for delta in (low, high)]
            assert math.isnan(found[0]) or found[0] >= found[1]
        average = numbers[f'{subset}/AP']
        assert math.isnan(average) or 0 <= average <= 1 + 1e-12


@fuzz
@given(judged_images(), st.randoms(use_true_random=False))
def test_metric_does_not_depend_on_order_or_storage(case, random):
    faces, detections = case
    numbers = evaluate_faces(to_records(detections, faces), SETTINGS).numbers
    names = list(faces)
    random.shuffle(names)
    shuffled = {}
    for name in names:
        found = detections[name]
        order = random.sample(range(len(found.scores)), len(found.scores))
        shuffled[name] = Detections(
            found.boxes[order],
            found.scores[order],
            None if found.margins is None else found.margins[order],
            found.patch_boxes,
        )
    moved = {name: faces[name] for name in names}
    same(evaluate_faces(to_records(shuffled, moved), SETTINGS).numbers, numbers)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        save_predictions(f'{folder}/p.npz', shuffled)
        stored = load_predictions(f'{folder}/p.npz')
        same(evaluate_faces(to_records(stored, faces), SETTINGS).numbers, numbers)
        plain = {n: Detections(d.boxes, d.scores) for n, d in detections.items()}
        write_text_predictions(f'{folder}/p', plain)
        text = load_predictions(f'{folder}/p')
    same(
        evaluate_faces(to_records(text, faces), SETTINGS).numbers,
        evaluate_faces(to_records(plain, faces), SETTINGS).numbers,
    )


@fuzz
@given(judged_images())
def test_finding_every_face_is_perfect(case):
    faces, _ = case
    # Faces that are boxes and lie apart, so that each is found by its own box alone.
    faces = {
        name: ImageFaces(
            np.array([[100 * i, 0, 100 * i + 9 + i, 30] for i in range(len(f.boxes))])
            .reshape(-1, 4)
            .astype(float)
        )
        for name, f in faces.items()
    }
    detections = {
        name: Detections(f.boxes, np.full(len(f.boxes), 0.95))
        for name, f in faces.items()
    }
    numbers = evaluate_faces(to_records(detections, faces), SETTINGS).numbers
    if any(len(f.boxes) for f in faces.values()):
        for delta in DELTAS:
            assert numbers[f'all/recall@{delta}'] == 1
            assert numbers[f'all/precision@{delta}'] == 1
        assert numbers['all/AP'] == pytest.approx(1, abs=1e-12)
    else:
        assert math.isnan(numbers['all/recall@0.5'])
