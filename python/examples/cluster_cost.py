"""How far a cluster goes, by a cost model: sweeps in shards, and the gradient of one batch divided among nodes.

    RAYON_NUM_THREADS=1 python cluster_cost.py FIGURE.svg

Times of a chunk of 10 samples are measured here, on one thread; what networks and file systems take are assumptions, all in this file.

* Data-parallel: a step takes the chunks of the busiest core, then a sum of the gradient over the nodes, by recursive halving and doubling
  2 log2(p) alpha + 2 (p - 1)/p m/bandwidth (Thakur, Rabenseifner and Gropp 2005), for m bytes.
* Sweeps: the runs of the busiest core, and what shards ask of the file system that they share, one operation after the other.
"""

import sys
import time

import matplotlib
import numpy as np

import holograd as hg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CHUNK = 10
CORES = 32
NODES = np.unique(np.round(np.logspace(0, 3, 61)).astype(int))
#: Seconds of a message, and bytes a second.
NETWORKS = {"InfiniBand (2 us, 12.5 GB/s)": (2e-6, 12.5e9), "Ethernet (30 us, 1.25 GB/s)": (30e-6, 1.25e9)}
#: Operations on names and small files in a second, of a file system that all share.
FILE_SYSTEM = 5_000
#: Operations of a run of a sweep (its line is opened, written, synchronised), and of a shard (counted with strace).
RUN, SHARD = 6, 80
STAIRCASE = {"staircase": {"amplitude": 0.4, "points": 10, "hold": 30.0, "settle_periods": 2, "periods": 1}}
SWEEP_RUNS, RUN_SECONDS = 10_000, (10.0, 600.0)


def measured(model, batch):
    """Seconds of a chunk, bytes of the gradient, and samples of a batch."""
    net = hg.Network(model)
    params = net.initial(0, np.float32)
    x = np.random.default_rng(0).uniform(0, 1, (CHUNK, net.inputs)).astype(np.float32)
    y = np.arange(CHUNK) % net.outputs
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        net.gradient(params, x, y, STAIRCASE, diagnose=False)
        seconds.append(time.perf_counter() - begun)
    return min(seconds), sum(p.nbytes for p in params.values()), batch


def step(nodes, network, seconds, size, batch):
    """Seconds of a step on so many nodes."""
    alpha, bandwidth = network
    chunks = batch // CHUNK
    busiest = np.ceil(chunks / (nodes * CORES))
    summed = np.where(nodes > 1, 2 * np.log2(nodes) * alpha + 2 * (nodes - 1) / nodes * size / bandwidth, 0.0)
    return busiest * seconds + summed


def sweep(nodes, seconds):
    """Seconds of a sweep, a shard a node."""
    busiest = np.ceil(SWEEP_RUNS / (nodes * CORES))
    # Every shard that ends looks once at the folder of all, whose names come by the hundred.
    operations = RUN * SWEEP_RUNS + SHARD * nodes + nodes * np.ceil(nodes / 100)
    return np.maximum(busiest * seconds, operations / FILE_SYSTEM)


def main(path):
    networks = {f"{model}, batch of {batch}": (model, batch) for model, batch in (("digits", 200), ("mnist", 200), ("mnist", 20_000))}
    fig, axes = plt.subplots(1, 2, figsize=(7.2, 3.0), layout="constrained")
    print("| network | chunk (ms) | gradient (MB) | nodes of half efficiency, InfiniBand | Ethernet |\n|---|---|---|---|---|")
    for (label, (model, batch)), colour in zip(networks.items(), ("C0", "C1", "C2"), strict=True):
        seconds, size, batch = measured(model, batch)
        halves = []
        for network, style in zip(NETWORKS.values(), ("-", "--"), strict=True):
            total = step(NODES, network, seconds, size, batch)
            one = batch / CHUNK * seconds / CORES
            axes[0].plot(NODES, one / total, style, color=colour, label=label if style == "-" else None)
            good = NODES[one / total >= 0.5 * NODES]
            halves.append(int(good.max()) if len(good) else 0)
        print(f"| {label} | {1e3 * seconds:.2f} | {size / 1e6:.2f} | {halves[0]} | {halves[1]} |")
    axes[0].plot(NODES, NODES, ":", color="0.6", lw=0.8)
    axes[0].set(xscale="log", yscale="log", xlabel=f"nodes of {CORES} cores", ylabel="speed-up of a step", title="one training")
    axes[0].legend(fontsize=6, title="solid InfiniBand, dashed Ethernet", title_fontsize=6)
    for seconds in RUN_SECONDS:
        total = sweep(NODES, seconds)
        axes[1].plot(NODES, SWEEP_RUNS / total, label=f"runs of {seconds:g} s")
        axes[1].plot(NODES, NODES * CORES / seconds, ":", color="0.6", lw=0.8)
    axes[1].set(xscale="log", yscale="log", xlabel=f"nodes of {CORES} cores", ylabel="runs a second", title=f"a sweep of {SWEEP_RUNS} runs")
    axes[1].legend(fontsize=6)
    fig.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1])
