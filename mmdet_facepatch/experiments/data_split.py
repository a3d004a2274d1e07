"""Parts of the training images: held out of an attack, or every second one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

from mmengine.config import Config

from ..datasets.describe import build_dataset

#: Gives the ids of a data set's images, in their order.
Ids = Callable[[dict], Sequence[str]]


def image_ids(dataset: dict) -> list[str]:
    """Ids of the images of a data set, in its order; from its mmdet config."""
    built = build_dataset(dataset)
    return [str(built.get_data_info(i)['img_id']) for i in range(len(built))]


def spread(total: int, count: int) -> list[int]:
    """Positions in the middle of ``count`` equal parts of ``total``.

    Raises:
        ValueError: If ``count`` is not at least 1 and less than ``total``.
    """
    if not 0 < count < total:
        raise ValueError(
            f'{count} images cannot be held out of {total}; leave some to optimise on'
        )
    return [(2 * i + 1) * total // (2 * count) for i in range(count)]


def take_positions(dataset: dict, chosen: Sequence[int], ids: Ids = image_ids) -> None:
    """Keep the images at some positions of a data set, which may be a part already.

    Its ``indices`` are changed.
    """
    before = dataset.get('indices')
    if isinstance(before, int):
        whole = len(ids({k: v for k, v in dataset.items() if k != 'indices'}))
        # As mmdet takes it: the first, or of a negative number the last.
        before = range(whole)[:before] if before >= 0 else range(whole)[before:]
    dataset['indices'] = [i if before is None else before[i] for i in chosen]


def take_half(dataset: dict, half: int, ids: Ids = image_ids) -> None:
    """Every second image of a data set, from the first (0) or the second (1)."""
    take_positions(dataset, range(half, len(ids(dataset)), 2), ids)


def hold_out(cfg: Config, count: int, ids: Ids = image_ids) -> None:
    """Take images out of an attack's training set and validate on them.

    They are spread evenly over the set, and validated as often as the config says,
    with the pipeline of its own validation. No image of the test set is looked at.
    The config of the attack is changed in place.

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
    held = {names[i] for i in spread(len(names), count)}
    # In test mode data sets filter nothing, so that positions differ.
    tested = dict(train.to_dict(), test_mode=True)
    tested.pop('indices', None)
    tested.pop('pipeline', None)
    positions = [i for i, name in enumerate(ids(tested)) if name in held]
    validated = copy.deepcopy(cfg.val_dataloader.to_dict())
    pipeline = validated['dataset']['pipeline']
    validated['dataset'] = dict(tested, indices=positions, pipeline=pipeline)
    cfg.val_dataloader = validated
    left = [i for i, name in enumerate(names) if name not in held]
    take_positions(train, left, ids)
    # Official files are of the validation set, and intervals are not needed.
    evaluator = dict(cfg.val_evaluator.to_dict(), bootstrap=0)
    evaluator.pop('gt_dir', None)
    evaluator.pop('reference', None)
    cfg.val_evaluator = evaluator
    cfg.val_cfg = cfg.get('val_cfg') or dict(type='PatchValLoop')
