"""Report on an evaluation: table, files, plots and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch
from mmdet.registry import HOOKS
from mmdet.structures import DetDataSample
from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from numpy.typing import NDArray

from ...evaluation import (
    Detections,
    FaceEvaluation,
    ImageRecord,
    WiderFaceMetric,
    save_predictions,
    write_text_predictions,
)
from ...evaluation.metrics.target_metric import TargetMetric
from ...utils.target_classes import TargetLabels
from ...visualization import FaceVisualizer, evaluated_image, save_png, side_by_side
from ..loops.conditions import conditions_of, current_condition
from ..report import protocol_of, write_report
from .patch_hook import step_counts

# Smaller images are enlarged until their longer side has this many pixels.
PANEL_SIZE = 640


@dataclass(frozen=True)
class Panel:
    """One image under one condition, as it was evaluated.

    Attributes:
        image (array): (H, W, 3) uint8 RGB, original size.
        boxes (array): Detections by descending score, (D, 4) xyxy, pixels.
        scores (array): Their scores, (D,).
        faces (array): Annotated faces, (G, 4) xyxy, pixels.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    faces: NDArray[np.float32]

    @classmethod
    def of(
        cls, image: NDArray[np.uint8], sample: DetDataSample, target: TargetLabels
    ) -> Panel:
        """The panel of an image and its data sample after detection."""
        found = sample.pred_instances
        wanted = torch.isin(found.labels, found.labels.new_tensor(target.detector))
        found = found[wanted]
        order = found.scores.argsort(descending=True)
        faces = [
            face['bbox']
            for face in sample.instances
            if face.get('bbox_label', target.data[0]) in target.data
        ]
        return cls(
            image,
            found.bboxes[order].cpu().numpy(),
            found.scores[order].cpu().numpy(),
            np.array(faces, dtype=np.float32).reshape(-1, 4),
        )


@HOOKS.register_module()
class ReportHook(Hook):
    """Report on a test loop whose evaluator has a :class:`WiderFaceMetric`.

    Prints the table and writes into the work dir: ``report.json`` (all numbers,
    with the protocol they were measured by), ``report.md`` (tables),
    ``curves.npz``, ``plots/f_beta.png`` and ``plots/precision_recall.png``; if
    wanted, the detections, and ``pictures/*.png``: each one image under every
    condition, with true positives, false positives and missed faces as in the
    paper's Fig. 1, at the calibrated delta. Of a :class:`PatchTestLoop` all
    conditions stand beside each other.

    Args:
        pictures (int): How many images are drawn, spread evenly over the set. Defaults
            to 0.
        fallback_delta (float): Threshold of the pictures where the clean detector never
            reaches the calibrated delta's precision. Defaults to 0.5.
        predictions (str, optional): 'npz' writes ``predictions/<condition>.npz``, 'txt'
            the folder ``predictions/<condition>`` in WIDER FACE's text format, for
            ``tools/eval_predictions.py``; None writes neither. Defaults to None.
        protocol (dict[str, Any], optional): What the report is to say of its protocol
            beyond what the config says; copied into ``report.json``. Defaults to None.

    Raises:
        ValueError: If ``pictures`` is negative or ``predictions`` is none of these.
    """

    def __init__(
        self,
        pictures: int = 0,
        fallback_delta: float = 0.5,
        predictions: str | None = None,
        protocol: dict[str, Any] | None = None,
    ) -> None:
        if pictures < 0:
            raise ValueError(
                f'ReportHook: pictures is {pictures}, but must be at least 0'
            )
        if predictions not in (None, 'npz', 'txt'):
            raise ValueError(
                "ReportHook: predictions must be None, 'npz' or 'txt', got "
                f'{predictions!r}'
            )
        self.pictures = pictures
        self.fallback_delta = fallback_delta
        self.predictions = predictions
        self.protocol = dict(protocol or {})
        self.evaluations: dict[str, FaceEvaluation] = {}
        # By id of the image and name of the condition.
        self.panels: dict[str, dict[str, Panel]] = {}
        self._drawn: set[str] = set()

    def before_test(self, runner: Runner) -> None:
        """Forget an earlier test; choose the images to draw.

        Raises:
            FileExistsError: If text predictions would be mixed with others.
        """
        self.evaluations, self.panels = {}, {}
        for condition in conditions_of(runner.test_loop):
            folder = self._prediction_path(runner, condition.name)
            if self.predictions == 'txt' and folder.is_dir() and any(folder.iterdir()):
                raise FileExistsError(
                    f'{folder} holds predictions already; remove them or choose '
                    'another --work-dir'
                )
        dataset = runner.test_dataloader.dataset
        count = min(self.pictures, len(dataset))
        # In the middle of equal parts of the set.
        self._drawn = {
            str(dataset.get_data_info(int((i + 0.5) * len(dataset) / count))['img_id'])
            for i in range(count)
        }

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Keep image and detections of the images that are drawn."""
        condition = current_condition(runner.test_loop).name
        for index, sample in enumerate(outputs if self._drawn else ()):
            img_id = str(sample.img_id)
            if img_id in self._drawn:
                image = evaluated_image(data_batch, index)
                panel = Panel.of(image, sample, self._target(runner))
                self.panels.setdefault(img_id, {})[condition] = panel

    def _target(self, runner: Runner) -> TargetLabels:
        metrics = runner.test_loop.evaluator.metrics
        return next(m for m in metrics if isinstance(m, TargetMetric)).target_labels

    def after_test_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Take the evaluation of a condition from the metric."""
        for metric in runner.test_loop.evaluator.metrics:
            if isinstance(metric, WiderFaceMetric) and metric.evaluation is not None:
                name = current_condition(runner.test_loop).name
                self.evaluations[name] = metric.evaluation
                self._save_predictions(runner, name, metric.records)
                return

    def after_test(self, runner: Runner) -> None:
        """Print and write everything."""
        # Each process has seen its share of the images.
        for panels in all_gather_object(self.panels):
            self.panels.update(panels)
        if not is_main_process() or not self.evaluations:
            return
        protocol = protocol_of(runner)
        counts = step_counts(runner)
        if counts:
            protocol.update(
                steps=sum(steps for _, steps in counts.values()),
                empty_steps=sum(empty for empty, _ in counts.values()),
            )
        table = write_report(
            runner.work_dir, self.evaluations, {**protocol, **self.protocol}
        )
        self._save_pictures(Path(runner.work_dir) / 'pictures')
        runner.logger.info(f'\n\n{table}\n')
        runner.logger.info(
            f'report.json, report.md, curves.npz and plots are in {runner.work_dir}'
        )

    def _prediction_path(self, runner: Runner, name: str) -> Path:
        folder = Path(runner.work_dir) / 'predictions'
        return folder / (f'{name}.npz' if self.predictions == 'npz' else name)

    def _save_predictions(
        self, runner: Runner, name: str, records: Sequence[ImageRecord]
    ) -> None:
        if self.predictions is None:
            return
        path = self._prediction_path(runner, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        found = {
            record.img_id: Detections(
                record.det_boxes,
                record.det_scores,
                record.det_margins,
                record.patch_boxes,
            )
            for record in records
        }
        write = (
            save_predictions if self.predictions == 'npz' else write_text_predictions
        )
        write(path, found)

    def _save_pictures(self, folder: Path) -> None:
        """One page an image, with a panel for each condition."""
        first = next(iter(self.evaluations.values()))
        delta = first.reference.calibrated_delta
        if not np.isfinite(delta):
            delta = self.fallback_delta
        drawer = FaceVisualizer(face_iou_thr=first.settings.face_iou_thr)
        for img_id, panels in sorted(self.panels.items()):
            folder.mkdir(parents=True, exist_ok=True)
            drawn = {}
            for name, panel in panels.items():
                scale = max(1.0, PANEL_SIZE / max(panel.image.shape[:2]))
                drawn[name] = drawer.draw_outcomes(
                    mmcv.imrescale(panel.image, scale, interpolation='bicubic'),
                    panel.boxes[panel.scores >= delta] * scale,
                    panel.faces * scale,
                )
            page = side_by_side(
                [image for image, _ in drawn.values()],
                [f'{name}: {counts}' for name, (_, counts) in drawn.items()],
            )
            save_png(folder / f'{img_id.replace("/", "_")}.png', page)
