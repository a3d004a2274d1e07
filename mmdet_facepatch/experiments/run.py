"""``tools/experiment.py``: from a config to tables and figures."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import DictAction

from ..engine.config import data_config
from ..utils.files import write_atomically
from .executor import Executor
from .figures import write_figures
from .index import build_index, experiment_name, read_index
from .planner import Plan, Planner, Run
from .records import ExperimentIndex, write_record
from .spec import ExperimentSpec, read_spec
from .store import EXPERIMENTS, RunStore
from .tables import experiment_markdown


def experiment_parser(description: str | None) -> argparse.ArgumentParser:
    """Arguments of the tool that runs experiments."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', nargs='+', help='configs of experiments')
    add(
        '--data',
        help="images in place of the config's: embedded, subset, widerface, or a "
        'config file with the dataloaders',
    )
    add('--entries', nargs='+', help='run these entries only; default all')
    add(
        '--seeds',
        nargs='*',
        type=int,
        help="of the attacks, in place of the config's: each entry with an attack "
        'becomes one for each seed. The table keeps those that it has',
    )
    add(
        '--tables-only',
        action='store_true',
        help='run nothing; write tables and figures of what is finished',
    )
    add(
        '--rerun',
        action='store_true',
        help='take nothing from .results and the published patches: only what the '
        'work dir has counts as finished',
    )
    add(
        '--executor',
        choices=['serial', 'local', 'slurm'],
        default='serial',
        help='one run after the other, or side by side through submitit',
    )
    add('--workers', type=int, default=0, help='runs at the same time; default all')
    add(
        '--executor-options',
        nargs='+',
        action=DictAction,
        default={},
        help="parameters of submitit's executor: slurm_partition=gpu ...",
    )
    add(
        '--commands',
        action='store_true',
        help='run nothing; print a command for each run that can start now, for a '
        'scheduler. Call it again when they are done',
    )
    add('--run', metavar='DIGEST', help='do this run only (--commands)')
    add(
        '--processes',
        type=int,
        default=1,
        help='processes of each run, through torchrun',
    )
    add('--work-dir', default='work_dirs', help='gets runs/ and experiments/')
    add(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='override config keys of every run: key=value ...',
    )
    return parser


def run_experiment(args: argparse.Namespace, root: Path) -> None:
    """Run what is not finished, then write and print the tables.

    Args:
        args (argparse.Namespace): Of :func:`experiment_parser`.
        root (Path): Folder that holds ``configs``, ``tools`` and ``.results``.

    Raises:
        SystemExit: If a run failed, after all others.
    """
    problems = [
        problem for config in args.config for problem in _run_one(config, args, root)
    ]
    if problems:
        sys.exit('; '.join(problems))


def _run_one(config: str, args: argparse.Namespace, root: Path) -> list[str]:
    """One experiment; returns what went wrong."""
    folders = [Path(args.work_dir) / EXPERIMENTS, root / '.results' / EXPERIMENTS]
    store = RunStore.default(args.work_dir, root / '.results', args.rerun)
    spec = read_spec(config, args.data, args.seeds, args.cfg_options)
    name = experiment_name(config, spec.data, spec.options)
    if args.tables_only:
        _, index = read_index(name, *folders)
        if index is None:
            return [f'{config}: there is no result of {name}; run it first']
        _write(name, index, store, *folders)
        return []
    plan = _plan(spec, root)
    chosen = {e.name for e in (spec.select(args.entries or ()) or spec.entries)}
    runs = list(plan.of(chosen).values())
    if args.commands:
        own = [argument for argument in sys.argv if argument != '--commands']
        for run in _ready(runs, store):
            print(shlex.join([sys.executable, *own, '--run', run.digest]))
        return []
    executor = Executor(
        root, args.executor, args.workers, args.processes, args.executor_options
    )
    if args.run:
        found = [run for run in runs if run.digest == args.run and run.is_ready(store)]
        if not found:
            return [f'--run {args.run}: there is no such run, or it waits for another']
        failed = executor.run(found, store)
        return [f'{failed} runs failed'] if failed else []
    failed, tried = 0, set[str]()
    # Attacks and clean images first, then what was waiting for them.
    while ready := [run for run in _ready(runs, store) if run.digest not in tried]:
        tried |= {run.digest for run in ready}
        failed += executor.run(ready, store)
    # The table keeps seeds of earlier calls.
    spec, plan = _with_earlier_seeds(spec, plan, name, folders[0], root)
    _write(name, build_index(spec, plan, root), store, *folders)
    return _report_failures(failed, plan, chosen, store)


def _plan(spec: ExperimentSpec, root: Path) -> Plan:
    return Planner(spec, data_config(spec.data, root / 'configs')).plan()


def _ready(runs: Sequence[Run], store: RunStore) -> list[Run]:
    """Runs that are not finished, and wait for no other."""
    return [
        run for run in runs if not store.finished(run.digest) and run.is_ready(store)
    ]


def _with_earlier_seeds(
    spec: ExperimentSpec, plan: Plan, name: str, indexes: Path, root: Path
) -> tuple[ExperimentSpec, Plan]:
    """Spec and plan with the seeds that the table had besides."""
    _, earlier = read_index(name, indexes)
    seeds = sorted({*spec.seeds, *(earlier.seeds if earlier else ())})
    if seeds == sorted(spec.seeds):
        return spec, plan
    whole = read_spec(spec.path, spec.data, seeds, spec.options)
    return whole, _plan(whole, root)


def _write(
    name: str, index: ExperimentIndex, store: RunStore, work_dir: Path, kept: Path
) -> None:
    """Write index, tables and figures, and print the tables.

    Figures that cannot be drawn are copied from the experiments that are kept.
    """
    folder = work_dir / name
    folder.mkdir(parents=True, exist_ok=True)
    write_record(work_dir / f'{name}.json', index)
    table = experiment_markdown(index, store)
    write_atomically(folder / 'table.md', f'{table}\n'.encode())
    for picture, lacks in write_figures(index, store, folder).items():
        published = sorted((kept / name).glob(picture))
        for path in published:
            shutil.copyfile(path, folder / path.name)
        done = 'the published one' if published else 'not drawn'
        print(f'{picture}: {done}, since the store lacks {lacks}')
    print(table)
    print(f'\ntable.md and the figures are in {folder}')


def _report_failures(
    failed: int, plan: Plan, chosen: set[str], store: RunStore
) -> list[str]:
    for entry, reason in plan.missing.items():
        if entry in chosen:
            print(f'FAILED {entry}: {reason}')
            failed += 1
    if not failed:
        return []
    waiting = [
        entry
        for entry, run in plan.evaluations.items()
        if entry in chosen and not store.finished(run.digest)
    ]
    for entry in waiting:
        print(f'NOT DONE {entry}')
    return [
        f'{failed} runs failed, {len(waiting)} entries are not done for it; the '
        'others are'
    ]
