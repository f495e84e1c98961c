"""A sweep on a Ray cluster, or on two processes of this machine:

    python ray_sweep.py EXPERIMENT FOLDER [ADDRESS]
"""

import sys

import ray

import holograd as hg


def main(experiment: str, folder: str, address: str | None = None) -> None:
    # A run of a sweep is done on one thread: what is parallel are the runs.
    environment = {"env_vars": {"RAYON_NUM_THREADS": "1"}}
    ray.init(address=address, num_cpus=None if address else 2, include_dashboard=False, runtime_env=environment)
    sweep = hg.sweep(experiment)
    work = ray.remote(num_cpus=1)(hg.run_point)
    results = ray.get([work.remote(point) for point in sweep.points()])
    run = hg.collect(sweep, results).save(folder)
    print("\n".join([*run.lines, f"done by Ray: {run}"]))
    ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
