"""What the tests share."""

import numpy as np
import pytest

import holograd as hg


@pytest.fixture(scope="session")
def toy():
    return hg.Network("toy")


@pytest.fixture(scope="session")
def params(toy):
    return toy.initial(seed=0)


@pytest.fixture(scope="session")
def batch(toy):
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (12, toy.inputs)), rng.integers(0, toy.outputs, 12)


#: A training run of a second.
QUICK = {"epochs": 2, "compare": 20, "data": {"digits": {"test_fraction": 0.8}}}
