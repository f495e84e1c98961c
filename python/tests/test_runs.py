"""Runs: in memory and in folders, the same bits as the command line, interruptions, threads, sweeps, trainers."""

import copy
import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import holograd as hg

from conftest import QUICK

ROOT = Path(__file__).resolve().parents[2]


def equal(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return hg.run("digits", QUICK, out=tmp_path_factory.mktemp("runs") / "digits")


def test_memory_and_folder_hold_the_same(kept, tmp_path):
    memory = hg.run("digits", QUICK)
    assert memory.folder is None and memory.lines and memory.kind == "train"
    assert equal(memory.parameters, kept.parameters)
    assert memory.experiment == kept.experiment
    timeless = lambda record: {k: v for k, v in record.items() if not k.endswith("seconds")}  # noqa: E731
    assert [timeless(r) for r in memory.metrics] == [timeless(r) for r in kept.metrics]
    assert timeless(memory.summary) == timeless(kept.summary)
    assert list(memory.metrics.column("epoch")) == [1, 2]
    assert set(memory.figures) == set(kept.figures) == {"training", "alignment"}
    figure = memory.figures["training"]
    assert figure._repr_png_().startswith(b"\x89PNG") and figure.svg == kept.figures["training"].svg
    figure.save(tmp_path / "training.svg")
    saved = memory.save(tmp_path / "saved")
    assert saved.verify() and kept.verify() and equal(saved.parameters, kept.parameters)
    with pytest.raises(hg.ConfigError, match="not empty"):
        memory.save(tmp_path / "saved")
    opened = hg.open(tmp_path / "saved")
    assert repr(opened).startswith("Run('train', ") and "test accuracy" in repr(opened) and "cosine " in repr(opened)
    assert "<table>" in opened._repr_html_()
    (tmp_path / "saved" / "summary.json").write_text("{")
    assert not opened.verify()
    with pytest.raises(hg.ConfigError, match="not JSON"):
        opened.summary


def test_runs_pickle_and_copy(kept):
    memory = hg.run("digits", QUICK)
    for run in (memory, kept):
        for copied in (pickle.loads(pickle.dumps(run)), copy.deepcopy(run)):
            assert repr(copied) == repr(run) and equal(copied.parameters, run.parameters)


def program():
    """The command line, built from the same sources."""
    path = os.environ.get("HOLOGRAD_PROGRAM")
    if not path:
        pytest.skip("HOLOGRAD_PROGRAM does not say where the command line is")
    return path


@pytest.mark.parametrize("fields", [QUICK, {}], ids=["two epochs", "as shipped"])
def test_the_command_line_gives_the_same_bits(fields, tmp_path):
    if not fields and "HOLOGRAD_LONG" not in os.environ:
        pytest.skip("HOLOGRAD_LONG is not set: the whole experiment takes minutes where neither is built for speed")
    sets = [f"--set={path}={json.dumps(value)}" for path, value in fields.items()]
    subprocess.run([program(), "run", "digits", "--quiet", "--out", tmp_path / "a", *sets], check=True)
    hg.run("digits", fields, out=tmp_path / "b")
    hashes = [hashlib.sha256((tmp_path / of / "parameters.safetensors").read_bytes()).hexdigest() for of in "ab"]
    assert hashes[0] == hashes[1]
    assert equal(hg.run("digits", fields).parameters, hg.open(tmp_path / "a").parameters)


def test_a_dict_says_what_a_file_says(toy, params, batch, tmp_path):
    document = {
        "kind": "gradient", "model": toy.model, "parameters": params, "batch": {"x": batch[0], "y": batch[1]},
        "estimators": {"truth": "adjoint", "c": {"cauchy": {"amplitude": 0.3, "points": 12}}},
    }  # fmt: skip
    run = hg.run(document)
    truth = toy.gradient(params, *batch).gradient
    for name, gradient in truth.items():
        np.testing.assert_array_equal(run.tensors["gradients"][f"truth/{name}"], gradient)
    assert run.json["comparison"]["c"]["total"]["cosine"] > 0.99999
    folder = hg.run(document, out=tmp_path / "g")
    assert (tmp_path / "g" / "given-batch.safetensors").is_file() and folder.verify()
    # The folder stands for itself: as a file it says the same.
    again = hg.run(tmp_path / "g" / "experiment.json")
    np.testing.assert_array_equal(again.tensors["gradients"]["c/h1.bias"], run.tensors["gradients"]["c/h1.bias"])


def test_samples_of_ones_own(tmp_path):
    x, y, x_test, y_test = hg.data("digits")
    assert x.shape == (1438, 64) and x_test.shape == (359, 64) and y.max() == 9
    fields = {"epochs": 2, "compare": 0, "schedule": "constant"}
    shipped = hg.run("digits", fields)
    own = hg.run("digits", fields, data=(x, y, x_test, y_test))
    assert equal(own.parameters, shipped.parameters)
    hot = np.eye(10)[y]
    assert equal(hg.run("digits", fields, data=(x.astype(">f8"), hot, x_test, y_test)).parameters, shipped.parameters)
    assert own.experiment["data"]["given"]["train"] == 1438
    # Of labels that do not have all classes the model knows.
    hg.run("digits", {**fields, "epochs": 1}, data=(x[y < 3], y[y < 3], x_test, y_test))
    # Goes on with the same samples alone.
    hg.run("digits", {**fields, "epochs": 1}, data=(x, y, x_test, y_test), out=tmp_path / "own")
    with pytest.raises(hg.ConfigError, match="another program has handed over"):
        hg.run("", {"epochs": 2}, out=tmp_path / "own", resume=True)
    with pytest.raises(hg.ConfigError, match="another value than the run began with"):
        hg.run("", {"epochs": 2}, out=tmp_path / "own", resume=True, data=(x + 1, y, x_test, y_test))
    on = hg.run("", {"epochs": 2}, out=tmp_path / "own", resume=True, data=(x, y, x_test, y_test))
    assert equal(on.parameters, shipped.parameters)


def test_samples_in_files(tmp_path):
    x, y, x_test, y_test = hg.data("digits")
    np.savez(tmp_path / "train.npz", x=x, y=y)
    np.savez_compressed(tmp_path / "test.npz", x=np.asfortranarray(x_test.astype(float)), y=np.eye(10, dtype=np.uint8)[y_test])
    fields = {"epochs": 1, "compare": 0}
    files = {"files": {"folder": str(tmp_path), "train": "train.npz", "test": "test.npz"}}
    shipped = hg.run("digits", fields)
    assert equal(hg.run("digits", {**fields, "data": files}).parameters, shipped.parameters)
    for name, array in (("x", x), ("y", y)):
        np.save(tmp_path / f"{name}.npy", array)
    pair = {"x": "x.npy", "y": "y.npy"}
    hg.save(tmp_path / "test.safetensors", {"x": x_test, "y": y_test})
    files = {"files": {"folder": str(tmp_path), "train": pair, "test": "test.safetensors"}}
    assert equal(hg.run("digits", {**fields, "data": files}).parameters, shipped.parameters)


def test_ctrl_c_ends_a_run_which_goes_on(tmp_path):
    """In a process of its own; the run is the longest that ships."""
    text = f"""
import signal, holograd as hg
# Whoever starts a program in the background may have it ignore the signal.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    hg.run("digits", {{"epochs": 400, "compare": 0, "schedule": "constant"}}, out={str(tmp_path / "run")!r})
except KeyboardInterrupt:
    print("interrupted", flush=True)
    print(len(hg.open({str(tmp_path / "run")!r}).metrics), flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.read_bytes().count(b"\n") >= 1):
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    begun = time.monotonic()
    assert child.stdout.readline() == "interrupted\n"
    assert time.monotonic() - begun < 1.0
    done = int(child.stdout.readline())
    assert child.wait(timeout=20) == 0
    assert done >= 1
    with pytest.raises(hg.ConfigError, match="as many or more"):
        hg.run("", {"epochs": 1}, out=tmp_path / "run", resume=True)
    run = hg.open(tmp_path / "run")
    assert "not complete" in repr(run) and run.summary == {}


def test_ctrl_c_ends_a_long_gradient():
    text = """
import numpy as np, time, threading, signal, os, holograd as hg
signal.signal(signal.SIGINT, signal.default_int_handler)
toy = hg.Network("toy")
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
begun = time.monotonic()
try:
    drive = {"oscillation": {"amplitude": 0.3, "period": 1e6, "integrator": {"euler": {"step": 0.1}}}}
    toy.gradient(toy.initial(), np.zeros((10, 6)), [0] * 10, drive)
except KeyboardInterrupt:
    print(time.monotonic() - begun < 1.5)
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120)
    assert done.stdout == "True\n", done.stderr


def test_python_goes_on_beside_a_run():
    """Two runs in two threads, and a third that counts."""
    results, count, over = {}, 0, threading.Event()

    def work(seed):
        results[seed] = hg.run("digits", {**QUICK, "seed": seed})

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        count += 1
        time.sleep(0.001)
    over.set()
    assert count > 10
    assert equal(results[0].parameters, hg.run("digits", QUICK).parameters)
    assert not equal(results[0].parameters, results[1].parameters)


def test_progress_is_told(capsys):
    hg.run("digits", {**QUICK, "epochs": 3}, progress=True)
    assert capsys.readouterr().out == ""


SWEEP = {
    "kind": "sweep",
    "experiment": {**hg.experiment("digits", {**QUICK, "epochs": 1, "compare": 0})},
    "vary": {"batch_size": [20, 50]},
    "seeds": 2,
}


def test_a_sweep_is_done_point_by_point():
    sweep = hg.sweep(SWEEP)
    points = sweep.points()
    assert len(points) == len(sweep) == 4 and points[0]["values"] == {"batch_size": 20}
    assert json.loads(json.dumps(points)) == points == pickle.loads(pickle.dumps(points))
    results = [hg.run_point(point) for point in reversed(points)]
    assert 0 < results[0]["measures"]["test_accuracy"] <= 1
    collected, whole = hg.collect(sweep, results), hg.run(SWEEP)
    assert collected.summary["points"] == whole.summary["points"]
    assert set(collected.figures) == set(whole.figures) and "batch_size" in repr(sweep)
    with pytest.raises(hg.ConfigError, match="found no result of task"):
        hg.collect(sweep, results[1:])
    with pytest.raises(hg.ConfigError, match="does not have"):
        hg.collect(sweep, [*results, {**results[0], "key": "0"}])
    with pytest.raises(hg.ConfigError, match="found 7"):
        hg.collect(sweep, [*results[1:], {**results[0], "seed": 7}])


def test_points_are_done_by_processes():
    """Forked after threads were in use, which a child does not have."""
    import multiprocessing

    hg.Network("toy").gradient(hg.Network("toy").initial(), [[0.0] * 6], [0])
    sweep = hg.sweep(SWEEP)
    points = sweep.points()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.map_async(hg.run_point, points).get(timeout=120)
    assert [r["key"] for r in results] == [p["key"] for p in points]


def test_a_trainer_does_what_a_run_does(batch):
    """The batches of an epoch in their order, which a run of one batch an epoch cannot change."""
    x, y, x_test, y_test = hg.data("digits", {"data": {"digits": {"test_fraction": 0.9}}})
    shipped = hg.experiment("digits", {"data": {"digits": {"test_fraction": 0.9}}})
    fields = {"epochs": 3, "batch_size": len(x), "compare": 0, "schedule": "constant", "data": shipped["data"]}
    run = hg.run("digits", fields)
    trainer = hg.Trainer(
        "digits", shipped["estimator"], shipped["optimiser"], learning_rates=shipped["learning_rates"], carry_state=True
    )
    # A run shows all samples in an order drawn from the seed; the order of summation is all that differs.
    losses = [trainer.step(x, y).loss for _ in range(3)]
    np.testing.assert_allclose(losses, run.metrics.column("train_loss"), rtol=1e-3)
    for name, array in run.parameters.items():
        np.testing.assert_allclose(trainer.parameters[name], array, atol=3e-3)
    score = trainer.score(x_test, y_test)
    assert abs(score.loss - run.summary["test_loss"]) < 1e-2 and score.samples == len(x_test)
    assert trainer.updates == 3 and trainer.rhs_evaluations > 0


def test_a_trainer_is_kept(toy, batch, tmp_path):
    drive = {"oscillation": {"amplitude": 0.3, "period": 60, "integrator": {"exponential_euler": {"step": 0.5}}}}
    trainer = hg.Trainer(toy, drive, {"sgd": {"learning_rate": 0.5, "momentum": 0.9}}, carry_state=True, imperfections="cmos", precision="f64")
    first = [trainer.step(*batch) for _ in range(3)]
    assert first[-1].samples == 12 and first[0].loss > 0
    trainer.save(tmp_path / "t.safetensors")
    copies = [hg.Trainer.open(tmp_path / "t.safetensors"), pickle.loads(pickle.dumps(trainer)), copy.deepcopy(trainer)]
    goes_on = trainer.step(*batch)
    for other in copies:
        assert other.step(*batch) == goes_on and equal(other.parameters, trainer.parameters)
        assert repr(other) == repr(trainer)
    assert "'oscillation'" in repr(trainer) and "4 updates" in repr(trainer)
    trainer.parameters = toy.initial(seed=5)
    assert trainer.step(*batch).loss != goes_on.loss


def test_learning_lowers_the_cost(toy, batch):
    trainer = hg.Trainer(toy, "adjoint", {"sgd": {"learning_rate": 1.0}})
    losses = [trainer.step(*batch).loss for _ in range(60)]
    assert losses[-1] < 0.8 * losses[0]


def test_what_ships_is_named():
    assert "digits" in hg.experiments() and "toy" in hg.models()
    assert "memory" in hg.check("digits")
    assert hg.experiment("digits", {"epochs": 7})["epochs"] == 7
