"""Samples whose random numbers depend on their place in the run alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sized
from typing import Any

from mmdet.registry import DATA_SAMPLERS, DATASETS
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Dataset, Sampler

from ..utils.randomness import SAMPLE, derive_seed, seeded


class SeededIndex(int):
    """Index of a sample, with the seed of its random numbers.

    Args:
        index: Index in the data set.
        seed (int): In [0, 2**64).
    """

    seed: int

    def __new__(cls, index: int, seed: int) -> SeededIndex:
        self = super().__new__(cls, index)
        self.seed = seed
        return self

    def __getnewargs__(self) -> tuple[int, int]:  # type: ignore[override]
        return int(self), self.seed


@DATASETS.register_module()
class SeededDataset(Dataset):
    """Loads each sample with the random numbers that its index brings.

    Whatever is drawn from the global generators of Python, numpy and torch while a
    :class:`SeededIndex` is loaded is a function of its seed: the same in the main
    process and in any data-loading worker. The generators' own states stay as
    they are. Everything else is the wrapped data set's.

    Args:
        dataset (dict): Config of the data set.
    """

    def __init__(self, dataset: dict) -> None:
        self.dataset = DATASETS.build(dataset)

    def __getattr__(self, name: str) -> Any:
        # Unpickling asks before there is a data set.
        if name == 'dataset' or name.startswith('__'):
            raise AttributeError(name)
        return getattr(self.dataset, name)

    @property
    def pipeline(self) -> Any:
        """The data set's pipeline; hooks that change it change the data set's."""
        return self.dataset.pipeline

    @pipeline.setter
    def pipeline(self, pipeline: Any) -> None:
        self.dataset.pipeline = pipeline

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        """Load a sample; an index without a seed is loaded as it comes."""
        if not isinstance(index, SeededIndex):
            return self.dataset[index]
        with seeded(index.seed):
            return self.dataset[int(index)]


@DATA_SAMPLERS.register_module()
class SeededSampler(Sampler):
    """Gives the indices of another sampler seeds, and can start inside a pass.

    A sample's seed is derived from the run's seed, the epoch, and its position among
    the samples of all processes. So neither the number of workers nor, with
    mmengine's samplers, that of processes changes what is drawn.

    Args:
        dataset (Sized): As in mmengine's samplers.
        sampler (dict): Config of the sampler that chooses.
        seed (int, optional): The run's seed; None draws one, the same in all processes.
            Defaults to None.
    """

    def __init__(self, dataset: Sized, sampler: dict, seed: int | None = None) -> None:
        self.dataset = dataset
        self.epoch = 0
        self._config = sampler
        self._skip = 0
        self._rank, self._world_size = get_dist_info()
        self.reseed(sync_random_seed() if seed is None else seed)

    def reseed(self, seed: int) -> None:
        """Start anew with another seed of the run."""
        self.seed = seed
        self._inner = self._build()

    def _build(self) -> Any:
        inner = DATA_SAMPLERS.build(
            self._config, default_args=dict(dataset=self.dataset, seed=self.seed)
        )
        if hasattr(inner, 'set_epoch'):
            inner.set_epoch(self.epoch)
        return inner

    @property
    def can_skip(self) -> bool:
        """Whether it is known how the sampler's passes begin and end."""
        return type(self._inner) in (DefaultSampler, InfiniteSampler)

    @property
    def endless(self) -> bool:
        """Whether one pass never ends, of a sampler that can skip."""
        return isinstance(self._inner, InfiniteSampler)

    def set_epoch(self, epoch: int) -> None:
        """Name the epoch of the next pass."""
        self.epoch = epoch

    def skip(self, num_samples: int) -> None:
        """Leave out the first samples of this process in the next pass."""
        self._skip = num_samples

    def __len__(self) -> int:
        return len(self._inner)

    def __iter__(self) -> Iterator[SeededIndex]:
        """One pass from its beginning, or from where :meth:`skip` says."""
        skip, self._skip = self._skip, 0
        # InfiniteSampler would go on where its last pass was left.
        self._inner = self._build()
        for place, index in itertools.islice(enumerate(self._inner), skip, None):
            position = place * self._world_size + self._rank
            yield SeededIndex(
                index, derive_seed(SAMPLE, self.seed, self.epoch, position)
            )


def seeded_dataloader(dataloader: dict) -> dict:
    """The config of a data loader with seeds for its samples.

    Args:
        dataloader (dict): Config as mmengine's runner takes it.

    Returns:
        dict: A copy with its data set and sampler wrapped.

    Raises:
        TypeError: If the loader, its data set or its sampler is built already.
    """
    if not isinstance(dataloader, dict) or not all(
        isinstance(dataloader.get(key), dict) for key in ('dataset', 'sampler')
    ):
        raise TypeError(
            'the training loop needs the data loader, its dataset and its '
            'sampler as configs, to give every sample its seed'
        )
    return dict(
        dataloader,
        dataset=dict(type='SeededDataset', dataset=dataloader['dataset']),
        sampler=dict(type='SeededSampler', sampler=dataloader['sampler']),
    )
