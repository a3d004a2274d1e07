"""Finished evaluations, judged anew from their saved detections."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.registry import METRICS
from mmengine.registry import DefaultScope

from ..datasets.describe import build_dataset
from ..evaluation import (
    Detections,
    FaceEvaluation,
    PooledMatches,
    Reference,
    load_predictions,
    load_report,
    pool_matches,
)
from .finish import run_config

_NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


class SavedEvaluations:
    """Evaluations by the work dir of their run, with all their replicates.

    A report has intervals of each number, but two numbers can only be compared on
    the same resampled images. So the saved detections go through the metric once
    more, with faces and settings of the run's own config; nothing is detected again.
    """

    def __init__(self) -> None:
        self._found: dict[str, FaceEvaluation] = {}
        self._infos: dict[str, list[dict]] = {}
        self._metrics: dict[str, Any] = {}

    def __call__(self, folder: str | Path) -> FaceEvaluation:
        """The evaluation of one condition.

        Args:
            folder (str | Path): Work dir of a finished evaluation, see
                :meth:`RunStore.folder`.

        Raises:
            FileNotFoundError: If it has no saved detections.
            ValueError: If they do not give the numbers of the report.
        """
        key = str(folder)
        if key not in self._found:
            self._found[key] = self._judge(Path(folder)).evaluation
        return self._found[key]

    def matches(self, folder: str | Path) -> PooledMatches:
        """The detections behind the evaluation of one condition, with their faces.

        Args:
            folder (str | Path): As in the call, which raises the same errors.
        """
        metric = self._judge(Path(folder))
        used = metric.settings
        return pool_matches(
            metric.records,
            used.face_iou_thr,
            used.patch_iou_thr,
            used.count_empty_images,
            used.patch_share,
        )

    def _judge(self, folder: Path) -> Any:
        """The metric after an evaluation of the saved detections."""
        cfg = run_config(folder)
        condition = next(iter(cfg.test_cfg.conditions))
        path = folder / 'predictions' / f'{condition}.npz'
        if not path.is_file():
            raise FileNotFoundError(
                f'{path} does not exist; run the experiment again, which saves the '
                'detections of every entry'
            )
        metric = self._metric(cfg.test_evaluator.to_dict())
        infos = self._faces(cfg.test_dataloader.dataset.to_dict())
        saved = load_predictions(path)
        for info in infos:
            img_id = str(info['img_id'])
            found = saved.get(img_id, _NOTHING)
            sample = dict(
                img_id=img_id,
                instances=info['instances'],
                patch_boxes=found.patch_boxes,
                pred_instances=dict(
                    bboxes=found.boxes, scores=found.scores, margins=found.margins
                ),
            )
            metric.process(None, [sample])
        metric.evaluate(len(infos))
        _check_numbers(folder, condition, metric.evaluation)
        return metric

    def _metric(self, evaluator: dict) -> Any:
        # Official files take seconds to read; the reference differs between detectors.
        reference = evaluator.pop('reference', None)
        key = json.dumps(evaluator, sort_keys=True)
        if key not in self._metrics:
            with DefaultScope.overwrite_default_scope('mmdet'):
                self._metrics[key] = METRICS.build(copy.deepcopy(evaluator))
        metric = self._metrics[key]
        metric.reference = Reference.from_config(reference)
        return metric

    def _faces(self, dataset: dict) -> list[dict]:
        key = json.dumps({**dataset, 'pipeline': None}, sort_keys=True)
        if key not in self._infos:
            built = build_dataset(dataset)
            self._infos[key] = [built.get_data_info(i) for i in range(len(built))]
        return self._infos[key]


def _check_numbers(folder: Path, condition: str, evaluation: FaceEvaluation) -> None:
    """Raise unless detections and report are of the same run."""
    report = load_report(folder / 'report.json')['conditions'][condition]['numbers']
    for key, value in report.items():
        if not np.isclose(evaluation.numbers[key], value, rtol=1e-9, equal_nan=True):
            raise ValueError(
                f'{folder}: the saved detections give {key} = '
                f'{evaluation.numbers[key]}, report.json has {value}; they are not of '
                f'the same run or software; remove {folder} and run the experiment '
                'again'
            )
