"""Running of the test for face-likeness, for the command-line tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope

from ..attack import build_frozen_detector, detector_digest
from .digests import file_digest
from .face_likeness import (
    Likeness,
    Scenes,
    filling_paste,
    measure_likeness,
    patch_digest,
)
from .face_likeness_report import write_likeness
from .manifest import portable, software_versions


def patch_files(arguments: Sequence[str]) -> dict[str, str]:
    """Files by name, from ``NAME=FILE`` each.

    Args:
        arguments: As they come from the command line.

    Raises:
        ValueError: If one has no name or file, or a name comes twice.
    """
    files: dict[str, str] = {}
    for argument in arguments:
        name, sign, file = argument.partition('=')
        if not (name and sign and file) or name in files:
            raise ValueError(f'--patches {argument}: give NAME=FILE, each name once')
        files[name] = file
    return files


def _chosen(detectors: Mapping[str, Any], names: Sequence[str] | None
            ) -> dict[str, Any]:
    """Some of the detectors, or all."""
    wanted = list(detectors) if names is None else list(names)
    unknown = [name for name in wanted if name not in detectors]
    if unknown:
        raise ValueError(f'--detectors {unknown}: the config has {list(detectors)}')
    return {name: detectors[name] for name in wanted}


def _file_digests(condition: Any) -> dict[str, str]:
    """Digest of the file that a patch is read from, if there is one."""
    path = condition.get('path') if isinstance(condition, dict) else condition
    if path is None:
        return {}
    return dict(file_sha256=file_digest(path))


def run_face_likeness(
    path: str,
    patches: Sequence[str],
    work_dir: str | Path,
    detectors: Sequence[str] | None = None,
    options: dict | None = None,
    command: str | None = None,
    root: str | Path = '.',
) -> str:
    """Measure, then write tables, JSON and heat maps.

    Args:
        path: Config with ``title``, ``detectors``, ``patches``, ``scenes`` and
            ``iou_thr`` and ``share``, see :func:`measure_likeness`.
        patches: Further patches, ``NAME=FILE`` each.
        work_dir: Where results go.
        detectors: Names of those to ask; all by default.
        options: Keys of the config to override.
        command: What was called, for the manifest.
        root: Folder that holds ``configs`` and ``tools``; the manifest's paths are
            relative to it.

    Returns:
        The tables in Markdown.

    Raises:
        FileNotFoundError: If config, checkpoint or patch is not there.
        ImportError: If a package with the weights of a black box is not installed.
        ValueError: If a name is unknown or taken, or a value unfit.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'config {path} does not exist')
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(options or {})
    content = cfg.to_dict()
    conditions = dict(content['patches'])
    files = patch_files(patches)
    taken = [name for name in files if name in conditions]
    if taken:
        raise ValueError(f'--patches {taken}: the config has patches of that name')
    conditions.update(files)
    scenes = _scenes(content['scenes'])
    chosen = _chosen(content['detectors'], detectors)
    with DefaultScope.overwrite_default_scope('mmdet'):
        pastes = {name: filling_paste(patch) for name, patch in conditions.items()}
    manifest: dict[str, Any] = dict(
        command=command, versions=software_versions(), scenes=content['scenes'],
        iou_thr=content['iou_thr'], share=content['share'], detectors={}, patches={
            name: dict(condition=conditions[name], sha256=patch_digest(paste),
                       **_file_digests(conditions[name]))
            for name, paste in pastes.items()})
    # All of them first: what is missing should not show after an hour.
    built = {name: build_frozen_detector(**detector)
             for name, detector in chosen.items()}
    results: list[Likeness] = []
    for name, detector in built.items():
        print(f'{name}: {chosen[name]["config"]}', flush=True)
        manifest['detectors'][name] = dict(
            chosen[name], digest=detector_digest(detector))
        results += measure_likeness(name, detector, pastes, scenes,
                                    content['iou_thr'], content['share'])
    return write_likeness(
        work_dir, content['title'], results, portable(manifest, root))


def _scenes(options: Mapping[str, Any]) -> Scenes:
    """Lists come from the command line, tuples from configs."""
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value
              for key, value in options.items()}
    return Scenes(**values)
