"""The examples for clusters, each on two processes of this machine."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import holograd as hg

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    base = hg.experiment("digits", {"epochs": 1, "compare": 0, "data": {"digits": {"test_fraction": 0.9}}})
    document = {"kind": "sweep", "experiment": base, "vary": {"batch_size": [20, 50]}, "seeds": 2}
    path = tmp_path_factory.mktemp("sweep") / "sweep.json"
    path.write_text(json.dumps(document))
    return path, hg.run(path).summary["points"]


@pytest.mark.parametrize(
    ("module", "example", "more"),
    [("ray", "ray_sweep", []), ("distributed", "dask_sweep", []), ("submitit", "submitit_sweep", ["local"])],
)
def test_an_engine_makes_the_run_of_one_process(module, example, more, sweep, tmp_path):
    try:
        importlib.import_module(module)
    except ImportError:
        pytest.skip(f"{module} is not installed")
    path, points = sweep
    out = tmp_path / "out"
    command = [sys.executable, EXAMPLES / f"{example}.py", path, out, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "done by " in done.stdout, done.stdout
    run = hg.open(out)
    assert run.verify() and run.summary["points"] == points
