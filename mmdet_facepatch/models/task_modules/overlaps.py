"""Best overlap of many priors with many boxes, without the matrix of all pairs.

Priors are sorted by size and place, so that those near a box are a few stretches
of a sorted list: :func:`near_pairs` lists them, and overlaps are computed for
these pairs alone. The results are those of the whole matrix, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor

# Pairs that are held at one time, about 120 bytes each.
MAX_PAIRS = 1 << 19
# Priors are found by square tiles of this share of their size class, but of no
# less than MIN_TILE pixels: small tiles mean many stretches, large ones many
# pairs that do not meet.
TILES_PER_SIZE = 16
MIN_TILE = 4
# Centres beyond this are put here, where only boxes as far away look for them.
FAR = 2.0**24
# So much lower is the bound taken: overlaps themselves are rounded.
SLACK = 1e-5


@dataclass(frozen=True)
class _SizeClass:
    """Priors whose longer sides are within a factor of two."""

    # What precedes the tile in a key.
    code: int
    # Side of the tiles, pixels.
    tile: float
    # Smallest and largest (width, height), (2,) float64.
    low: Tensor
    high: Tensor


@dataclass(frozen=True)
class _TileIndex:
    """Priors in the order of their keys: size class, tile row, tile column."""

    # Index of the prior at each place, and its key, (A,) int64.
    order: Tensor
    keys: Tensor
    # Upper left corner of all tiles, (2,) float64 xy.
    origin: Tensor
    columns: int
    rows: int
    classes: list[_SizeClass]


def _centers_and_sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Centres and sides, each (N, 2) float64, exact for float32 boxes."""
    corners = boxes.double().nan_to_num(0, FAR, -FAR).clamp(-FAR, FAR)
    start, end = corners[:, :2], corners[:, 2:]
    return (start + end) / 2, (end - start).clamp(min=0)


def _tile_index(priors: Tensor) -> _TileIndex:
    """Sort priors by size class and tile."""
    centers, sides = _centers_and_sides(priors)
    exponents = torch.frexp(sides.amax(dim=1)).exponent.long().clamp(min=0)
    present = exponents.bincount().nonzero().squeeze(1)
    tiles = (exponents.double().exp2() / TILES_PER_SIZE).clamp(min=MIN_TILE)
    origin = centers.amin(dim=0)
    columns, rows = (
        ((centers.amax(dim=0) - origin) / MIN_TILE).floor().long() + 2
    ).tolist()
    x, y = ((centers - origin) / tiles[:, None]).floor().long().unbind(dim=1)
    keys, order = ((exponents * rows + y) * columns + x).sort()
    edges = torch.searchsorted(
        keys, torch.cat([present, present[-1:] + 1]) * rows * columns
    ).tolist()
    sides = sides[order]
    classes = [
        _SizeClass(
            code,
            max(2.0**code / TILES_PER_SIZE, MIN_TILE),
            sides[first:end].amin(dim=0),
            sides[first:end].amax(dim=0),
        )
        for code, first, end in zip(present.tolist(), edges, edges[1:], strict=False)
    ]
    return _TileIndex(order, keys, origin, columns, rows, classes)


def _reach(sides: Tensor, low: Tensor, high: Tensor, above: float) -> Tensor:
    """How far apart centres may be in x and y for an IoU above a bound.

    An IoU above t needs an intersection wider than t times the wider of the two
    boxes. So widths w and v must be within a factor of t, and their centres at
    most ``(w + v) / 2 - t max(w, v)`` apart, which grows with v up to v = w, and
    beyond as long as t < 1/2. Likewise for heights.

    For (G, 2) sides of boxes, (2,) smallest and largest sides of priors; (G, 2),
    negative where no prior can reach the IoU.
    """
    fit = (above * sides <= high) & (above * low <= sides)
    widest = torch.minimum(high, sides / above) if above else high.expand_as(sides)
    if above > 0.5:
        widest = torch.minimum(widest, sides.clamp(min=low))
    reach = (sides + widest) / 2 - above * torch.maximum(sides, widest)
    return torch.where(fit, reach, -1.0)


def _stretches(
    index: _TileIndex, boxes: Tensor, above: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Stretches (S,) of the sorted priors that may overlap each box.

    Their boxes, ascending, first places in the order and lengths.
    """
    centers, sides = _centers_and_sides(boxes)
    found = []
    for size in index.classes:
        reach = _reach(sides, size.low, size.high, above)
        near = centers - index.origin
        first = ((near - reach) / size.tile).floor().clamp(min=0).long()
        last = ((near + reach) / size.tile).floor().long()
        limit = last.new_tensor([index.columns - 2, index.rows - 1])
        last = torch.minimum(last, limit)
        count = (last - first + 1).clamp(min=0)
        rows = count[:, 1] * ((count[:, 0] > 0) & (reach >= 0).all(dim=1))
        box = torch.repeat_interleave(rows)
        row = torch.arange(len(box), device=box.device)
        row += (first[:, 1] - (rows.cumsum(0) - rows))[box]
        base = (size.code * index.rows + row) * index.columns
        found.append(torch.stack([box, base + first[box, 0], base + last[box, 0] + 1]))
    box, low, high = torch.cat(found, dim=1)
    start = torch.searchsorted(index.keys, low)
    length = torch.searchsorted(index.keys, high) - start
    some = length.nonzero().squeeze(1)
    # By box, so that the first box comes first where overlaps tie.
    some = some[box[some].argsort(stable=True)]
    return box[some], start[some], length[some]


def near_pairs(
    priors: Tensor, boxes: Tensor, above: float = 0.0, max_pairs: int = MAX_PAIRS
) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs of priors and boxes among which are all whose IoU exceeds a bound.

    Args:
        priors (Tensor): (A, 4) float xyxy, pixels. The many of the two.
        boxes (Tensor): (G, 4) float xyxy, pixels.
        above (float): The bound, in [0, 1). Defaults to 0.0.
        max_pairs (int): About how many pairs come at one time; a stretch of one row of
            tiles is not cut. Defaults to MAX_PAIRS.

    Yields:
        Indices of priors and of boxes, each (P,) int64; boxes ascend within and
        across what is yielded, and no pair comes twice.
    """
    if not len(priors) or not len(boxes):
        return
    index = _tile_index(priors)
    box, start, length = _stretches(index, boxes, max(0.0, above - SLACK))
    ends = length.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    marks = torch.arange(0, total, max_pairs, device=ends.device)
    cuts = [*torch.searchsorted(ends, marks, right=True).unique().tolist(), len(ends)]
    for first, last in zip(cuts, cuts[1:], strict=False):
        part = slice(first, last)
        which = torch.repeat_interleave(length[part])
        place = torch.arange(len(which), device=which.device)
        place += (
            start[part] - (ends[part] - length[part]) + (ends[first] - length[first])
        )[which]
        yield index.order[place], box[part][which]


def _best_partners(
    owners: Tensor,
    partners: Tensor,
    pairs: Iterable[tuple[Tensor, Tensor]],
    mode: str = 'iou',
) -> tuple[Tensor, Tensor]:
    """Best overlap of each owner and its partner, the lowest on ties."""
    dtype = torch.promote_types(owners.dtype, partners.dtype)
    best = owners.new_zeros(len(owners), dtype=dtype)
    index = torch.full_like(best, 0 if len(partners) else -1, dtype=torch.long)
    for own, other in pairs:
        overlaps = bbox_overlaps(owners[own], partners[other], mode, is_aligned=True)
        new = best.scatter_reduce(0, own, overlaps, 'amax')
        wins = overlaps == new[own]
        # Where nothing was better the partner so far may still be the lowest.
        index = index.masked_fill(new > best, torch.iinfo(index.dtype).max)
        index.scatter_reduce_(0, own[wins], other[wins], 'amin')
        best = new
    return best, index


@torch.no_grad()
def best_overlaps(
    priors: Tensor,
    boxes: Tensor,
    mode: str = 'iou',
    above: float = 0.0,
    max_pairs: int = MAX_PAIRS,
) -> tuple[Tensor, Tensor]:
    """Overlap of each prior with the box that it overlaps most.

    Bit for bit what the maximum of mmdet's (A, G) matrix is, in time and memory
    that grow with the pairs that meet. Selecting gives no gradient.

    Args:
        priors (Tensor): (A, 4) float xyxy, pixels.
        boxes (Tensor): (G, 4) float xyxy, pixels; G may be 0.
        mode (str): 'iou', or 'iof' for the intersection over the prior's area. Defaults
            to 'iou'.
        above (float): Where only IoUs above this matter: results up to it may then be
            lower than they are. Not used with 'iof'. Defaults to 0.0.
        max_pairs (int): About how many pairs are computed at one time. Defaults to
            MAX_PAIRS.

    Returns:
        tuple[Tensor, Tensor]: Best overlap, (A,) float in [0, 1], zero without boxes;
        and the index of the box that has it, (A,) int64, the first on ties, -1 without
        boxes.
    """
    bound = above if mode == 'iou' else 0.0
    pairs = near_pairs(priors, boxes, bound, max_pairs)
    return _best_partners(priors, boxes, pairs, mode)


@torch.no_grad()
def best_priors(
    priors: Tensor, boxes: Tensor, max_pairs: int = MAX_PAIRS
) -> tuple[Tensor, Tensor]:
    """Prior that overlaps each box most: :func:`best_overlaps` turned round.

    Returns:
        tuple[Tensor, Tensor]: Best IoU (G,) float in [0, 1] and index of the prior (G,)
        int64, the first on ties, -1 without priors.
    """
    pairs = near_pairs(priors, boxes, max_pairs=max_pairs)
    return _best_partners(boxes, priors, ((box, prior) for prior, box in pairs))
