"""Numbers of parts of the faces: by height, and by WIDER FACE's attributes.

A part is judged as a subset is: its faces are kept, detections on other faces
are neither right nor wrong. A false positive that overlaps no face has no
attribute, so attributes have recall only; it has a height, and counts in the
band of its own height, as COCO's areas do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .faces import ATTRIBUTE_VALUES
from .matching import IGNORED, TRUE_POSITIVE, PooledMatches
from .precision_recall import ratio
from .subset_counts import Thresholds

#: Edges between bands in pixels: the sides of SLN's anchors.
HEIGHT_EDGES = (16.0, 32.0, 64.0, 128.0)


def height_bands(edges: Sequence[float]) -> dict[str, tuple[float, float]]:
    """Bands between edges, with one below and one above.

    Args:
        edges (Sequence[float]): Heights in pixels, positive and ascending.

    Returns:
        dict: Name such as ``height:16-32`` -> (low, high); a height h is in the band
        where low <= h < high.

    Raises:
        ValueError: If the edges do not ascend.
    """
    limits = [float(edge) for edge in edges]
    if sorted(set(limits)) != limits or not all(0 < e < math.inf for e in limits):
        raise ValueError(f'height bands need ascending positive edges, got {limits}')
    if not limits:
        return {}
    bands = {f'height:<{limits[0]:g}': (-math.inf, limits[0])}
    bands |= {
        f'height:{low:g}-{high:g}': (low, high)
        for low, high in zip(limits[:-1], limits[1:], strict=True)
    }
    bands[f'height:>={limits[-1]:g}'] = (limits[-1], math.inf)
    return bands


def band_numbers(
    pool: PooledMatches,
    gt_height: NDArray[np.floating],
    keep: NDArray[np.bool_],
    thresholds: Thresholds,
    edges: Sequence[float],
) -> dict[str, float]:
    """``height:16-32/num_faces``, ``.../precision@D``, ``.../recall@D`` for each band.

    ``gt_height`` and ``keep``, the faces that count at all, are (G,).
    """
    numbers: dict[str, float] = {}
    for name, (low, high) in height_bands(edges).items():
        inside = keep & (gt_height >= low) & (gt_height < high)
        status = pool.status(inside)
        elsewhere = (pool.height < low) | (pool.height >= high)
        status[(pool.face < 0) & elsewhere] = IGNORED
        numbers |= _part_numbers(name, inside, status, thresholds, precision=True)
    return numbers


def attribute_numbers(
    pool: PooledMatches,
    attributes: NDArray[np.int64],
    keep: NDArray[np.bool_],
    thresholds: Thresholds,
) -> dict[str, float]:
    """``blur:heavy/num_faces``, ``blur:heavy/recall@D``, ... for each value.

    ``attributes`` is (G, 6), see
    :data:`~mmdet_facepatch.evaluation.functional.faces.ATTRIBUTE_VALUES`.
    """
    numbers: dict[str, float] = {}
    for column, (attribute, values) in enumerate(ATTRIBUTE_VALUES.items()):
        for value, name in enumerate(values):
            inside = keep & (attributes[:, column] == value)
            status = pool.status(inside)
            numbers |= _part_numbers(f'{attribute}:{name}', inside, status, thresholds)
    return numbers


def _part_numbers(
    name: str,
    inside: NDArray[np.bool_],
    status: NDArray[np.int8],
    thresholds: Thresholds,
    precision: bool = False,
) -> dict[str, float]:
    count = int(inside.sum())
    numbers = {f'{name}/num_faces': float(count)}
    claimed = thresholds.at_deltas(status != IGNORED)
    for delta, hits in thresholds.at_deltas(status == TRUE_POSITIVE).items():
        if precision:
            numbers[f'{name}/precision@{delta}'] = float(ratio(hits, claimed[delta]))
        numbers[f'{name}/recall@{delta}'] = float(ratio(hits, count))
    return numbers
