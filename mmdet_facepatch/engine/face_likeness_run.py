"""Running of the test for face-likeness, for the command-line tool."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from torch import nn

from ..attack import build_frozen_detector, detector_digest
from .digests import content_digest, file_digest
from .face_likeness import (
    GREY,
    PHOTOGRAPH,
    Likeness,
    Scenes,
    filling_paste,
    measure_likeness,
    patch_digest,
)
from .face_likeness_report import read_likeness, write_likeness
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


def _detector_record(detector: nn.Module, options: Mapping[str, Any]
                     ) -> dict[str, Any]:
    """Where a detector comes from, with digests of its weights and its config."""
    model = Config.fromfile(options['config']).model.to_dict()
    return dict(options, digest=detector_digest(detector), model=content_digest(model))


# What a result depends on: digests of a detector's weights and config, and a patch.
_Key = tuple[str | None, str | None, str | None]


def _key(detector: Mapping[str, Any], patch: Mapping[str, Any]) -> _Key:
    return detector.get('digest'), detector.get('model'), patch.get('sha256')


def _kept_results(path: str | Path, manifest: Mapping[str, Any]
                  ) -> dict[_Key, list[Likeness]]:
    """Earlier results, by what they depend on.

    Args:
        path: Of an earlier ``face_likeness.json``.
        manifest: Of this run.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is another file, or was measured in another way.
    """
    results, earlier = read_likeness(path)
    now = json.loads(json.dumps(manifest))
    other = [key for key in ('scenes', 'iou_thr', 'share', 'versions')
             if earlier.get(key) != now[key]]
    if other:
        raise ValueError(f'{path} was measured with other {", ".join(other)}; leave '
                         '--kept away')
    found: dict[_Key, list[Likeness]] = {}
    for result in results:
        found.setdefault(_key(earlier['detectors'][result.detector],
                              earlier['patches'][result.patch]), []).append(result)
    return found


def _in_order(results: Iterable[Likeness], patches: Iterable[str], scenes: Scenes
              ) -> list[Likeness]:
    """Results of one detector as :func:`measure_likeness` orders them."""
    found = {(r.background, r.patch, r.side): r for r in results}
    return [found[key] for background in (GREY, PHOTOGRAPH) for patch in patches
            for side in scenes.sides if (key := (background, patch, side)) in found]


def run_face_likeness(
    path: str,
    patches: Sequence[str],
    work_dir: str | Path,
    detectors: Sequence[str] | None = None,
    options: dict | None = None,
    command: str | None = None,
    root: str | Path = '.',
    kept: str | Path | None = None,
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
        kept: An earlier ``face_likeness.json``; what it has of equal detectors and
            patches is taken from it. Its scenes, ``iou_thr``, ``share`` and versions
            have to be those of now.

    Returns:
        The tables in Markdown.

    Raises:
        FileNotFoundError: If config, checkpoint, patch or kept file is not there.
        ImportError: If a package with the weights of a black box is not installed.
        ValueError: If a name is unknown or taken, or a value unfit, or what is kept
            was measured in another way.
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
    built = {name: build_frozen_detector(**detector).to(get_device())
             for name, detector in chosen.items()}
    earlier = {} if kept is None else _kept_results(kept, manifest)
    results: list[Likeness] = []
    for name, detector in built.items():
        record = _detector_record(detector, chosen[name])
        manifest['detectors'][name] = record
        known = {patch: earlier[key] for patch, entry in manifest['patches'].items()
                 if (key := _key(record, entry)) in earlier}
        missing = {patch: paste for patch, paste in pastes.items()
                   if patch not in known}
        print(f'{name}: {record["config"]}, {len(missing)} patches, {len(known)} '
              'kept', flush=True)
        found = [replace(result, detector=name, patch=patch)
                 for patch, several in known.items() for result in several]
        if missing:
            found += measure_likeness(name, detector, missing, scenes,
                                      content['iou_thr'], content['share'])
        results += _in_order(found, pastes, scenes)
    return write_likeness(
        work_dir, content['title'], results, portable(manifest, root))


def _scenes(options: Mapping[str, Any]) -> Scenes:
    """Lists come from the command line, tuples from configs."""
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value
              for key, value in options.items()}
    return Scenes(**values)
