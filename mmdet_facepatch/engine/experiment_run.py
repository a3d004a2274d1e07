"""Running of experiments, for the command-line tools."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmengine.config import DictAction

from ..zoo import PATCHES
from .config import data_config
from .experiment import Experiment, Job
from .experiment_report import seeds_to_show, table_folder, write_experiment
from .published_attacks import take_published


def experiment_parser(description: str | None, root: Path) -> argparse.ArgumentParser:
    """Arguments of the tools that run experiments.

    Args:
        description: Of the tool.
        root: Folder that holds ``.results``.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the experiment')
    parser.add_argument(
        '--data', default='subset',
        help='embedded, subset, widerface, or a config file with the dataloaders')
    parser.add_argument('--cells', nargs='+', help='names of the cells; default all')
    parser.add_argument(
        '--seeds', nargs='*', type=int,
        help="of the attacks, in place of the config's: each cell with an attack "
        'becomes one for each seed. The table keeps those that it has')
    parser.add_argument('--jobs', type=int, default=1, help='runs at the same time')
    parser.add_argument(
        '--published', nargs='?', const=str(PATCHES), metavar='FOLDER',
        help='take patches that were published in FOLDER (default: those in the '
        'package) in place of running their attacks, where all that an attack depends '
        'on is the same')
    parser.add_argument(
        '--kept', nargs='?', const=str(root / '.results'), metavar='FOLDER',
        help='take rows of the table that is kept in FOLDER (default: .results of the '
        'repository) in place of running their evaluations, where all that an '
        'evaluation depends on is the same')
    parser.add_argument(
        '--commands', action='store_true',
        help='run nothing; print a command for each run that can start now, for a '
        'scheduler. Call it again when they are done')
    parser.add_argument('--job', metavar='NAME', help='do this run only (--commands)')
    parser.add_argument(
        '--processes', type=int, default=1,
        help='processes of each run, through torchrun')
    parser.add_argument('--work-dir', default='work_dirs/experiments')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={},
        help='override config keys of every run: key=value ...')
    return parser


def _command(job: Job, root: Path, processes: int) -> list[str]:
    """What runs a job, on several processes through torchrun."""
    attack = [str(root / 'tools' / 'attack.py'), *job.arguments]
    if processes == 1:
        return [sys.executable, *attack]
    return [sys.executable, '-m', 'torch.distributed.run', '--standalone',
            f'--nproc_per_node={processes}', *attack, '--launcher', 'pytorch']


def _run(job: Job, root: Path, processes: int) -> bool:
    """Run a job; its output goes to job.log in its folder."""
    # Another experiment may have done it meanwhile.
    if job.done:
        return True
    print(f'{job.kind} {job.name}: {job.folder}', flush=True)
    job.prepare()
    start = time.monotonic()
    with open(job.folder / 'job.log', 'ab') as log:
        done = subprocess.run(
            _command(job, root, processes), stdout=log, stderr=log, check=False)
    if done.returncode == 0:
        job.finish(round(time.monotonic() - start, 1))
        return True
    lines = (job.folder / 'job.log').read_text(errors='replace').split('\n')
    reason = next((line for line in reversed(lines) if line.strip()), 'no output')
    print(f'FAILED {job.kind} {job.name}: {reason}\n  see {job.folder / "job.log"}',
          flush=True)
    return False


def _run_all(jobs: Sequence[Job], root: Path, workers: int, processes: int) -> int:
    """Run what is not done, some at a time; returns how many failed."""
    waiting = [job for job in jobs if not job.done]
    with ThreadPoolExecutor(workers) as pool:
        done = pool.map(lambda job: _run(job, root, processes), waiting)
        return list(done).count(False)


def _print_commands(jobs: Sequence[Job]) -> None:
    """One line for each job that is not done: this command, for it alone."""
    own = [arg for arg in sys.argv if arg != '--commands']
    for job in jobs:
        if not job.done:
            print(shlex.join([sys.executable, *own, '--job', job.folder.name]))


def run_experiment(args: argparse.Namespace, root: Path) -> None:
    """Run what is not done, then write and print the tables.

    Args:
        args: Of :func:`experiment_parser`.
        root: Folder that holds ``configs`` and ``tools``.

    Raises:
        SystemExit: If a run failed, after all others.
    """
    folder = table_folder(args.work_dir, args.config, args.data, args.cfg_options)
    experiment = _build(args, root, args.seeds, folder.name)
    if args.cells:
        experiment.select(args.cells)
    if args.published:
        for job in take_published(experiment.first_jobs(), args.published):
            print(f'published {job.name}: {job.folder}', flush=True)
    if args.commands or args.job:
        ready = [*experiment.first_jobs(), *experiment.ready_evaluations()]
        if args.commands:
            _print_commands(ready)
            return
        chosen = [job for job in ready if job.folder.name == args.job]
        if not chosen:
            sys.exit(f'--job {args.job}: there is no such run, or it waits for another')
        sys.exit(_run_all(chosen, root, 1, args.processes))
    missing = experiment.missing_weights()
    for cell, reason in missing.items():
        print(f'FAILED {cell}: {reason}', flush=True)
    failed = len(missing)
    failed += _run_all(experiment.first_jobs(), root, args.jobs, args.processes)
    failed += _run_all(
        experiment.ready_evaluations(), root, args.jobs, args.processes)
    shown = seeds_to_show(folder, experiment.seeds)
    print(write_experiment(
        experiment if shown == experiment.seeds else
        _build(args, root, shown, folder.name),
        folder, args.data, root))
    print(f'\ntable.md, table.json and the figures are in {folder}')
    if failed:
        done = {*experiment.finished(), *experiment.kept_rows()}
        waiting = [cell['name'] for cell in experiment.cells
                   if cell['name'] not in done and cell['name'] not in missing]
        for name in waiting:
            print(f'NOT DONE {name}')
        sys.exit(f'{failed} runs failed, {len(waiting)} cells are not done for it; the '
                 'others are')


def _build(args: argparse.Namespace, root: Path, seeds: Sequence[int] | None,
           table: str) -> Experiment:
    experiment = Experiment(args.config, data_config(args.data, root / 'configs'),
                            args.work_dir, args.cfg_options, seeds)
    if args.kept:
        experiment.keep(Path(args.kept) / table / 'table.json')
    return experiment
