"""Optimise a patch from Python."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..attack import attacker_of
from ..engine import claim_work_dir, load_attack_history, preflight, set_steps
from ..utils.randomness import seeded
from ..utils.target_classes import Target
from .images import Boxes, Images, class_name, image_config
from .runs import Detector, build_attacker, run_config, start_runner


@dataclass(frozen=True)
class AttackResult:
    """What an attack found.

    Attributes:
        patch (Tensor): (3, H, W) float32 RGB in [0, 1], on the CPU.
        history (dict[str, Any]): Objective, steps, seconds and held-out numbers by
            epoch, see :mod:`mmdet_facepatch.engine.attack_history`.
        work_dir (Path): With ``patch.png``, ``patch.npy``, checkpoints and logs.
    """

    patch: Tensor
    history: dict[str, Any]
    work_dir: Path

    @property
    def objective(self) -> list[float | None]:
        """What the attack maximises, the mean of each epoch; None without samples."""
        return [epoch['objective'] for epoch in self.history['epochs']]

    def __repr__(self) -> str:
        height, width = self.patch.shape[1:]
        return (
            f'{type(self).__name__}({height} x {width} patch, '
            f'{len(self.history["epochs"])} epochs, {str(self.work_dir)!r})'
        )


def attack(
    detector: Detector | Sequence[Detector],
    images: Images | None = None,
    boxes: Boxes = None,
    method: str | os.PathLike | Mapping = 'patch_combination',
    *,
    epochs: int | None = None,
    seed: int = 0,
    patch: Mapping[str, Any] | None = None,
    placement: Mapping[str, Any] | None = None,
    patch_transforms: Sequence[dict] = (),
    target: Target = None,
    steps: int | None = None,
    channel_order: str = 'bgr',
    work_dir: str | os.PathLike | None = None,
    overwrite: bool = False,
    resume: bool = False,
    amp: bool = False,
    device: str | None = None,
    options: Mapping[str, Any] | None = None,
    log_level: str = 'INFO',
) -> AttackResult:
    """Optimise one patch against a frozen detector, as ``tools/attack.py`` does.

    A module that is given is copied; neither its weights nor its mode change. Random
    generators of the CPU are left as they were.

    Args:
        detector (Detector | Sequence[Detector]): ``'facepatch://NAME'`` for weights
            of the package, ``dict(config=..., checkpoint=...)``, or a module; or a list
            of these, which one patch is to fool.
        images (Images, optional): The name of a data config ('embedded',
            'widerface_subset', 'widerface') or its path; a config with dataloaders; the
            config of a data set (a dict with ``type``, whose pipeline is replaced by
            that of the embedded data); the folder of a COCO file's images; or (H, W, 3)
            uint8 arrays. None takes the data of the method's config. Defaults to None.
        boxes (Boxes): The faces where ``images`` does not bring them: a COCO file, or
            (N, 4) arrays xyxy in pixels. Defaults to None.
        method (str | os.PathLike | Mapping): 'patch_iou', 'patch_score',
            'patch_score_focal' or 'patch_combination'; the path of an attack's config;
            the config of a sample set; or ``dict(sample_set=..., loss=...)``. Defaults
            to 'patch_combination'.
        epochs (int, optional): By default those of the data config, 20 for images of
            one's own. Defaults to None.
        seed (int): Of the run, and of the noise that the patch starts from. Defaults to
            0.
        patch (Mapping[str, Any], optional): Settings of :class:`UniversalPatch`, as
            ``dict(size=64, init=dict(type='constant', value=0.5))``. Defaults to None.
        placement (Mapping[str, Any], optional): Settings of :class:`PatchPlacement`, as
            ``dict(alpha=0.4, center='middle')``. Defaults to None.
        patch_transforms (Sequence[dict]): Configs of random transforms of the patch,
            see :mod:`mmdet_facepatch.attack.patch.transforms`. Defaults to ().
        target (Target): What is attacked, gets the patch and is judged: the name of a
            class of detector and data, or a list of names;
            ``dict(data='Face', detector='face')`` where they differ. None if both have
            one class. Defaults to None.
        steps (int, optional): Steps of the optimiser, in place of ``epochs``. Defaults
            to None.
        channel_order (str): Of images that are arrays, 'bgr' or 'rgb'. Defaults to
            'bgr'.
        work_dir (str | os.PathLike, optional): Folder for everything that is written.
            Defaults to ``work_dirs/METHOD``.
        overwrite (bool): Replace the results of another run in the work dir. Defaults
            to False.
        resume (bool): Resume from the last checkpoint in the work dir. Defaults to
            False.
        amp (bool): Use automatic mixed precision. Defaults to False.
        device (str, optional): As 'cpu' or 'cuda:1'; by default a GPU if there is one.
            Defaults to None.
        options (Mapping[str, Any], optional): Config keys to override, as
            ``{'optim_wrapper.optimizer.lr': 0.01}``. Defaults to None.
        log_level (str): Of mmengine's logger. Defaults to 'INFO'.

    Returns:
        AttackResult: Patch, history and work dir.

    Raises:
        FileNotFoundError: If a file or folder is not there.
        ValueError: If an argument is unfit, or the class of the faces is not clear.
        WorkDirError: If the work dir holds results of another run, or there is nothing
            to resume, or only with another config.

    Example:
        >>> images = [np.full((96, 96, 3), 90, np.uint8)]
        >>> result = attack(
        ...     'facepatch://sln_mbv2_widerface_subset', images,
        ...     [[[20, 20, 60, 60]]], 'patch_score', epochs=1,
        ...     patch=dict(size=16), work_dir=folder, log_level='ERROR')
        >>> result.patch.shape
        torch.Size([3, 16, 16])
        >>> sorted(path.name for path in result.work_dir.glob('patch.*'))
        ['patch.npy', 'patch.png']
    """
    name = Path(method).stem if isinstance(method, (str, os.PathLike)) else 'attack'
    folder = Path('work_dirs', name) if work_dir is None else Path(work_dir)
    with seeded(seed):
        data = None
        if images is not None:
            data = image_config(
                images,
                boxes,
                folder / 'data',
                'train',
                name=class_name(target),
                channel_order=channel_order,
            )
        cfg = run_config(
            method,
            data,
            str(folder),
            seed=seed,
            model=dict(
                patch=patch or {},
                placement=placement or {},
                patch_transforms=list(patch_transforms),
                target=target,
            ),
            options=options,
            resume=resume,
            amp=amp,
            log_level=log_level,
        )
        if epochs is not None:
            cfg.train_cfg.max_epochs = epochs
        if steps is not None:
            set_steps(cfg, steps)
        model = build_attacker(cfg, detector)
        with claim_work_dir(cfg, ['train'], overwrite):
            runner = start_runner(cfg, model, device)
            preflight(runner, train=True)
            runner.train()
    pixels = attacker_of(runner.model).patch.pixels.detach().cpu().clone()
    return AttackResult(pixels, load_attack_history(folder), folder)
