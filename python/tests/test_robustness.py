"""Ten thousand mutations without a crash, and memory that stays."""

import copy
import gc
import os
import random
import sys

import numpy as np
import pytest

import holograd as hg

VALUES = [
    None, True, False, 0, -1, 1, 2, 10**6, 2**63, -(2**63), 0.0, -0.5, 1e-300, 1e300, float("inf"), float("nan"), "", "adjoint",
    "toy", "a.b", "\ud800", "\0", [], {}, [1], [[1.0]], {"cauchy": {}}, {"oscillation": {"amplitude": 0.1, "period": 1e9}}, np.float32(3),
    np.arange(3), object(), b"bytes", 1j,
]  # fmt: skip


def places(value, path=()):
    """Every place in a value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def mutated(rng, document):
    document = copy.deepcopy(document)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        path = rng.choice(list(places(document)))
        if not path:
            continue
        holder = document
        for key in path[:-1]:
            holder = holder[key]
        what = rng.random()
        if what < 0.6:
            holder[path[-1]] = copy.deepcopy(rng.choice(VALUES))
        elif what < 0.8:
            del holder[path[-1]]
        elif isinstance(holder, dict):
            holder[rng.choice(["x", "", "seed", "model", "\ud800"])] = copy.deepcopy(rng.choice(VALUES))
        else:
            holder.append(copy.deepcopy(rng.choice(VALUES)))
    return document


LEGAL = (hg.Error, MemoryError, OSError, TypeError)


def test_ten_thousand_mutations_end_in_an_exception_or_a_result(toy, params, batch):
    rng = random.Random(0)
    documents = [hg.experiment(name) for name in ("digits", "gradient", "trace", "frequency", "digits_fast", "amplitude")]
    estimators = [{"cauchy": {"amplitude": 0.3, "points": 8}}, {"classic": {"amplitude": 0.1}}, {"staircase": {"amplitude": 0.3, "points": 4}}]
    outcomes = {"checked": 0, "estimated": 0, "refused": 0}
    for count in range(10_000):
        try:
            if count % 2:
                hg.check(mutated(rng, rng.choice(documents)))
                outcomes["checked"] += 1
            else:
                asked = {
                    "params": {name: p.tolist() for name, p in params.items()},
                    "x": batch[0][:2].tolist(),
                    "y": batch[1][:2].tolist(),
                    "estimator": rng.choice(["adjoint", *estimators]),
                }
                asked = mutated(rng, asked)
                if "period" in str(asked.get("estimator")) or "max_time" in str(asked.get("estimator")):
                    continue
                toy.gradient(**{"params": {}, "x": [], "y": [], **{k: v for k, v in asked.items() if k in ("params", "x", "y", "estimator")}}, diagnose=False)
                outcomes["estimated"] += 1
        except LEGAL as error:
            assert not isinstance(error, hg.InternalError), error
            outcomes["refused"] += 1
    assert outcomes["refused"] > 5000 and outcomes["checked"] > 100 and outcomes["estimated"] > 100, outcomes


def resident():
    with open("/proc/self/statm", encoding="ascii") as told:
        return int(told.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")
def test_memory_stays_over_ten_thousand_gradients(toy, params, batch):
    def work(count):
        for _ in range(count):
            toy.gradient(params, *batch, {"cauchy": {"amplitude": 0.3, "points": 6}}, diagnose=False)
        gc.collect()
        return resident()

    before = work(1000)
    after = work(10_000)
    assert after - before < 4 << 20, f"{(after - before) / 1024} KiB more"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")
def test_memory_stays_over_a_hundred_runs():
    fields = {"epochs": 1, "compare": 0, "data": {"digits": {"test_fraction": 0.95}}}

    def work(count):
        for _ in range(count):
            hg.run("digits", fields)
        gc.collect()
        return resident()

    before = work(30)
    after = work(100)
    assert after - before < 12 << 20, f"{(after - before) / 1024} KiB more"
