"""Evaluate patches from Python."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.runner import Runner
from torch import Tensor

from ..attack import save_patch
from ..engine import ReportHook, claim_work_dir, preflight
from ..engine.report import protocol_of, report_caption
from ..evaluation import FaceEvaluation, format_report
from ..utils.randomness import seeded
from ..utils.target_classes import Target
from .attack import AttackResult
from .images import Boxes, Images, class_name, image_config
from .runs import Detector, build_attacker, run_config, start_runner

#: Condition without a patch, to which all others are compared.
CLEAN = 'clean'


class _Collector(ReportHook):
    """Keeps the evaluations and writes nothing."""

    def after_test(self, runner: Runner) -> None:
        """Write nothing."""


@dataclass(frozen=True)
class Evaluations(Mapping[str, FaceEvaluation]):
    """Evaluations by condition; printed, the table of ``tools/attack.py``.

    Attributes:
        by_condition (dict[str, FaceEvaluation]): The clean images first.
        protocol (dict[str, Any]): What the numbers depend on, as in ``report.json``.
    """

    by_condition: dict[str, FaceEvaluation]
    protocol: dict[str, Any]

    def __getitem__(self, condition: str) -> FaceEvaluation:
        return self.by_condition[condition]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_condition)

    def __len__(self) -> int:
        return len(self.by_condition)

    def __str__(self) -> str:
        return format_report(
            {name: found.numbers for name, found in self.items()},
            {name: found.intervals for name, found in self.items()},
            caption=report_caption(self.by_condition, self.protocol),
        )


def evaluate(
    detector: Detector,
    images: Images,
    boxes: Boxes = None,
    patches: Mapping[str, Any] | None = None,
    *,
    placement: Mapping[str, Any] | None = None,
    scales: Sequence[float] | None = None,
    target: Target = None,
    channel_order: str = 'bgr',
    work_dir: str | os.PathLike | None = None,
    overwrite: bool = False,
    device: str | None = None,
    options: Mapping[str, Any] | None = None,
    log_level: str = 'INFO',
) -> Evaluations:
    """Evaluate a detector on clean images and under patches.

    Does what ``tools/attack.py --report-only`` does. The calibrated delta is that of
    the clean images.

    Args:
        detector (Detector): As in :func:`attack`, or the path of the config of a black
            box.
        images (Images): As in :func:`attack`; the test set of a config.
        boxes (Boxes): As in :func:`attack`. Defaults to None.
        patches (Mapping[str, Any], optional): Patch by name of the condition: (3, H, W)
            RGB in [0, 1], an :class:`AttackResult`, the path of a file, or the config
            of a start as ``dict(type='constant', value=0.5)``. Defaults to None, the
            clean images alone.
        placement (Mapping[str, Any], optional): As in :func:`attack`. Defaults to None.
        scales (Sequence[float], optional): Scales of an image pyramid whose detections
            are merged. Defaults to None, the detector's own test pipeline, with its
            score threshold and NMS.
        target (Target): As in :func:`attack`. Defaults to None.
        channel_order (str): As in :func:`attack`. Defaults to 'bgr'.
        work_dir (str | os.PathLike, optional): Gets the report, plots and pictures;
            None keeps no files. Defaults to None.
        overwrite (bool): As in :func:`attack`. Defaults to False.
        device (str, optional): As in :func:`attack`. Defaults to None.
        options (Mapping[str, Any], optional): As in :func:`attack`. Defaults to None.
        log_level (str): As in :func:`attack`. Defaults to 'INFO'.

    Returns:
        Evaluations: A mapping from the condition ('clean' first) to its
        :class:`FaceEvaluation`; ``print`` shows it as a table.

    Raises:
        FileNotFoundError: If a file or folder is not there.
        ValueError: If an argument is unfit, or the class of the faces is not clear.
        WorkDirError: If the work dir holds a report of another run.

    Example:
        >>> images = [np.full((96, 96, 3), 90, np.uint8)]
        >>> found = evaluate(
        ...     'facepatch://sln_mbv2_widerface_subset', images,
        ...     [[[20, 20, 60, 60]]], dict(grey=torch.full((3, 8, 8), 0.5)),
        ...     scales=[1], log_level='ERROR')
        >>> list(found)
        ['clean', 'grey']
        >>> found['grey'].numbers['all/num_faces']
        1.0
    """
    with ExitStack() as stack:
        stack.enter_context(seeded(0))
        keeps_nothing = work_dir is None
        if work_dir is None:
            work_dir = stack.enter_context(tempfile.TemporaryDirectory())
        folder = Path(work_dir)
        data = image_config(
            images,
            boxes,
            folder / 'data',
            'test',
            name=class_name(target),
            channel_order=channel_order,
        )
        cfg = run_config(
            'patch_score',
            data,
            str(folder),
            model=dict(placement=placement or {}, target=target),
            scales=scales,
            options=options,
            log_level=log_level,
        )
        cfg.test_cfg.conditions = {
            CLEAN: None,
            **{
                name: _source(name, patch, folder)
                for name, patch in (patches or {}).items()
            },
        }
        if keeps_nothing:
            cfg.custom_hooks = []
        model = build_attacker(cfg, detector)
        with claim_work_dir(cfg, ['report'], overwrite):
            runner = start_runner(cfg, model, device)
            if keeps_nothing:
                runner.register_hook(_Collector())
            preflight(runner, test=True)
            runner.test()
        report = next(h for h in runner.hooks if isinstance(h, ReportHook))
        return Evaluations(dict(report.evaluations), protocol_of(runner))


def _source(name: str, patch: Any, folder: Path) -> Any:
    """What a condition takes for a patch; pixels are saved in a file."""
    if isinstance(patch, AttackResult):
        patch = patch.patch
    if isinstance(patch, np.ndarray):
        patch = torch.from_numpy(patch)
    if isinstance(patch, Tensor):
        path = folder / 'conditions' / f'{name}.npy'
        save_patch(path, patch)
        return str(path)
    return dict(patch) if isinstance(patch, Mapping) else os.fspath(patch)
