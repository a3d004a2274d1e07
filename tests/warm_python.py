"""A Python that has imported torch, mmcv and mmdet already, for tests that start many.

    python warm_python.py FOLDER

leaves a program ``FOLDER/python``, prints a line when it can be used, and ends with its
standard input. The program takes Python's own command line (``-u``, ``-m``, ``-c``, a
script). What it runs is a process of its own, with the caller's environment, folder,
standard streams and signals, forked from this one: the imports are done, nothing else.
This package is not among them, so that each process registers its modules itself; only
its operators are, which mmdet needs.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import marshal
import os
import runpy
import select
import shlex
import signal
import socket
import sys
import types
from pathlib import Path

# What tools import, or their libraries when they come to it.
MODULES = (
    'cv2',
    'matplotlib.pyplot',
    'mmcv.ops',
    'mmdet.datasets',
    'mmdet.engine',
    'mmdet.evaluation',
    'mmdet.models',
    'mmdet.visualization',
    'mmengine.runner',
    'scipy.io',
    'torch._dynamo',
    'torch.distributed.launcher.api',
)
# Started by the program: hands its command line over, waits, and ends as it ended.
CLIENT = """
import marshal, os, signal, socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect(sys.argv[1])
task = marshal.dumps((sys.argv[2:], os.getcwd(), dict(os.environ)))
socket.send_fds(link, [len(task).to_bytes(4, 'big')], [0, 1, 2])
link.sendall(task)
child = int.from_bytes(link.recv(4) or sys.exit('no answer'), 'big')
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: os.kill(child, number))
status = int.from_bytes(link.recv(4) or sys.exit('no answer'), 'big', signed=True)
if status < 0:
    signal.signal(-status, signal.SIG_DFL) if status != -signal.SIGKILL else None
    os.kill(os.getpid(), -status)
os._exit(status)
"""


def receive(link: socket.socket) -> tuple[list[int], list[str], str, dict[str, str]]:
    """Standard streams, arguments, folder and environment of a caller."""
    header, streams, _, _ = socket.recv_fds(link, 4, 3)
    left, parts = int.from_bytes(header, 'big'), []
    while left:
        parts.append(link.recv(left))
        left -= len(parts[-1])
    return (streams, *marshal.loads(b''.join(parts)))


def serve(listener: socket.socket) -> list[str]:
    """Fork a process for each caller; returns its arguments, in the forked ones."""
    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.setblocking(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake.fileno())
    callers: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([0, listener, woken, *callers.values()], [], [])
        if 0 in ready:
            for pid in callers:
                os.kill(pid, signal.SIGKILL)
            os._exit(0)
        if listener in ready:
            link, _ = listener.accept()
            streams, arguments, folder, environment = receive(link)
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                for end in (wake, woken, link, *callers.values()):
                    end.close()
                for number, stream in enumerate(streams):
                    os.dup2(stream, number)
            for stream in streams:
                os.close(stream)
            if not pid:
                os.chdir(folder)
                os.environ.clear()
                os.environ.update(environment)
                return arguments
            callers[pid] = link
            link.sendall(pid.to_bytes(4, 'big'))
        # A caller that is gone has been killed: so is what it has started.
        for pid, link in callers.items():
            if link in ready:
                os.kill(pid, signal.SIGKILL)
        if woken in ready:
            woken.recv(4096)
            bury(callers)


def bury(callers: dict[int, socket.socket]) -> None:
    """Tell the callers of processes that have ended."""
    while callers:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        code = os.waitstatus_to_exitcode(status)
        with callers.pop(pid) as link, contextlib.suppress(BrokenPipeError):
            link.send(code.to_bytes(4, 'big', signed=True))


def run(arguments: list[str], paths: list[str]) -> None:
    """What Python does with its command line."""
    import numpy as np
    import torch

    np.random.seed()
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', os.cpu_count() or 1)))
    while arguments[0] in ('-u', '-W'):
        sys.stdout.reconfigure(write_through=True)
        arguments = arguments[1 if arguments[0] == '-u' else 2 :]
    added = filter(None, os.environ.get('PYTHONPATH', '').split(os.pathsep))
    sys.path[:] = [*added, *paths]
    if arguments[0] == '-m':
        sys.path.insert(0, os.getcwd())
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name='__main__', alter_sys=True)
    elif arguments[0] == '-c':
        sys.path.insert(0, '')
        sys.argv = ['-c', *arguments[2:]]
        exec(compile(arguments[1], '<string>', 'exec'), dict(__name__='__main__'))
    else:
        sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name='__main__')


def provide_operators() -> None:
    """Let mmdet import without mmcv's compiled operators, and nothing else."""
    name = 'mmdet_facepatch'
    package = types.ModuleType(name)
    found = importlib.util.find_spec(name)
    package.__path__ = list(found.submodule_search_locations)
    sys.modules[name] = package
    importlib.import_module(f'{name}.ops').provide_operators()
    for module in [*sys.modules]:
        if module.partition('.')[0] == name:
            del sys.modules[module]


def main() -> None:
    folder = Path(sys.argv[1])
    own = os.environ.get('PYTHONPATH', '').split(os.pathsep)
    paths = [path for path in sys.path[1:] if path not in own]
    import torch

    # No thread may exist when a process is forked.
    torch.set_num_threads(1)
    provide_operators()
    for module in MODULES:
        importlib.import_module(module)
    from mmengine.config import Config

    Config(dict(a=1)).pretty_text  # noqa: B018  loads yapf's grammar
    (folder / 'client.py').write_text(CLIENT)
    program, address = folder / 'python', folder / 'socket'
    call = shlex.join([sys.executable, '-IS', str(folder / 'client.py'), str(address)])
    program.write_text(f'#!/bin/sh\nexec {call} "$@"\n')
    program.chmod(0o755)
    sys.executable = str(program)
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        print('ready', flush=True)
        arguments = serve(listener)
    run(arguments, paths)


if __name__ == '__main__':
    main()
