"""Seeds that depend on a place in the run, and nothing else."""

from __future__ import annotations

import itertools
import pickle
import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from mmdet_facepatch.datasets import (
    SeededDataset,
    SeededIndex,
    SeededSampler,
    seeded_dataloader,
)
from mmdet_facepatch.utils.randomness import derive_seed, seed_generators, seeded


def draw() -> tuple:
    return random.random(), np.random.rand(), float(torch.rand(()))


class TestSeeds:
    @given(st.integers(0, 2**64 - 1))
    def test_block_leaves_the_generators_alone(self, seed):
        seed_generators(5)
        expected = draw(), draw()
        seed_generators(5)
        first = draw()
        with seeded(seed):
            inside = draw()
        assert (first, draw()) == expected
        seed_generators(seed)
        assert draw() == inside

    def test_generators_come_back_after_an_error(self):
        seed_generators(5)
        expected = draw()
        seed_generators(5)
        with pytest.raises(KeyError), seeded(1):
            draw()
            raise KeyError
        assert draw() == expected

    def test_seeds_differ(self):
        seeds = Counter(
            derive_seed(2, seed, epoch, place)
            for seed in range(4)
            for epoch in range(20)
            for place in range(100)
        )
        assert len(seeds) == 8000
        assert derive_seed(1, 2) != derive_seed(2, 1)
        assert all(0 <= seed < 2**64 for seed in seeds)


class Chance(torch.utils.data.Dataset):
    """Index, and one number of each generator."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> tuple:
        if index >= 7:
            raise IndexError
        assert type(index) is int
        return (index, *draw())


def loader(workers: int = 0, endless: bool = False, **kwargs) -> DataLoader:
    dataset = SeededDataset.__new__(SeededDataset)
    dataset.dataset = Chance()
    kind = 'InfiniteSampler' if endless else 'DefaultSampler'
    sampler = SeededSampler(dataset, dict(type=kind, shuffle=True), seed=3)
    return DataLoader(
        dataset,
        batch_size=2,
        sampler=sampler,
        num_workers=workers,
        collate_fn=list,
        **kwargs,
    )


class TestSampler:
    def test_index_survives_the_way_to_a_worker(self):
        index = pickle.loads(pickle.dumps(SeededIndex(4, 2**63)))
        assert index == 4 and index.seed == 2**63

    def test_workers_draw_the_same(self):
        alone, helped = loader(), loader(2, persistent_workers=True)
        for epoch in range(2):
            for each in (alone, helped):
                each.sampler.set_epoch(epoch)
            assert list(alone) == list(helped)

    def test_epochs_draw_differently(self):
        one = loader()
        first = sorted(sample for batch in one for sample in batch)
        one.sampler.set_epoch(1)
        second = sorted(sample for batch in one for sample in batch)
        assert [sample[0] for sample in first] == [sample[0] for sample in second]
        assert not {sample[1:] for sample in first} & {s[1:] for s in second}

    @pytest.mark.parametrize('endless', [False, True])
    def test_skip_starts_inside_the_pass(self, endless):
        one = loader(endless=endless)
        whole = [batch for batch, _ in zip(one, range(12), strict=False)]
        one.sampler.skip(4)
        rest = [batch for batch, _ in zip(one, range(10), strict=False)]
        assert rest == whole[2:]
        # For one pass only.
        assert next(iter(one)) == whole[0]

    @pytest.mark.parametrize('kind', ['DefaultSampler', 'InfiniteSampler'])
    def test_processes_share_one_stream(self, monkeypatch, kind):
        """Two of them draw together what one draws alone."""

        def stream(rank, world_size):
            for name in (
                'mmdet_facepatch.datasets.samplers',
                'mmengine.dataset.sampler',
            ):
                monkeypatch.setattr(f'{name}.get_dist_info', lambda: (rank, world_size))
            sampler = SeededSampler(range(8), dict(type=kind, shuffle=True), seed=3)
            draws = ((int(index), index.seed) for index in sampler)
            return list(itertools.islice(draws, 8 // world_size))

        assert [
            draw
            for pair in zip(stream(0, 2), stream(1, 2), strict=True)
            for draw in pair
        ] == stream(0, 1)

    def test_built_parts_are_refused(self):
        with pytest.raises(TypeError, match='as configs'):
            seeded_dataloader(dict(dataset=Chance(), sampler=dict(type='X')))
        with pytest.raises(TypeError, match='as configs'):
            seeded_dataloader(loader())
