"""Weights of two trainings, averaged."""

import runpy
from pathlib import Path

import pytest
import torch

TOOL = Path(__file__).resolve().parents[1] / 'tools/model_converters/average.py'
average = runpy.run_path(str(TOOL))['average']


def state(value: float, count: int) -> dict:
    return dict(w=torch.full((2,), value), n=torch.tensor(count))


def test_weighted_mean():
    found = average([state(0.25, 1), state(1.0, 5)], [1, 2])
    assert torch.equal(found['w'], torch.full((2,), 0.75))
    assert found['w'].dtype == torch.float32 and found['n'] == 5


def test_only_the_ratio_counts():
    states = [state(0.1, 1), state(0.7, 1), state(0.3, 1)]
    one, two = average(states, [1, 2, 3]), average(states, [0.5, 1, 1.5])
    torch.testing.assert_close(one['w'], two['w'], rtol=1e-7, atol=0)


@pytest.mark.parametrize('shares', [[1], [1, 0], [1, 2, 3]])
def test_shares_that_do_not_fit(shares):
    with pytest.raises(ValueError, match='as many positive shares'):
        average([state(0, 1), state(1, 1)], shares)


def test_other_architecture():
    with pytest.raises(ValueError, match='different architectures'):
        average([state(0, 1), dict(w=torch.zeros(3), n=torch.tensor(1))], [1, 1])
