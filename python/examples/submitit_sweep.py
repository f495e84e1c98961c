"""A sweep as a job array of Slurm, or as processes of this machine where there is no Slurm:

    python submitit_sweep.py EXPERIMENT FOLDER [local]
"""

import os
import sys

import submitit

import holograd as hg


def main(experiment: str, folder: str, cluster: str | None = None) -> None:
    # A run of a sweep is done on one thread; jobs have the environment of whoever submits them.
    os.environ["RAYON_NUM_THREADS"] = "1"
    executor = submitit.AutoExecutor(folder=f"{folder}-jobs", cluster=cluster)
    executor.update_parameters(timeout_min=240, cpus_per_task=1, slurm_array_parallelism=100)
    sweep = hg.sweep(experiment)
    jobs = executor.map_array(hg.run_point, sweep.points())
    run = hg.collect(sweep, [job.result() for job in jobs]).save(folder)
    print("\n".join([*run.lines, f"done by submitit: {run}"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
