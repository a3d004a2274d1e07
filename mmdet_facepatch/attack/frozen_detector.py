"""The detector under attack: built from its config, loaded whole, frozen."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS, TASK_UTILS
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from ..models.detectors import check_checkpoint
from ..utils.digests import file_digest
from ..utils.safe_loading import SafeCheckpointLoader
from ..utils.target_classes import Target, class_labels
from .candidates import Candidates
from .detector_config import (
    class_names,
    configured_classes,
    num_classes,
    read_detector_config,
)
from .sample_sets import SampleSet

# How many differing keys an error message names.
NAMED_KEYS = 3
# Others pad, normalise or deform in a forward of their own, which mmcv's merging
# passes by.
PLAIN_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def detector_digest(detector: nn.Module) -> str:
    """SHA-256 over all weights and buffers, and over what is in train mode.

    Of weights and buffers names, shapes, types and bytes count. A detector with
    all its modules in ``eval()`` has the digest of its weights and buffers alone;
    each module in ``train()`` changes it.

    Args:
        detector (nn.Module): Any module.

    Returns:
        str: 64 hexadecimal digits, equal before and after an attack that left the
        detector alone.
    """
    digest = hashlib.sha256()
    for name in modules_in_train_mode(detector):
        digest.update(f'{name} in train mode;'.encode())
    tensors = [*detector.named_parameters(), *detector.named_buffers()]
    for name, tensor in sorted(tensors, key=lambda item: item[0]):
        if not tensor.numel():
            continue
        # A tensor of one element is contiguous with any stride, 0 included, and
        # keeps it in reshape(); a copy has none but its own.
        values = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())
        digest.update(f'{name} {values.dtype} {tuple(values.shape)};'.encode())
        digest.update(values.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def modules_in_train_mode(detector: nn.Module) -> list[str]:
    """Names of the modules in train mode, sorted; '' is the detector itself."""
    return sorted(name for name, module in detector.named_modules() if module.training)


def named_in_part(names: Sequence[str]) -> str:
    """The first names of a list, for an error message."""
    return ', '.join(names[:NAMED_KEYS]) + (', ...' if len(names) > NAMED_KEYS else '')


def freeze(detector: nn.Module) -> nn.Module:
    """Put a detector into ``eval()`` and stop its parameters' gradients.

    Raises:
        ValueError: If a module stays in train mode, as one does whose ``train``
            takes no notice of the mode.
    """
    detector.eval()
    detector.requires_grad_(False)
    training = modules_in_train_mode(detector)
    if training:
        names = [name or type(detector).__name__ for name in training]
        raise ValueError(
            f'{type(detector).__name__}: {len(names)} modules stay in train mode '
            f'after eval() ({named_in_part(names)}), so the detector under attack '
            'would change with every image; make their train() obey its argument'
        )
    return detector


def merge_batch_norms(detector: nn.Module) -> nn.Module:
    """Let convolutions do the work of the batch norms behind them.

    In ``eval()`` a batch norm is a factor and an offset of each channel, which mmcv's
    :class:`~mmcv.cnn.ConvModule` can move into the convolution's weights on the fly.
    What is computed is the same up to rounding, weights and buffers stay as they
    are, and neither direction passes over the maps a second time.

    Args:
        detector (nn.Module): Frozen, see :func:`freeze`. Norms outside a ``ConvModule``
            (those of mmdet's ResNet) and behind other than plain convolutions (with
            adaptive padding or standardised weights, deformable, transposed) are left
            alone.

    Returns:
        nn.Module: The detector.
    """
    for module in detector.modules():
        if (
            isinstance(module, ConvModule)
            and type(module.conv) in PLAIN_CONVOLUTIONS
            and not module.with_spectral_norm
        ):
            module.turn_on_efficient_conv_bn_eval()
    return detector


def _load_whole(detector: nn.Module, checkpoint: str, config: str) -> dict[str, Any]:
    """Load weights, or say which names or shapes keep them from fitting.

    Returns:
        dict[str, Any]: What the checkpoint says of itself.
    """
    loaded = SafeCheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    found = loaded.get('state_dict', loaded)
    state = OrderedDict(
        (key.removeprefix('module.'), value) for key, value in found.items()
    )
    # Versions of modules, by which some of mmdet's rename what older files have.
    if (metadata := getattr(found, '_metadata', None)) is not None:
        state._metadata = metadata  # type: ignore[attr-defined]
    own = {key: value.shape for key, value in detector.state_dict().items()}
    reshaped = [
        key for key, value in state.items() if key in own and own[key] != value.shape
    ]
    fitting = state.copy()
    for key in reshaped:
        del fitting[key]
    # float16 weights, as shipped checkpoints have them, are cast here.
    missing, unexpected = detector.load_state_dict(fitting, strict=False)
    problems = {
        'missing': [key for key in missing if key not in reshaped],
        'unexpected': unexpected,
        'of another shape': reshaped,
    }
    if not any(problems.values()):
        return loaded.get('meta') or {}
    parts = [
        f'{len(keys)} {what} ({named_in_part(keys)})'
        for what, keys in problems.items()
        if keys
    ]
    raise ValueError(
        f'checkpoint {checkpoint} is of another architecture than the detector '
        f'in {config}: {"; ".join(parts)}. Name the config that it was trained '
        'with.'
    )


def build_frozen_detector(
    config: str, checkpoint: str | None = None, merge_norms: bool = True
) -> nn.Module:
    """Build a detector from its config and checkpoint, and freeze it.

    Args:
        config (str): Of mmdet, see :func:`read_detector_config`; its ``model`` is
            built.
        checkpoint (str, optional): Path, URL, or a registered scheme as
            ``facepatch://NAME``; None for a black box, which has weights of its own.
            Defaults to None.
        merge_norms (bool): Whether to call :func:`merge_batch_norms`; False leaves
            batch norms as they are. Defaults to True.

    Returns:
        nn.Module: The detector in ``eval()``, without parameter gradients. Its ``cfg``
        is the config, its ``dataset_meta`` has the names of its ``classes``, from the
        checkpoint or else the config's data set, or None.

    Raises:
        FileNotFoundError: If config or checkpoint is not there.
        ImportError: If the package with the weights of a black box is not there.
        ValueError: If the config has no model, or the checkpoint does not fit it, is
            missing or not applicable, or a module of the detector stays in train mode.
    """
    cfg = read_detector_config(config)
    # Outside a runner nothing else says in whose names the config is written. What an
    # init_cfg names is not loaded: that is for init_weights().
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmdet')):
        detector = MODELS.build(cfg.model)
    check_checkpoint(detector, checkpoint, config)
    # As mmdet's init_detector leaves them.
    detector.cfg = cfg
    detector.dataset_meta = dict(classes=configured_classes(cfg))
    if checkpoint is not None:
        meta = _load_whole(detector, checkpoint, config)
        detector.dataset_meta.update(meta.get('dataset_meta') or {})
    freeze(detector)
    return merge_batch_norms(detector) if merge_norms else detector


def _detector_name(detector: nn.Module) -> str:
    path = getattr(getattr(detector, 'cfg', None), 'filename', None)
    file = f' of {Path(path).name}' if path else ''
    return f'the detector {type(detector).__name__}{file}'


@dataclass(frozen=True)
class FrozenDetector:
    """One frozen detector of an attack.

    Attributes:
        module (nn.Module): In ``eval()``, without parameter gradients.
        reader (Callable[..., list[Candidates]]): Reads its candidates.
        class_ids (tuple[int, ...]): Target among its classes.
        sample_set (Callable[..., Tensor]): Selects samples among its candidates.
        weight (float): Factor on its loss.
    """

    module: nn.Module
    reader: Callable[..., list[Candidates]]
    class_ids: tuple[int, ...]
    sample_set: Callable[..., Tensor]
    weight: float = 1.0

    @property
    def name(self) -> str:
        """For a message: its class, and the file of its config, if it has one."""
        return _detector_name(self.module)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of its classes, if they are known."""
        names = class_names(self.module)
        return names if names and len(names) == num_classes(self.module) else None


def freeze_detector(
    detector: dict | nn.Module,
    reader: dict | None,
    target: Target,
    sample_set: Callable[..., Tensor],
) -> FrozenDetector:
    """Freeze a detector and give it its reader and sample set.

    Args:
        detector (dict | nn.Module): Arguments of :func:`build_frozen_detector`, with
            ``weight`` and ``reader`` of its own if need be; or a built detector.
        reader (dict, optional): Config of the reader where the detector has none of its
            own; None finds that of its head. Its ``class_id``, if it has one, is the
            target in this detector.
        target (Target): Classes of the detector that are attacked.
        sample_set (Callable[..., Tensor]): Sample set of the attack.

    Returns:
        FrozenDetector: Detector, reader, sample set and weight.

    Raises:
        ValueError: If the weight is not positive, the detector cannot be frozen, or has
            no such class.
    """
    weight, own = 1.0, reader
    if isinstance(detector, nn.Module):
        module = freeze(detector)
    else:
        options = dict(detector)
        weight = options.pop('weight', weight)
        if not weight > 0:
            raise ValueError(
                f'PatchAttacker: the weight of {options.get("config")} must '
                f'be positive, got {weight}'
            )
        own = options.pop('reader', reader)
        module = build_frozen_detector(**options)
    own = dict(own or dict(type='AutoCandidateReader'))
    if 'class_id' in own and target is not None:
        raise ValueError(
            f'PatchAttacker: the target is {target!r}, and the reader has class_id '
            f'{own["class_id"]}: leave class_id out'
        )
    if 'class_id' in own:
        found = own['class_id']
        ids = (found,) if isinstance(found, int) else tuple(found)
    else:
        count = num_classes(module)
        ids = class_labels(target, class_names(module), count, _detector_name(module))
        own['class_id'] = ids
    if isinstance(sample_set, SampleSet):
        sample_set = sample_set.of_detector(module, _detector_name(module))
    return FrozenDetector(module, TASK_UTILS.build(own), ids, sample_set, weight)


def detector_file_digest(checkpoint: str) -> str:
    """SHA-256 of a checkpoint, also of one that is named by a scheme or URL."""
    if Path(checkpoint).is_file():
        return file_digest(checkpoint)
    state = SafeCheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    state = state.get('state_dict', state)
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(state[key].contiguous().numpy().tobytes())
    return digest.hexdigest()


def black_box_digest(config: str) -> str:
    """SHA-256 of the weights that a black box brings.

    Args:
        config (str): Path of its config.

    Raises:
        ImportError: If the package with the weights is not installed.
    """
    return detector_digest(build_frozen_detector(config))
