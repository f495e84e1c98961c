"""Every name of the module, used as it is typed: `mypy --strict` reads this file, and a test runs it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import holograd as hg


def networks(folder: Path) -> None:
    net: hg.Network = hg.Network(hg.models()[-1] if "toy" not in hg.models() else "toy")
    model: dict[str, Any] = net.model
    sizes: tuple[str, int, int, tuple[int, ...] | None] = (net.name, net.inputs, net.outputs, net.input_shape)
    layers: dict[str, int] = net.layers
    shapes: dict[str, tuple[int, ...]] = net.parameters
    params: dict[str, NDArray[Any]] = net.initial(seed=0, dtype=np.float64)
    x, y = np.zeros((2, net.inputs)), [0, 1]
    estimate: hg.Estimate = net.gradient(
        params, x, y, {"oscillation": {"amplitude": 0.3, "period": 40}}, imperfections=None, form="potential", seed=0,
        update=0, diagnose=True,
    )  # fmt: skip
    gradient: NDArray[Any] = estimate.gradient["h1.bias"]
    rates: NDArray[Any] = estimate.free["h1"] + estimate.error_vector["h1"]
    told: list[str] = estimate.warnings + [estimate.name, *estimate.estimator, *estimate.diagnostics, *estimate.nudged]
    assert estimate.quadrature is None or estimate.quadrature["h1.bias"].shape == gradient.shape
    assert estimate.network is net and estimate.samples == len(estimate.output_error) == len(rates)
    comparison: hg.Comparison = hg.compare(estimate, net.gradient(params, x, y))
    agreement: hg.Agreement = comparison.total
    numbers: list[float | None] = [comparison.cosine, comparison.relative_error, agreement.cosine, agreement.relative_error]
    trace: hg.Trace = net.trace(params, x[0], y[0], {"amplitude": 0.3, "period": 40, "periods": 2})
    complex_: list[NDArray[np.complex128]] = [trace.beta, trace.potentials, trace.rates, trace.harmonics]
    real: list[NDArray[np.float64]] = [trace.t, trace.running["cosine"]]
    assert trace.inputs is None and trace.neurons and trace.summary and comparison.synapses and comparison.parameters
    hg.save(folder / "p.safetensors", params)
    assert net.load(folder / "p.safetensors").keys() == shapes.keys()
    assert model and sizes and layers and told and numbers and complex_ and real


def runs(folder: Path) -> None:
    quick: dict[str, Any] = {"epochs": 1, "compare": 0, "data": {"digits": {"test_fraction": 0.9}}}
    assert hg.experiments()["digits"] and hg.check("digits", quick) and hg.experiment("digits", quick)
    x, y, x_test, y_test = hg.data("digits", quick)
    run: hg.Run = hg.run("digits", quick, out=folder / "run", data=(x, y, x_test, y_test), progress=False)
    opened: hg.Run = hg.open(folder / "run")
    metrics: hg.Metrics = opened.metrics
    column: NDArray[Any] = metrics.column("test_accuracy")
    figures: hg.Figures = opened.figures
    figure: hg.Figure = figures["training"]
    figure.save(folder / "training.png")
    parameters: dict[str, NDArray[Any]] = run.parameters
    names: list[str] = [*run.files, *run.lines, run.kind, figure.name, figure.svg, *run.tensors, *run.arrays, *run.json]
    assert run.summary and run.experiment and run.folder == folder / "run" and run.verify() and run.read("summary.json")
    saved: hg.Run = hg.run("digits", quick).save(folder / "saved")
    assert len(column) == 1 and parameters and names and saved and figure.png


def loops(folder: Path) -> None:
    trainer: hg.Trainer = hg.Trainer("toy", estimator="adjoint", optimiser={"sgd": {"learning_rate": 0.1}}, seed=0)
    step: hg.Step = trainer.step(np.zeros((2, 6)), [0, 1], rate=0.5)
    score: hg.Step = trainer.score(np.zeros((2, 6)), [0, 1])
    trainer.parameters = trainer.parameters
    trainer.save(folder / "t.safetensors")
    assert hg.Trainer.open(folder / "t.safetensors").updates == trainer.updates == 1
    assert step.loss + step.accuracy + step.samples + score.loss > 0 and trainer.rhs_evaluations and trainer.experiment
    base = hg.experiment("digits", {"epochs": 1, "compare": 0, "data": {"digits": {"test_fraction": 0.9}}})
    sweep: hg.Sweep = hg.sweep({"kind": "sweep", "experiment": base, "seeds": 2})
    results: list[dict[str, Any]] = [hg.run_point(point) for point in sweep.points()]
    collected: hg.Run = hg.collect(sweep, results)
    assert collected.summary["runs"] == len(sweep) == 2


def errors() -> None:
    error: hg.Error
    try:
        hg.Network("nothing of that name")
    except hg.ConfigError as found:
        error = found
        assert [found.file, found.path, found.found, found.expected] and error
    for kind in (hg.Diverged, hg.Unfinished):
        failed = kind("it did", "at t = 2.5 tau", "layer `a`, neuron 1, sample 0", "a pole", "lower it")
        times: tuple[float | None, str | None, int | None, int | None] = (failed.time, failed.layer, failed.neuron, failed.sample)
        assert times == (2.5, "a", 1, 0) and failed.moment and failed.place and failed.what and failed.advice
    assert issubclass(hg.InternalError, hg.Error) and hg.__version__


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        networks(Path(scratch))
        runs(Path(scratch))
        loops(Path(scratch))
        errors()
