"""People with real faces, drawn in front of a background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

MIN_FACES, MAX_FACES = 6, 14
#: Side of a face, sqrt(w * h), in pixels.
MIN_SIDE, MAX_SIDE = 18.0, 110.0

# The visible face, forehead to chin, in a crop of 25 x 25: x1, y1, x2, y2. These are
# the median corners that a face detector whose boxes agree with WIDER FACE's (median
# difference under 4 % of the side on its validation images) gives on the 100 crops.
FACE_IN_CROP = (2.3, 0.4, 20.7, 24.1)
CROP_SIDE = 25


@dataclass(frozen=True)
class Person:
    """Where a person stands: the face box x1, y1, x2, y2, float pixels."""

    box: tuple[float, float, float, float]

    @property
    def width(self) -> float:
        """Of the face, pixels."""
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        """Of the face, pixels."""
        return self.box[3] - self.box[1]

    @property
    def head(self) -> tuple[float, float, float, float]:
        """The face and the hair around it, x1, y1, x2, y2."""
        x1, y1, x2, y2 = self.box
        return (
            x1 - 0.2 * self.width,
            y1 - 0.25 * self.height,
            x2 + 0.2 * self.width,
            y2 + 0.05 * self.height,
        )

    @property
    def body(self) -> tuple[float, float, float, float]:
        """Bounds of what is drawn below the chin, x1, y1, x2, y2."""
        x1, _, x2, y2 = self.box
        reach = 0.75 * self.width
        return x1 - reach, y2, x2 + reach, y2 + 6.2 * self.height


def compose_people(
    background: np.ndarray, crops: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[int, int, int, int]], list[int]]:
    """Puts people with real faces in front of a background.

    Args:
        background (np.ndarray): Float32 (h, w, 3), BGR in [0, 255].
        crops (np.ndarray): Float32 (n, 25, 25), grey faces in [0, 1].
        rng (np.random.Generator): Source of chance.

    Returns:
        tuple: The image, uint8 (h, w, 3) BGR; per face its box x, y, w, h in whole
        pixels; per face its blur (0, 1, 2 by how far its crop was enlarged).
    """
    canvas = background.copy()
    height, width = canvas.shape[:2]
    people = place_people(width, height, rng)
    chosen = rng.permutation(len(crops))[: len(people)]
    boxes, blur = [], []
    # From the farthest to the nearest: the near stand in front.
    for person, index in sorted(
        zip(people, chosen, strict=True), key=lambda pair: pair[0].height
    ):
        _draw_body(canvas, person, rng)
        _draw_head(canvas, person, crops[index], rng)
        x1, y1, x2, y2 = (round(v) for v in person.box)
        boxes.append((x1, y1, x2 - x1, y2 - y1))
        enlarged = person.width / (FACE_IN_CROP[2] - FACE_IN_CROP[0])
        blur.append(0 if enlarged < 1.5 else 1 if enlarged < 3 else 2)
    canvas += rng.normal(0, rng.uniform(1, 3), canvas.shape)
    return np.clip(np.round(canvas), 0, 255).astype(np.uint8), boxes, blur


def place_people(width: int, height: int, rng: np.random.Generator) -> list[Person]:
    """Chooses where people stand, so that nobody hides anybody's face.

    Sizes are drawn log-uniformly, three fifths of them from 24 to 64 pixels. The
    nearer somebody is, the lower in the picture, as it is seen by a camera.

    Returns:
        list[Person]: 6 to 14 people, their faces wholly inside the image, the largest
        face first.
    """
    aspect = (FACE_IN_CROP[2] - FACE_IN_CROP[0]) / (FACE_IN_CROP[3] - FACE_IN_CROP[1])
    count = int(rng.integers(MIN_FACES, MAX_FACES + 1))
    people: list[Person] = []
    while len(people) < MIN_FACES:
        people = []
        sides = sorted((_draw_side(rng) for _ in range(count)), reverse=True)
        for side in sides:
            w, h = side * aspect**0.5, side / aspect**0.5
            for _ in range(80):
                top = (height - h) * rng.beta(1.2, 3.5 - 2.0 * side / MAX_SIDE)
                left = rng.uniform(0, width - w)
                left, top = max(left, 1.0), max(top, 1.0)
                person = Person((left, top, left + w, top + h))
                if all(_sees(other, person) for other in people):
                    people.append(person)
                    break
    return people


def _draw_side(rng: np.random.Generator) -> float:
    low, high = (24.0, 64.0) if rng.random() < 0.6 else (MIN_SIDE, MAX_SIDE)
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _sees(near: Person, far: Person) -> bool:
    """Whether neither head of two people overlaps the other, nor the near body."""
    return not (_overlap(near.head, far.head) or _overlap(near.body, far.head))


def _overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _draw_body(canvas: np.ndarray, person: Person, rng: np.random.Generator) -> None:
    """Draws neck, clothes and legs, plainly: what tells people from balloons."""
    x1, _, x2, chin = person.box
    middle, w, h = (x1 + x2) / 2, person.width, person.height
    # Clothes are rarely of a pure colour: a grey, drawn a little towards one.
    top = rng.uniform(35, 190) * rng.uniform(0.65, 1.1, 3)
    legs = rng.uniform(25, 100) * rng.uniform(0.85, 1.1, 3)
    skin = _skin_tone(rng) * rng.uniform(70, 130)

    def outline(*points: tuple[float, float]) -> np.ndarray:
        """Mirrors half an outline, given in face widths and heights."""
        right = [(middle + dx * w, chin + dy * h) for dx, dy in points]
        left = [(middle - dx * w, chin + dy * h) for dx, dy in reversed(points)]
        return np.array(right + left, dtype=np.float32)

    shapes = (
        (outline((0.62, 2.4), (0.66, 2.6), (0.5, 6.2)), legs),
        (outline((0.27, -0.25), (0.3, 0.4)), skin),
        (
            outline(
                (0.28, 0.12),
                (0.75, 0.28),
                (1.05, 0.5),
                (1.15, 1.1),
                (1.1, 2.5),
                (0.8, 2.7),
            ),
            top,
        ),
    )
    for points, colour in shapes:
        _fill(canvas, points, colour, soft=0.03 * w, rng=rng)


def _fill(
    canvas: np.ndarray,
    points: np.ndarray,
    colour: np.ndarray,
    soft: float,
    rng: np.random.Generator,
) -> None:
    """Fills a polygon with a softly shaded colour, in place."""
    height, width = canvas.shape[:2]
    pad = int(3 * soft) + 2
    x1, y1 = np.maximum(np.floor(points.min(0)).astype(int) - pad, 0)
    x2, y2 = np.ceil(points.max(0)).astype(int) + pad
    x2, y2 = min(x2, width), min(y2, height)
    if x1 >= x2 or y1 >= y2:
        return
    mask = np.zeros((y2 - y1, x2 - x1), np.float32)
    shifted = np.round((points - (x1, y1)) * 16).astype(np.int32)
    cv2.fillPoly(mask, [shifted], 1.0, lineType=cv2.LINE_8, shift=4)
    mask = cv2.GaussianBlur(mask, (0, 0), max(soft, 0.6))
    # Shadows of low frequency, folds of a higher one that run downwards, and cloth.
    size = (x2 - x1, y2 - y1)
    shade = np.ones(size[::-1], np.float32)
    for rows, columns, strength in ((4, 3, 0.25), (6, 14, 0.18), (*size[::-1], 0.04)):
        noise = rng.uniform(-strength, strength, (rows, columns)).astype(np.float32)
        shade += cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
    paint = shade[..., None] * colour.astype(np.float32)
    _blend(canvas[y1:y2, x1:x2], paint, mask)


def _draw_head(
    canvas: np.ndarray, person: Person, crop: np.ndarray, rng: np.random.Generator
) -> None:
    """Draws hair and, over it, the real face, in place."""
    fx1, fy1, fx2, fy2 = FACE_IN_CROP
    # Pixels of the image per pixel of the crop.
    scale_x = person.width / (fx2 - fx1)
    scale_y = person.height / (fy2 - fy1)
    left = person.box[0] - fx1 * scale_x
    top = person.box[1] - fy1 * scale_y

    # The window that head and hair need, cut at the image's border.
    height, width = canvas.shape[:2]
    margin = 5
    x1 = max(int(np.floor(left - margin * scale_x)), 0)
    y1 = max(int(np.floor(top - margin * scale_y)), 0)
    x2 = min(int(np.ceil(left + (CROP_SIDE + margin) * scale_x)), width)
    y2 = min(int(np.ceil(top + (CROP_SIDE + margin) * scale_y)), height)
    window = canvas[y1:y2, x1:x2]
    ys, xs = np.mgrid[y1:y2, x1:x2].astype(np.float32) + 0.5
    # Coordinates inside the crop of each pixel of the window.
    u, v = (xs - left) / scale_x, (ys - top) / scale_y

    centre = (fx1 + fx2) / 2
    hair = np.hypot((u - centre) / 11.3, (v - 9.6) / 11.9)
    # Strands stand off the outline; below the ears hair is cut off.
    grain = cv2.resize(
        rng.normal(0, 1, (3, 30)).astype(np.float32),
        window.shape[1::-1],
        interpolation=cv2.INTER_CUBIC,
    )
    hair_mask = _soft_below(hair + 0.03 * grain, 1.0, 0.07) * _soft_below(v, 16.0, 3.0)
    colour = np.array([0.75, 0.88, 1.0]) * rng.choice([20, 32, 48, 75, 115])
    shine = (1 + 0.18 * grain) * np.clip(1.3 - 0.03 * (v + 3), 0.6, 1.3)
    _blend(window, shine[..., None] * colour.astype(np.float32), hair_mask)

    face = _resample(crop, u, v, max(scale_x, scale_y))
    oval = np.hypot((u - centre) / 10.4, (v - 12.4) / 12.4)
    mask = _soft_below(oval, 0.97, 0.12)
    skin = _match_light(face, mask, window, rng)[..., None] * _skin_tone(rng)
    _blend(window, skin.astype(np.float32), mask)


def _resample(
    crop: np.ndarray, u: np.ndarray, v: np.ndarray, scale: float
) -> np.ndarray:
    """The crop at fractional positions, blurred before as far as sampling needs it."""
    source = crop
    if scale < 1:
        source = cv2.GaussianBlur(crop, (0, 0), 0.5 / scale)
    elif scale > 1.5:
        # Or else the crop's pixel grid shows.
        source = cv2.GaussianBlur(crop, (0, 0), 0.45)
    face = cv2.remap(
        source,
        u.astype(np.float32) - 0.5,
        v.astype(np.float32) - 0.5,
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if scale > 1.5:
        # An enlarged crop is soft: bring the edges back a little.
        face += 0.35 * (face - cv2.GaussianBlur(face, (0, 0), 0.6 * scale))
    return np.clip(face, 0, 1)


def _match_light(
    face: np.ndarray, mask: np.ndarray, window: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Grey levels of the face, 0 to 255, drawn a little towards the light around it."""
    weight = mask / max(float(mask.sum()), 1e-6)
    mean = float((face * weight).sum())
    around = float(window.mean()) / 255
    target = np.clip(0.75 * mean + 0.25 * around, 0.28, 0.68)
    contrast = rng.uniform(0.95, 1.2)
    return np.clip((face - mean) * contrast + target, 0.02, 0.98) * 255


def _skin_tone(rng: np.random.Generator) -> np.ndarray:
    """Gain of B, G and R that tints a grey skin and keeps its luminance."""
    tone = 1 + rng.uniform(0.6, 1.1) * (np.array([0.74, 0.93, 1.25]) - 1)
    return tone / (tone @ np.array([0.114, 0.587, 0.299]))


def _soft_below(values: np.ndarray, limit: float, soft: float) -> np.ndarray:
    """1 below a limit, 0 above it, with a smooth step of half-width `soft`."""
    t = np.clip((limit + soft - values) / (2 * soft), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def _blend(window: np.ndarray, paint: np.ndarray, mask: np.ndarray) -> None:
    """Lays paint over a window of the canvas, in place."""
    window += mask[..., None] * (paint - window)
