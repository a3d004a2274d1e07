"""Files from evaluations of several conditions.

A *condition* is one evaluation of the same images: clean, grey patch, noise
patch, optimised patch; or one detector among several. The first condition is
the reference that the others are compared with.

The JSON of :func:`save_report` (``schema_version`` 4) holds:

- ``schema_version`` (int), ``package`` (version of mmdet_facepatch);
- ``protocol``: what the numbers depend on. ``settings`` has the fields of
  :class:`~mmdet_facepatch.evaluation.EvaluationSettings`; the rest is what the
  caller knows (data set, scales, score threshold, NMS, patch, ...);
- ``conditions``: name -> ``data`` (images, detections, kind of confidence, ...),
  ``numbers`` (as listed at
  :func:`~mmdet_facepatch.evaluation.evaluate_faces`) and ``intervals`` (number ->
  ``low``, ``high``, ``undefined`` replicates);
- ``comparisons``: name of every further condition -> ``reference`` and
  ``differences`` (number -> ``value``, ``low``, ``high``, ``undefined``), by the
  paired bootstrap; absent where there are no replicates.

NaN, which JSON lacks, is ``null``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from ..utils.files import write_atomically
from ..utils.json_files import read_json, write_json
from ..version import __version__
from .functional.bootstrap import Interval
from .functional.face_evaluation import FaceEvaluation, compare_evaluations

#: Version of the JSON written by :func:`save_report`; raised with every change
#: that a reader has to know of.
SCHEMA_VERSION = 4


def save_report(
    path: str | os.PathLike[str],
    evaluations: Mapping[str, FaceEvaluation],
    protocol: Mapping[str, Any],
) -> None:
    """Write evaluations and protocol as JSON, all or nothing.

    Args:
        path (str | Path): File to write; its folder must exist.
        evaluations (dict): Name of the condition -> its evaluation, the reference
            first, all with the same settings.
        protocol (dict): What the numbers depend on besides the settings.

    Raises:
        ValueError: If there is no condition, ``protocol`` has ``settings``, or
            a number is infinite.
        TypeError: If a value has no place in JSON.
    """
    if not evaluations:
        raise ValueError('there is no condition to report')
    if 'settings' in protocol:
        raise ValueError("protocol must not have 'settings'; save_report writes them")
    first = next(iter(evaluations.values()))
    content = {
        'schema_version': SCHEMA_VERSION,
        'package': __version__,
        'protocol': {'settings': asdict(first.settings), **protocol},
        'conditions': {
            name: {
                'data': dict(evaluation.data),
                'numbers': dict(evaluation.numbers),
                'intervals': {k: asdict(v) for k, v in evaluation.intervals.items()},
            }
            for name, evaluation in evaluations.items()
        },
        'comparisons': _comparisons(evaluations),
    }
    write_json(path, content)


def load_report(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what :func:`save_report` wrote.

    Returns:
        dict: Its content; numbers that are ``null`` are NaN again, and intervals are
        :class:`~mmdet_facepatch.evaluation.functional.bootstrap.Interval`.

    Raises:
        ValueError: If it is not such a file, or of another schema version.
    """
    content = read_json(path)
    version = content.get('schema_version') if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise ValueError(
            f'{path}: schema_version is {version!r}, this version of the package '
            f'reads {SCHEMA_VERSION}'
        )
    for condition in content['conditions'].values():
        condition['numbers'] = _with_nan(condition['numbers'])
        condition['intervals'] = {
            key: Interval(**_with_nan(ends))
            for key, ends in condition['intervals'].items()
        }
    for comparison in content['comparisons'].values():
        comparison['differences'] = {
            key: _with_nan(value) for key, value in comparison['differences'].items()
        }
    return content


def save_curves(
    path: str | os.PathLike[str], evaluations: Mapping[str, FaceEvaluation]
) -> None:
    """Write the curves of all conditions as one NPZ, all or nothing.

    Curve ``all/F0.5`` of condition ``clean`` becomes ``clean/all/F0.5``.
    """
    arrays: dict[str, Any] = {
        f'{name}/{key}': np.asarray(values)
        for name, evaluation in evaluations.items()
        for key, values in evaluation.curves.items()
    }
    write_atomically(path, lambda file: np.savez_compressed(file, **arrays))


def _comparisons(evaluations: Mapping[str, FaceEvaluation]) -> dict[str, Any]:
    (reference, first), *others = evaluations.items()
    return {
        name: {
            'reference': reference,
            'differences': {
                key: {'value': difference.value, **asdict(difference.interval)}
                for key, difference in compare_evaluations(first, other).items()
            },
        }
        for name, other in others
        if first.replicates
    }


def _with_nan(numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {key: math.nan if v is None else v for key, v in numbers.items()}
