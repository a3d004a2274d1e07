"""Parts of the training images: held out of an attack, or every second one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from mmengine.config import Config

from ..datasets.describe import build_dataset

Ids = Callable[[dict], Sequence[str]]


def image_ids(dataset: dict) -> list[str]:
    """Ids of the images of a data set, in its order.

    Args:
        dataset (dict): mmdet config of the data set.
    """
    built = build_dataset(dataset)
    return [str(built.get_data_info(i)['img_id']) for i in range(len(built))]


def spread(total: int, count: int) -> list[int]:
    """Positions in the middle of ``count`` equal parts of ``total``.

    Args:
        total (int): How many there are to choose from.
        count (int): How many are wanted, at least 1 and fewer than ``total``.

    Raises:
        ValueError: If there are not as many.
    """
    if not 0 < count < total:
        raise ValueError(
            f'{count} images cannot be held out of {total}; leave some to optimise on'
        )
    return [(2 * i + 1) * total // (2 * count) for i in range(count)]


def take_positions(dataset: dict, chosen: Sequence[int], ids: Ids = image_ids) -> None:
    """Keep some of a data set's images, also of one that is a part already.

    Args:
        dataset (dict): mmdet config of the data set; its ``indices`` are changed.
        chosen (Sequence[int]): Positions in the data set as it stands.
        ids (Ids): Gives the ids of a data set's images. Defaults to image_ids.
    """
    before = dataset.get('indices')
    if before is None:
        dataset['indices'] = list(chosen)
        return
    if isinstance(before, int):
        whole = len(
            ids({key: value for key, value in dataset.items() if key != 'indices'})
        )
        # As mmdet takes it: the first, or of a negative number the last.
        before = range(whole)[:before] if before >= 0 else range(whole)[before:]
    dataset['indices'] = [before[i] for i in chosen]


def take_half(dataset: dict, half: int, ids: Ids = image_ids) -> None:
    """Every second image, from the first (0) or the second (1).

    Args:
        dataset (dict): mmdet config of the data set; its ``indices`` are changed.
        half (int): 0 or 1.
        ids (Ids): Gives the ids of a data set's images. Defaults to image_ids.
    """
    take_positions(dataset, range(half, len(ids(dataset)), 2), ids)


def hold_out(cfg: Config, count: int, ids: Ids = image_ids) -> None:
    """Take images out of an attack's training set and validate on them.

    They are spread evenly over the set, and validated after every epoch with the
    pipeline of the config's own validation. No image of the test set is looked at.

    Args:
        cfg (Config): Config of an attack, changed in place.
        count (int): How many images.
        ids (Ids): Gives the ids of a data set's images. Defaults to image_ids.

    Raises:
        ValueError: If the config has no validation, or too few images.
    """
    if cfg.get('val_dataloader') is None or cfg.get('val_evaluator') is None:
        raise ValueError(
            f'{cfg.filename}: held_out needs val_dataloader and val_evaluator, whose '
            'pipeline and metric are used for the images that are held out'
        )
    train = cfg.train_dataloader.dataset
    names = ids(train.to_dict())
    chosen = spread(len(names), count)
    held = {names[i] for i in chosen}
    # In test mode data sets filter nothing, so that positions differ.
    tested = {
        key: value
        for key, value in train.to_dict().items()
        if key not in ('indices', 'pipeline')
    }
    tested['test_mode'] = True
    positions = [i for i, name in enumerate(ids(tested)) if name in held]
    cfg.val_dataloader = dict(
        copy.deepcopy(cfg.val_dataloader.to_dict()),
        dataset=dict(
            tested,
            indices=positions,
            pipeline=copy.deepcopy(cfg.val_dataloader.dataset.to_dict()['pipeline']),
        ),
    )
    left = [i for i in range(len(names)) if names[i] not in held]
    take_positions(train, left, ids)
    # Official files are of the validation set, and intervals are not needed.
    cfg.val_evaluator = _plain_evaluator(cfg.val_evaluator.to_dict())
    cfg.val_cfg = cfg.get('val_cfg') or dict(type='PatchValLoop')
    cfg.train_cfg.val_interval = 1


def _plain_evaluator(evaluator: dict[str, Any]) -> dict[str, Any]:
    kept = {
        key: value
        for key, value in evaluator.items()
        if key not in ('gt_dir', 'reference_delta')
    }
    return dict(kept, bootstrap=0)
