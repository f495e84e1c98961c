"""A sweep on a Dask cluster, or on two processes of this machine:

    python dask_sweep.py EXPERIMENT FOLDER [ADDRESS]
"""

import os
import sys

from dask.distributed import Client, LocalCluster

import holograd as hg


def main(experiment: str, folder: str, address: str | None = None) -> None:
    # A run of a sweep is done on one thread: what is parallel are the runs. Workers elsewhere are started with this variable.
    os.environ["RAYON_NUM_THREADS"] = "1"
    cluster = address or LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with Client(cluster) as client:
        sweep = hg.sweep(experiment)
        # Not pure: what was done once before is done again.
        results = client.gather(client.map(hg.run_point, sweep.points(), pure=False))
    run = hg.collect(sweep, results).save(folder)
    print("\n".join([*run.lines, f"done by Dask: {run}"]))
    if not address:
        cluster.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
