"""Table and JSON of what any metric says of several conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mmdet.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...utils.files import write_atomically
from ...utils.json_files import write_json
from ...utils.tables import markdown_table, text_table
from ..loops.conditions import current_condition
from ..report import protocol_of

Layout = Callable[..., str]


def metric_tables(
    results: Mapping[str, Mapping[str, float]], layout: Layout = markdown_table
) -> str:
    """Conditions by metrics, one table for each group of metrics.

    Metrics whose names differ in the last part only (``likeness/grey/32``,
    ``likeness/grey/64``) are a group: it is the title, the last part the column.

    Args:
        results (Mapping[str, Mapping[str, float]]): Condition -> metric -> value.
        layout (Layout): :func:`markdown_table` or :func:`text_table`. Defaults to
            :func:`markdown_table`.

    Returns:
        str: The tables, without a newline at the end.
    """
    groups: dict[str, dict[str, None]] = {}
    for metrics in results.values():
        for key in metrics:
            group, _, name = key.rpartition('/')
            groups.setdefault(group, {})[name] = None
    tables = []
    for group, names in groups.items():
        keys = [f'{group}/{name}' if group else name for name in names]
        rows = [
            [name, *(f'{metrics[key]:.3f}' if key in metrics else '-' for key in keys)]
            for name, metrics in results.items()
        ]
        tables.append(layout(['', *names], rows, group))
    return '\n\n'.join(tables)


@HOOKS.register_module()
class MetricTableHook(Hook):
    """Report on a test loop with metrics of any kind.

    Prints conditions by metrics and writes ``metrics.md`` and ``metrics.json``
    (``protocol``, and ``conditions``: condition -> metric -> value) into the work
    dir. For a :class:`WiderFaceMetric` there is :class:`ReportHook`.
    """

    def __init__(self) -> None:
        self.results: dict[str, dict[str, float]] = {}

    def before_test(self, runner: Runner) -> None:
        """Forget an earlier test."""
        self.results = {}

    def after_test_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Take the metrics of a condition."""
        name = current_condition(runner.test_loop).name
        self.results[name] = {
            key.removeprefix(f'{name}/'): value
            for key, value in (metrics or {}).items()
        }

    def after_test(self, runner: Runner) -> None:
        """Print and write everything."""
        if not is_main_process():
            return
        folder = Path(runner.work_dir)
        write_json(
            folder / 'metrics.json',
            dict(protocol=protocol_of(runner), conditions=self.results),
        )
        write_atomically(
            folder / 'metrics.md', f'{metric_tables(self.results)}\n'.encode()
        )
        runner.logger.info(f'\n\n{metric_tables(self.results, text_table)}\n')
        runner.logger.info(f'metrics.json and metrics.md are in {folder}')
