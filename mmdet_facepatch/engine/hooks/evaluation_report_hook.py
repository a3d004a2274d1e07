"""Tables, files and plots of an evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from ...attack import find_attacker
from ...evaluation import (
    Detections,
    FaceEvaluation,
    ImageRecord,
    WiderFaceMetric,
    save_predictions,
    write_text_predictions,
)
from ...ops import provide_operators
from ..evaluation_report import write_evaluation
from ..manifest import device_name
from .patch_hook import step_counts

# Name of the only condition of a plain test loop.
CLEAN = 'clean'


@HOOKS.register_module()
class EvaluationReportHook(Hook):
    """Report on a test loop whose evaluator has a :class:`WiderFaceMetric`.

    Prints the table and writes into the work dir: ``report.json`` (all numbers,
    with the protocol they were measured by), ``report.md`` (tables),
    ``curves.npz``, ``plots/f_beta.png`` and ``plots/precision_recall.png``, and,
    if wanted, the detections.

    Args:
        predictions: 'npz' writes ``predictions/<condition>.npz``, 'txt' the
            folder ``predictions/<condition>`` in WIDER FACE's text format, for
            ``tools/eval_predictions.py``; None writes neither.
        protocol: What the report is to say of its protocol beyond what the
            config says; copied into ``report.json``.

    Raises:
        ValueError: If ``predictions`` is none of these.
    """

    def __init__(self, predictions: str | None = None,
                 protocol: dict[str, Any] | None = None) -> None:
        if predictions not in (None, 'npz', 'txt'):
            raise ValueError("EvaluationReportHook: predictions must be None, 'npz' "
                             f"or 'txt', got {predictions!r}")
        self.predictions = predictions
        self.protocol = dict(protocol or {})
        self.evaluations: dict[str, FaceEvaluation] = {}

    def before_test(self, runner: Runner) -> None:
        """Forget an earlier test; see to it that results can be written.

        Raises:
            FileExistsError: If text predictions would be mixed with others.
        """
        self.evaluations = {}
        if self.predictions == 'txt':
            for name in getattr(runner.test_loop, 'conditions', [CLEAN]):
                folder = self._prediction_path(runner, name)
                if folder.is_dir() and any(folder.iterdir()):
                    raise FileExistsError(
                        f'{folder} holds predictions already; remove them or choose '
                        'another --work-dir')

    def after_test_epoch(
            self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Take the evaluation of a condition from the metric."""
        metric = _face_metric(runner.test_loop.evaluator.metrics)
        if not is_main_process() or metric is None or metric.evaluation is None:
            return
        name = getattr(runner.test_loop, 'condition', CLEAN)
        self.evaluations[name] = metric.evaluation
        self._save_predictions(runner, name, metric.records)

    def after_test(self, runner: Runner) -> None:
        """Print and write everything."""
        if not is_main_process() or not self.evaluations:
            return
        table = write_evaluation(
            runner.work_dir, self.evaluations, {**protocol_of(runner), **self.protocol})
        runner.logger.info(f'\n\n{table}\n')
        runner.logger.info(f'report.json, report.md, curves.npz and plots are in '
                           f'{runner.work_dir}')

    def _prediction_path(self, runner: Runner, name: str) -> Path:
        folder = Path(runner.work_dir) / 'predictions'
        return folder / (f'{name}.npz' if self.predictions == 'npz' else name)

    def _save_predictions(
            self, runner: Runner, name: str, records: Sequence[ImageRecord]) -> None:
        if self.predictions is None:
            return
        path = self._prediction_path(runner, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        found = {
            record.img_id: Detections(record.det_boxes, record.det_scores,
                                      record.det_margins, record.patch_boxes)
            for record in records}
        write = save_predictions if self.predictions == 'npz' else (
            write_text_predictions)
        write(path, found)


def _face_metric(metrics: Iterable[Any]) -> WiderFaceMetric | None:
    found = [metric for metric in metrics if isinstance(metric, WiderFaceMetric)]
    return found[0] if found else None


def protocol_of(runner: Runner) -> dict[str, Any]:
    """What the numbers depend on, as far as config and detector say it.

    Args:
        runner: With its test loop built.

    Returns:
        Data set, evaluator, scales, the detector's test settings (score
        threshold, NMS, cap), the merge of scales, where the operators come from,
        the device and, under attack, detector,
        placement, conditions and digest; of a patch that was optimised just now the
        number of steps, and of those without adversarial samples.
    """
    cfg = runner.cfg.to_dict()
    dataset = cfg['test_dataloader']['dataset']
    model = cfg.get('model', {})
    protocol = dict(
        dataset={key: value for key, value in dataset.items() if key != 'pipeline'},
        pipeline=dataset.get('pipeline'),
        scales=_scales(dataset.get('pipeline', [])),
        evaluator=cfg['test_evaluator'],
        test_cfg=_test_cfg(runner.model),
        merge=(model.get('tta_model') or model).get('tta_cfg'),
        checkpoint=cfg.get('load_from'), operators=str(provide_operators()),
        device=device_name(runner.model))
    attacker = find_attacker(runner.model)
    if attacker is not None:
        protocol.update(
            detector=model.get('detector'), placement=model.get('placement'),
            conditions=cfg['test_cfg'].get('conditions'),
            detector_digest=attacker.detector_digest)
    counts = step_counts(runner)
    if counts:
        protocol.update(
            steps=sum(steps for _, steps in counts.values()),
            empty_steps=sum(empty for empty, _ in counts.values()))
    return protocol


def _scales(steps: Any) -> list[Any]:
    """Every scale that a pipeline resizes to, in any depth of nesting."""
    if isinstance(steps, (list, tuple)):
        return [scale for step in steps for scale in _scales(step)]
    if not isinstance(steps, dict):
        return []
    if str(steps.get('type')).endswith('Resize'):
        return [steps.get('scale_factor') or steps.get('scale')]
    return _scales(steps.get('transforms', []))


def _test_cfg(model: nn.Module) -> dict[str, Any] | None:
    """Test settings of the detector inside wrappers and attackers."""
    attacker = find_attacker(model)
    inner: Any = model if attacker is None else attacker.detector
    # Distributed wrappers and test-time augmentation hold theirs as `module`.
    while not hasattr(inner, 'test_cfg') and hasattr(inner, 'module'):
        inner = inner.module
    test_cfg = getattr(inner, 'test_cfg', None)
    return None if test_cfg is None else dict(test_cfg)
