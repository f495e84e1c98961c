"""What a call from Python costs beside the same work in Rust.

    maturin develop --release --features timing && python benches/overhead.py

Rounds of both alternate; medians over the rounds, and of their ratios.
"""

import json
import statistics
import time

import numpy as np

import holograd as hg
from holograd import _holograd


def python_seconds(net, params, x, y, estimator, diagnose, repeats):
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        net.gradient(params, x, y, estimator, diagnose=diagnose)
        times.append(time.perf_counter() - begun)
    return times


def compare(title, net, dtype, samples, estimator, diagnose, repeats, rounds):
    params = net.initial(0, dtype)
    x = np.sin(np.arange(samples * net.inputs) * 0.37).astype(dtype).reshape(samples, net.inputs)
    y = np.arange(samples) % net.outputs
    single, text = dtype is np.float32, estimator if isinstance(estimator, str) else json.dumps(estimator)
    ours, theirs = [], []
    for _ in range(rounds):
        theirs.append(statistics.median(_holograd.rust_seconds(net._core, text, single, samples, diagnose, repeats)))
        ours.append(statistics.median(python_seconds(net, params, x, y, estimator, diagnose, repeats)))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    above = statistics.median(a - b for a, b in zip(ours, theirs, strict=True))
    print(f"{title}: Rust {1e6 * statistics.median(theirs):.1f} us, Python {1e6 * statistics.median(ours):.1f} us, "
          f"ratio {ratio:.3f}, {1e6 * above:.1f} us above")


if __name__ == "__main__":
    staircase = {"staircase": {"amplitude": 0.4, "points": 10, "hold": 30.0, "settle_periods": 2, "periods": 1}}
    net = hg.Network("mnist")
    compare("784-256-256-10, 20 samples, staircase of 900 steps", net, np.float32, 20, staircase, False, 5, 9)
    compare("toy, one sample, adjoint", hg.Network("toy"), np.float64, 1, "adjoint", False, 1000, 5)
    compare("toy, one sample, adjoint, diagnosed", hg.Network("toy"), np.float64, 1, "adjoint", True, 1000, 5)
