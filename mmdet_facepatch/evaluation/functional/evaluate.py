"""The whole evaluation of a set of images, on arrays.

Example:
    >>> import numpy as np
    >>> from mmdet_facepatch.evaluation import ImageRecord
    >>> image = ImageRecord(
    ...     img_id='0--Parade/a',
    ...     det_boxes=np.array([[0., 0, 9, 9], [50, 50, 59, 59]]),
    ...     det_scores=np.array([0.995, 0.8]),
    ...     gt_boxes=np.array([[0., 0, 9, 9]]))
    >>> evaluation = evaluate_faces([image], EvaluationSettings(bootstrap=0))
    >>> evaluation.numbers['all/recall@0.99']
    1.0
    >>> evaluation.numbers['all/other_false_positives@0.5']
    1.0
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bootstrap import bootstrap_weights, percentile_interval
from .breakdown import attribute_numbers, band_numbers
from .f_beta import margin_thresholds, margins_from_scores
from .face_evaluation import ALL, EvaluationSettings, FaceEvaluation
from .faces import OFFICIAL_SUBSETS, ImageRecord
from .matching import FALSE_POSITIVE, TRUE_POSITIVE, PooledMatches, pool_matches
from .precision_recall import (
    ThresholdBins,
    ap_thresholds,
    calibrated_delta,
    delta_at_recall,
    normalise_scores,
    ratio,
)
from .reference import Reference
from .subset_counts import (
    SubsetCounts,
    Thresholds,
    counts_by_image,
    f_beta_curve,
    subset_numbers,
)

#: Kinds of false positives that are counted in each bootstrap replicate.
DRAWN_OUTCOMES = ('on_patch', 'other_false_positives')


def evaluate_faces(
    images: Sequence[ImageRecord],
    settings: EvaluationSettings | None = None,
    reference: Reference | None = None,
) -> FaceEvaluation:
    """Evaluate detections on all images.

    Numbers of each subset (``easy/``, ``medium/``, ``hard/`` where the records
    have them, and ``all/``):

    - ``AP``: official AP on normalised scores; NaN without faces.
    - ``AF0.5``, ...: AF_beta over all thresholds s of the range, for each beta;
      ``AF0.5+``, ...: over those with s >= 0, NaN where the range has none above 0. 0
      where the clean images have detections and these none, NaN where the clean ones
      have none, so that there is no range.
    - ``precision@D``, ``recall@D``, ``F0.5@D``: at raw scores >= D, for each
      delta (written with ``%g``) and ``calibrated``. Precision is NaN where no
      detection counts.
    - ``true_positives@D``, ``duplicates@D`` (on a face found before),
      ``on_patch@D`` (on no face, but on a patch or in it; only where they were
      pasted), ``other_false_positives@D``: how many; their sum is the number
      of detections that count.
    - ``num_faces``: faces kept.

    Numbers of parts of ``all``: ``height:16-32/precision@D`` and ``recall@D``;
    ``blur:heavy/recall@D``, ... where attributes are known.

    Numbers of the run: ``calibrated_delta``, ``margin_low`` and ``margin_high`` (the
    range of AF_beta; see :class:`Reference`), ``num_images``,
    ``num_images_without_faces`` (whose detections the protocol leaves out),
    ``silent_images@D`` (share of images without any detection at or above D),
    and, where patches were pasted, ``num_patches``, ``patches_detected@D``
    (share with a detection on it), ``patch_score_mean`` and ``patch_score_max``
    (of the highest score on each patch, 0 for none).

    Curves: ``score_thresholds`` (T,) on normalised scores with
    ``{subset}/precision`` and ``{subset}/recall``; ``margin_thresholds`` (K,)
    over s with ``{subset}/proposals``, ``{subset}/recalled`` and
    ``{subset}/F0.5``, ...; ``patch_scores`` (P,) where patches were pasted.

    Args:
        images (list[ImageRecord]): One of each image.
        settings (EvaluationSettings, optional): Defaults to the paper's.
        reference (Reference, optional): Calibrated delta and range of AF_beta in place
            of the run's own, as found on clean images. A range in the settings goes
            before both. Defaults to None.

    Returns:
        FaceEvaluation: Everything.

    Raises:
        ValueError: If there are no images, an image occurs twice, or only some
            of the detections have margins.
    """
    settings = settings or EvaluationSettings()
    _check_images(images)
    pool = pool_matches(
        images,
        settings.face_iou_thr,
        settings.patch_iou_thr,
        settings.count_empty_images,
        settings.patch_share,
    )
    keeps = _keep_masks(images)
    margins = _margins(pool)
    is_own = reference is None
    if reference is None:
        reference = _own_reference(pool, keeps[ALL], margins, settings)
    if settings.margin_range is not None:
        low, high = map(float, settings.margin_range)
        reference = replace(reference, margin_low=low, margin_high=high)
    thresholds = _thresholds(pool, margins, settings, reference)
    attacked = any(record.patch_boxes is not None for record in images)
    weights = bootstrap_weights(len(images), settings.bootstrap, settings.seed)

    numbers: dict[str, float] = {}
    replicates: dict[str, NDArray[np.float64]] = {}
    curves: dict[str, NDArray] = {
        'score_thresholds': thresholds.ap.thresholds,
        'margin_thresholds': thresholds.margin.thresholds,
    }
    for name, keep in keeps.items():
        status = pool.status(keep)
        by_image = counts_by_image(pool, status, keep, thresholds)
        total = by_image.summed()
        found = _floats('', subset_numbers(total, thresholds, settings.betas))
        outcomes = _outcomes(pool, status, attacked)
        for outcome, mask in outcomes.items():
            found |= _floats(f'{outcome}@', thresholds.at_deltas(mask))
        found['num_faces'] = float(keep.sum())
        numbers |= {f'{name}/{key}': value for key, value in found.items()}
        curves |= _curves(name, total, settings.betas)
        if settings.bootstrap:
            drawn = subset_numbers(
                by_image.weighted(weights), thresholds, settings.betas
            )
            for outcome in (o for o in DRAWN_OUTCOMES if o in outcomes):
                counts = thresholds.delta.counts_by_image(
                    outcomes[outcome], pool.image, len(images)
                )
                by_delta = thresholds.by_delta(weights @ counts)
                drawn |= {f'{outcome}@{d}': values for d, values in by_delta.items()}
            replicates |= {f'{name}/{key}': value for key, value in drawn.items()}
    numbers |= _part_numbers(images, pool, keeps[ALL], thresholds, settings)
    numbers |= asdict(reference) | _run_numbers(pool, thresholds)
    if attacked:
        numbers |= _patch_numbers(pool, thresholds)
        curves['patch_scores'] = pool.patch_scores
    return FaceEvaluation(
        numbers=numbers,
        intervals={
            key: percentile_interval(values, settings.confidence)
            for key, values in replicates.items()
        },
        curves=curves,
        replicates=replicates,
        img_ids=tuple(record.img_id for record in images),
        data=dict(
            **_facts(pool),
            margins_above_range=int(np.sum(margins > reference.margin_high)),
            reference='own' if is_own else 'given',
        ),
        settings=settings,
    )


def _check_images(images: Sequence[ImageRecord]) -> None:
    if not images:
        raise ValueError('no images were evaluated: the data set is empty')
    ids = Counter(record.img_id for record in images)
    repeated = sorted(img_id for img_id, count in ids.items() if count > 1)
    if repeated:
        raise ValueError(
            f'{len(repeated)} images were evaluated more than once, the first is '
            f'{repeated[0]}; each must occur once in the data set'
        )


def _keep_masks(images: Sequence[ImageRecord]) -> dict[str, NDArray[np.bool_]]:
    """For each subset, which of the faces of all images are kept; ALL last."""
    named = {name for record in images for name in record.gt_keep}
    masks = {}
    for name in (*(name for name in OFFICIAL_SUBSETS if name in named), ALL):
        parts = [r.gt_keep.get(name, np.ones(len(r.gt_boxes))) for r in images]
        masks[name] = np.concatenate([np.asarray(part, dtype=bool) for part in parts])
    return masks


def _margins(pool: PooledMatches) -> NDArray[np.float64]:
    """(N,) margins s, of scores their log-odds."""
    found = margins_from_scores(pool.scores) if pool.margins is None else pool.margins
    return found.astype(np.float64)


def _own_reference(
    pool: PooledMatches,
    keep: NDArray[np.bool_],
    margins: NDArray[np.float64],
    settings: EvaluationSettings,
) -> Reference:
    status = pool.status(keep)
    if settings.min_recall is None:
        delta = calibrated_delta(pool.scores, status, settings.min_precision)
    else:
        num_faces = int(keep.sum())
        delta = delta_at_recall(pool.scores, status, num_faces, settings.min_recall)
    return Reference(
        calibrated_delta=math.nan if delta is None else float(delta),
        margin_low=float(margins.min()) if len(margins) else math.nan,
        margin_high=float(margins.max()) if len(margins) else math.nan,
    )


def _thresholds(
    pool: PooledMatches,
    margins: NDArray[np.float64],
    settings: EvaluationSettings,
    reference: Reference,
) -> Thresholds:
    named = {f'{value:g}': value for value in settings.deltas}
    named['calibrated'] = reference.calibrated_delta
    defined = sorted({value for value in named.values() if not math.isnan(value)})
    low, high = reference.margin_low, reference.margin_high
    limits = (
        np.zeros(0)
        if math.isnan(low)
        else margin_thresholds(low, high, settings.num_thresholds)
    )
    return Thresholds(
        ap=ThresholdBins.of(normalise_scores(pool.scores), ap_thresholds()),
        margin=ThresholdBins.of(margins, limits),
        delta=ThresholdBins.of(pool.scores, defined),
        delta_columns={
            name: None if math.isnan(value) else defined.index(value)
            for name, value in named.items()
        },
    )


def _facts(pool: PooledMatches) -> dict[str, Any]:
    scores = pool.scores
    return dict(
        num_detections=len(scores),
        min_score=float(scores.min()) if len(scores) else None,
        max_score=float(scores.max()) if len(scores) else None,
        scores_of_one=int(np.sum(scores == 1)),
        confidence='scores' if pool.margins is None else 'margins',
    )


def _floats(head: str, values: Mapping[str, Any]) -> dict[str, float]:
    return {f'{head}{key}': float(value) for key, value in values.items()}


def _outcomes(
    pool: PooledMatches, status: NDArray[np.int8], attacked: bool
) -> dict[str, NDArray[np.bool_]]:
    """Which detections are true positives and the kinds of false positives."""
    false = status == FALSE_POSITIVE
    kinds = {
        'true_positives': status == TRUE_POSITIVE,
        'duplicates': false & (pool.face >= 0),
    }
    if attacked:
        kinds['on_patch'] = false & pool.on_patch
    kinds['other_false_positives'] = false & (pool.face < 0) & ~pool.on_patch
    return kinds


def _curves(
    name: str, total: SubsetCounts, betas: Sequence[float]
) -> dict[str, NDArray]:
    curves = {
        f'{name}/precision': ratio(total.ap[1], total.ap[0]),
        f'{name}/recall': ratio(total.ap[1], total.num_faces),
        f'{name}/proposals': total.margin[0],
        f'{name}/recalled': total.margin[1],
    }
    curves |= {f'{name}/F{beta:g}': f_beta_curve(total, beta) for beta in betas}
    return curves


def _part_numbers(
    images: Sequence[ImageRecord],
    pool: PooledMatches,
    keep: NDArray[np.bool_],
    thresholds: Thresholds,
    settings: EvaluationSettings,
) -> dict[str, float]:
    heights = np.concatenate(
        [np.asarray(r.gt_boxes[:, 3] - r.gt_boxes[:, 1], dtype='f8') for r in images]
    )
    numbers = band_numbers(pool, heights, keep, thresholds, settings.height_edges)
    known = [r.gt_attributes for r in images if r.gt_attributes is not None]
    if len(known) == len(images):
        joined = np.concatenate(known)
        numbers |= attribute_numbers(pool, joined, keep, thresholds)
    return numbers


def _run_numbers(pool: PooledMatches, thresholds: Thresholds) -> dict[str, float]:
    num_images = len(pool.faces_per_image)
    reached = np.zeros(num_images, dtype=np.int64)
    np.maximum.at(reached, pool.image, thresholds.delta.index)
    numbers = {
        'num_images': float(num_images),
        'num_images_without_faces': float(np.sum(pool.faces_per_image == 0)),
    }
    places = np.arange(len(thresholds.delta.thresholds))
    silent = np.mean(reached[:, None] <= places, axis=0)
    return numbers | _floats('silent_images@', thresholds.by_delta(silent))


def _patch_numbers(pool: PooledMatches, thresholds: Thresholds) -> dict[str, float]:
    scores, limits = pool.patch_scores, thresholds.delta.thresholds
    bins = ThresholdBins.of(scores.astype(limits.dtype), limits)
    hit = ratio(bins.counts(np.ones(len(scores), dtype=bool)), len(scores))
    return {
        'num_patches': float(len(scores)),
        **_floats('patches_detected@', thresholds.by_delta(hit)),
        'patch_score_mean': float(scores.mean()) if len(scores) else math.nan,
        'patch_score_max': float(scores.max()) if len(scores) else math.nan,
    }
