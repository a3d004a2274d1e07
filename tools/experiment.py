"""Run an experiment of the paper: what is not yet done, then its table.

Each cell is a normal run of tools/attack.py with a work dir of its own, named by
its content. An interrupted experiment goes on where it stopped; a failed run is
reported, and the others go on.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
from mmengine.config import DictAction

from mmdet_facepatch.engine import Experiment, Job, data_config, write_experiment

ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='experiment config')
    parser.add_argument(
        '--data', default='subset',
        help='embedded, subset, widerface, or a config file with the dataloaders')
    parser.add_argument('--cells', nargs='+', help='names of the cells; default all')
    parser.add_argument('--jobs', type=int, default=1, help='runs at the same time')
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
    return parser.parse_args()


def command(job: Job, processes: int) -> list[str]:
    """What runs a job, on several processes through torchrun."""
    attack = [str(ROOT / 'tools' / 'attack.py'), *job.arguments]
    if processes == 1:
        return [sys.executable, *attack]
    return [sys.executable, '-m', 'torch.distributed.run', '--standalone',
            f'--nproc_per_node={processes}', *attack, '--launcher', 'pytorch']


def run(job: Job, processes: int) -> bool:
    """Run a job; its output goes to job.log in its folder."""
    print(f'{job.kind} {job.name}: {job.folder}', flush=True)
    job.prepare()
    with open(job.folder / 'job.log', 'ab') as log:
        done = subprocess.run(
            command(job, processes), stdout=log, stderr=log, check=False)
    if done.returncode == 0:
        job.finish()
        return True
    lines = (job.folder / 'job.log').read_text(errors='replace').split('\n')
    reason = next((line for line in reversed(lines) if line.strip()), 'no output')
    print(f'FAILED {job.kind} {job.name}: {reason}\n  see {job.folder / "job.log"}',
          flush=True)
    return False


def run_all(jobs: Sequence[Job], workers: int, processes: int) -> int:
    """Run what is not done, some at a time; returns how many failed."""
    waiting = [job for job in jobs if not job.done]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda job: run(job, processes), waiting)).count(False)


def print_commands(jobs: Sequence[Job]) -> None:
    """One line for each job that is not done: this command, for it alone."""
    own = [arg for arg in sys.argv if arg != '--commands']
    for job in jobs:
        if not job.done:
            print(shlex.join([sys.executable, *own, '--job', job.folder.name]))


def main() -> None:
    args = parse_args()
    experiment = Experiment(args.config, data_config(args.data, ROOT / 'configs'),
                            args.work_dir, args.cfg_options)
    if args.cells:
        experiment.select(args.cells)
    if args.commands or args.job:
        ready = [*experiment.first_jobs(), *experiment.ready_evaluations()]
        if args.commands:
            print_commands(ready)
            return
        chosen = [job for job in ready if job.folder.name == args.job]
        if not chosen:
            sys.exit(f'--job {args.job}: there is no such run, or it waits for another')
        sys.exit(run_all(chosen, 1, args.processes))
    failed = run_all(experiment.first_jobs(), args.jobs, args.processes)
    failed += run_all(experiment.ready_evaluations(), args.jobs, args.processes)
    folder = Path(args.work_dir) / 'tables' / (
        f'{Path(args.config).stem}_{Path(args.data).stem}')
    print(write_experiment(experiment, folder, args.data))
    print(f'\ntable.md, table.json and figure.png are in {folder}')
    if failed:
        sys.exit(f'{failed} runs failed; the others are done')


if __name__ == '__main__':
    main()
