"""Table, JSON and pictures of what a patch does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.registry import HOOKS
from mmengine.dist import all_gather_object, is_main_process
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from numpy.typing import NDArray

from ...datasets import find_image_loaders
from ...evaluation import match_detections
from ...visualization import (
    describe_outcomes,
    draw_outcomes,
    save_png,
    side_by_side,
)
from .evaluation_report_hook import EvaluationReportHook

# Smaller images are enlarged until their longer side has this many pixels.
PANEL_SIZE = 640


@dataclass
class Panel:
    """One image under one condition.

    Attributes:
        image: What the detector saw, (H, W, 3) uint8 BGR, original size.
        boxes: Detections by descending score, (D, 4) xyxy, pixels.
        scores: Their scores, (D,).
        faces: Annotated faces, (G, 4) xyxy, pixels.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    faces: NDArray[np.float32]

    def draw(self, delta: float, iou_thr: float) -> tuple[NDArray[np.uint8], str]:
        """The image with its outcomes at a threshold, and their counts.

        Args:
            delta: Least score of a detection that counts.
            iou_thr: Least IoU of a detection with the face that it finds.
        """
        boxes = self.boxes[self.scores >= delta]
        matches = match_detections(
            boxes, self.faces, np.ones(len(self.faces), bool), iou_thr)
        picture = draw_outcomes(
            self.image, boxes, matches.status, self.faces, matches.gt_found,
            scale=max(1.0, PANEL_SIZE / max(self.image.shape[:2])))
        return picture, describe_outcomes(matches.status, matches.gt_found)


@HOOKS.register_module()
class PatchReportHook(EvaluationReportHook):
    """Report on a :class:`PatchTestLoop`.

    What :class:`EvaluationReportHook` writes, for all conditions beside each
    other, and ``pictures/*.png``, each one image under every condition, with
    true positives, false positives and missed faces as in the paper's Fig. 1,
    at the calibrated delta.

    Args:
        pictures: How many images are drawn, spread evenly over the set.
        fallback_delta: Threshold of the pictures where the clean detector
            never reaches the calibrated delta's precision.
        **kwargs: As in :class:`EvaluationReportHook`.

    Raises:
        ValueError: If ``pictures`` is negative.
    """

    def __init__(self, pictures: int = 3, fallback_delta: float = 0.5,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if pictures < 0:
            raise ValueError(f'PatchReportHook: pictures is {pictures}, but must be '
                             'at least 0')
        self.pictures = pictures
        self.fallback_delta = fallback_delta
        self.panels: dict[str, dict[str, Panel]] = {}

    def before_test(self, runner: Runner) -> None:
        """Forget an earlier test."""
        super().before_test(runner)
        self.panels = {}

    def after_test_iter(self, runner: Runner, batch_idx: int,
                        data_batch: Any = None, outputs: Any = None) -> None:
        """Keep image and detections of the images that are drawn."""
        wanted = self._drawn_ids(runner)
        for sample in outputs:
            if sample.img_id in wanted:
                panels = self.panels.setdefault(sample.img_id, {})
                panels[runner.test_loop.condition] = _panel(runner, sample)

    def after_test(self, runner: Runner) -> None:
        """Print and write everything."""
        super().after_test(runner)
        # Each process has seen its share of the images.
        for panels in all_gather_object(self.panels):
            self.panels.update(panels)
        if is_main_process() and self.evaluations:
            self._save_pictures(Path(runner.work_dir) / 'pictures')

    def _drawn_ids(self, runner: Runner) -> set[str]:
        """Ids of the images in the middle of equal parts of the set."""
        dataset = runner.test_dataloader.dataset
        count = min(self.pictures, len(dataset))
        step = len(dataset) / max(count, 1)
        return {dataset.get_data_info(int((i + 0.5) * step))['img_id']
                for i in range(count)}

    def _save_pictures(self, folder: Path) -> None:
        first = next(iter(self.evaluations.values()))
        clean, iou_thr = first.calibrated_delta, first.settings.iou_thr
        delta = clean if np.isfinite(clean) else self.fallback_delta
        folder.mkdir(parents=True, exist_ok=True)
        for img_id, panels in sorted(self.panels.items()):
            drawn = {name: panel.draw(delta, iou_thr) for name, panel in panels.items()}
            page = side_by_side(
                [image for image, _ in drawn.values()],
                [f'{name}: {counts}' for name, (_, counts) in drawn.items()])
            save_png(folder / f'{img_id.replace("/", "_")}.png', page)


def _panel(runner: Runner, sample: BaseDataElement) -> Panel:
    """Paste once more on the original image, as the pipeline did."""
    load, *_ = find_image_loaders(runner.test_dataloader.dataset)
    pasted = runner.test_loop.paste.transform(load(dict(
        img_path=sample.img_path, instances=sample.instances)))
    pred = sample.pred_instances
    order = pred.scores.argsort(descending=True)
    faces = [face['bbox'] for face in sample.instances]
    return Panel(
        pasted['img'], pred.bboxes[order].cpu().numpy(),
        pred.scores[order].cpu().numpy(),
        np.array(faces, dtype=np.float32).reshape(-1, 4))
