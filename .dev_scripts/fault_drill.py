"""Kill runs with kill -9, resume them, and check that the ends are bit-identical.

Each config is run twice in one go. Then it is run again and killed at random moments,
some of them while a checkpoint is written; sometimes the newest checkpoint is damaged
as well. Each time it is resumed, until it ends; then a new run starts, until all
faults are spent. Ends are equal if weights or patch, optimiser and schedulers are.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import runpy
import shutil
import signal
import sys
import threading
import time
import traceback
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Runs are bit-identical on the CPU only, and a process that knows CUDA cannot fork.
os.environ['CUDA_VISIBLE_DEVICES'] = ''

import mmdet_facepatch  # noqa: E402, F401  checks the stack before anything needs it

# isort: split
import torch
from mmdet.utils import register_all_modules

from mmdet_facepatch.engine import (
    find_intact_checkpoint,
    has_checkpoint,
    load_config,
)
from mmdet_facepatch.utils.safe_loading import SafeCheckpointLoader
from mmdet_facepatch.utils.tables import markdown_table

ROOT = Path(__file__).resolve().parents[1]
DEFAULT = [
    ROOT / '.dev_scripts' / 'drills' / 'configs' / f'{name}.py'
    for name in ('attack', 'train_epochs', 'train_steps')
]
COMPARED = ('state_dict', 'optimizer', 'param_schedulers')
# Where in the writing of a checkpoint a run is killed: the audit event, what its path
# ends on, and the longest delay in seconds.
WRITE_POINTS = {
    'while it is written': ('open', '.pth.{pid}.tmp', 0.01),
    'before it is renamed': ('os.rename', '.pth.{pid}.tmp', 0.0),
    'before it is named': ('open', 'last_checkpoint.{pid}.tmp', 0.0),
    'before the oldest goes': ('os.remove', '.pth', 0.0),
}
HEADER = (
    'config',
    'killed',
    'of these in a write',
    'newest damaged',
    'warnings of it',
    'runs ended',
    'bit-identical',
    'faults survived',
)
Plan = Callable[[], None]


@dataclass
class Tally:
    """What happened to one config.

    Attributes:
        kills: Runs killed.
        in_write: Those of them that left a checkpoint half-written or not renamed.
        damaged: Newest checkpoints damaged after a kill.
        told: Warnings about damaged checkpoints in the logs.
        ends: Interrupted runs that came to their end.
        equal: Those that ended as the run in one go.
        survived: Kills of runs that ended so.
    """

    kills: int = 0
    in_write: int = 0
    damaged: int = 0
    told: int = 0
    ends: int = 0
    equal: int = 0
    survived: int = 0


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'configs',
        nargs='*',
        type=Path,
        default=DEFAULT,
        help='attacks or detectors; those of .dev_scripts/drills/configs by default',
    )
    parser.add_argument('--faults', type=int, default=20, help='for each config')
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/fault_drill'))
    return parser.parse_args()


def kill_at_event(event: str, ending: str, count: int, delay: float) -> None:
    """Kill this process ``delay`` seconds after an audit event on a path."""
    ending = ending.format(pid=os.getpid())
    left = count

    def kill() -> None:
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGKILL)

    def watch(name: str, args: tuple) -> None:
        nonlocal left
        if name != event or not str(args[0]).endswith(ending):
            return
        left -= 1
        if left == 0:
            if delay:
                threading.Thread(target=kill).start()
            else:
                kill()

    sys.addaudithook(watch)


def start(config: Path, work_dir: Path, log: Path, plan: Plan | None) -> int:
    """Run a tool in a process of its own; returns its id."""
    attack = 'Patch' in load_config(str(config)).model.type
    # What a run killed before its first checkpoint left is replaced.
    going_on = '--resume' if has_checkpoint(work_dir) else '--overwrite'
    arguments = [str(config), '--work-dir', str(work_dir), going_on]
    tool = ROOT / 'tools' / ('attack.py' if attack else 'train.py')
    threads = int(os.environ.get('OMP_NUM_THREADS', os.cpu_count() or 1))
    sys.stdout.flush()
    # A fork spares the seconds that the imports take.
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setsid()
        with open(log, 'ab', buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        torch.set_num_threads(threads)
        sys.argv = [str(tool), *arguments, *(['--no-report'] if attack else [])]
        if plan is not None:
            plan()
        runpy.run_path(str(tool), run_name='__main__')
        status = 0
    except BaseException:  # noqa: BLE001  a forked process must not go on from here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def wait(pid: int, moment: float | None) -> int:
    """Wait for a process, and kill it after ``moment`` seconds; its exit status."""
    begin = time.monotonic()
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if moment is not None and time.monotonic() - begin > moment:
            os.kill(pid, signal.SIGKILL)
            moment = None
        time.sleep(0.002)


def run(
    config: Path, work_dir: Path, plan: Plan | None = None, moment: float | None = None
) -> bool:
    """Run or resume; whether it came to its end.

    Raises:
        RuntimeError: If it ended in an error.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    log = work_dir.with_suffix('.log')
    status = wait(start(config, work_dir, log, plan), moment)
    if status not in (0, -signal.SIGKILL):
        tail = '\n'.join(log.read_text(errors='replace').splitlines()[-20:])
        raise RuntimeError(f'{config.stem} ended with status {status}:\n{tail}')
    return status == 0


def final_state(work_dir: Path) -> dict[str, Any]:
    """What a run ends with: of its last checkpoint, and the patch."""
    path, _ = find_intact_checkpoint(work_dir)
    checkpoint = SafeCheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    state = {key: checkpoint[key] for key in COMPARED if key in checkpoint}
    patch = work_dir / 'patch.npy'
    return dict(
        state,
        iter=checkpoint['meta']['iter'],
        patch=patch.read_bytes() if patch.is_file() else None,
    )


def same(one: Any, two: Any) -> bool:
    """Whether tensors in any nesting are bit-identical."""
    if type(one) is not type(two):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == two.dtype and torch.equal(one, two)
    if isinstance(one, dict):
        return list(one) == list(two) and all(same(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


def damage_newest(work_dir: Path, rng: random.Random) -> bool:
    """Cut the newest checkpoint or flip a bit in it, if there is one before it."""
    newest, _ = find_intact_checkpoint(work_dir)
    if newest is None or len(list(work_dir.glob('*.pth'))) < 2:
        return False
    content = bytearray(newest.read_bytes())
    if rng.random() < 0.5:
        content = content[: rng.randrange(len(content))]
    else:
        with zipfile.ZipFile(newest) as archive:
            member = max(archive.infolist(), key=lambda info: info.file_size)
        # Beyond the member's header, which takes up to 64 bytes more than its name.
        start = member.header_offset + 128
        content[rng.randrange(start, start + member.file_size // 2)] ^= 1
    newest.write_bytes(content)
    return True


def draw_fault(rng: random.Random, duration: float) -> tuple[Plan | None, float | None]:
    """A plan for the process to kill itself, or the moment to kill it."""
    if rng.random() < 0.6:
        return None, rng.uniform(0, duration)
    event, ending, longest = WRITE_POINTS[rng.choice(list(WRITE_POINTS))]
    count, delay = rng.randint(1, 3), rng.uniform(0, longest)
    return (lambda: kill_at_event(event, ending, count, delay)), None


def drill(config: Path, work_dir: Path, faults: int, rng: random.Random) -> Tally:
    """Run a config in one go, then with faults, and compare.

    Raises:
        RuntimeError: If a second run in one go ends otherwise, or any in an error.
    """
    run(config, work_dir / 'whole')
    expected = final_state(work_dir / 'whole')
    begin = time.monotonic()
    run(config, work_dir / 'again')
    duration = time.monotonic() - begin
    if not same(final_state(work_dir / 'again'), expected):
        raise RuntimeError(f'{config}: two runs in one go end differently')
    tally = Tally()
    while tally.kills < faults:
        before = tally.kills
        folder = work_dir / f'faults_{tally.ends}'
        while not end_or_fault(config, folder, duration, faults, tally, rng):
            pass
        tally.ends += 1
        tally.told += folder.with_suffix('.log').read_text().count('is damaged')
        if same(final_state(folder), expected):
            tally.equal += 1
            tally.survived += tally.kills - before
    return tally


def end_or_fault(
    config: Path,
    folder: Path,
    duration: float,
    faults: int,
    tally: Tally,
    rng: random.Random,
) -> bool:
    """Resume until the next fault, and count it; whether the run has ended."""
    plan, moment = draw_fault(rng, duration) if tally.kills < faults else (None, None)
    if run(config, folder, plan, moment):
        return True
    tally.kills += 1
    tally.in_write += any(True for _ in folder.glob('.*.pth.*.tmp'))
    if rng.random() < 0.25:
        tally.damaged += damage_newest(folder, rng)
    return False


def preload(config: Path) -> None:
    """Import here, once, what every run would import by itself."""
    importlib.import_module('torch._dynamo')  # the optimiser's
    register_all_modules(init_default_scope=False)
    load_config(str(config)).pretty_text  # noqa: B018  loads yapf's grammar


def main() -> None:
    args = parse_args()
    # No thread may exist when a process is forked.
    torch.set_num_threads(1)
    preload(args.configs[0])
    shutil.rmtree(args.work_dir, ignore_errors=True)
    rows, failed = [], []
    for config in args.configs:
        rng = random.Random(f'{args.seed} {config.stem}')
        t = drill(config, args.work_dir / config.stem, args.faults, rng)
        counts = (t.kills, t.in_write, t.damaged, t.told, t.ends, t.equal)
        rows.append([config.stem, *map(str, counts), f'{t.survived}/{t.kills}'])
        print(f'{config.stem}: {rows[-1][-1]} faults survived', flush=True)
        failed += [config.stem] if t.equal < t.ends or t.told < t.damaged else []
    print(markdown_table(HEADER, rows))
    if failed:
        raise SystemExit(
            f'{", ".join(failed)}: a resumed run ended otherwise than the run in one '
            'go, or a damaged checkpoint went without a warning'
        )


if __name__ == '__main__':
    main()
