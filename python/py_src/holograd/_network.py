"""Networks, estimates of their gradients and traces of their oscillation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _arrays, _holograd
from ._arrays import ArrayLike, Parameters
from ._describe import Json, described, named


class Network:
    """A network: a model that is validated and sized.

    Args:
        model: the name of a shipped model (`hg.models()`), the path of a model file, or a dict of the same shape.
    """

    def __init__(self, model: str | os.PathLike[str] | Mapping[str, Any]) -> None:
        self._core = _holograd.Network(named("model", model), dict(model) if isinstance(model, Mapping) else None)
        self._inputs, shape, self._outputs = self._core.sizes
        self._shape = None if shape is None else tuple(shape)
        self._classifies = self._core.classifies

    @property
    def model(self) -> Json:
        """The model as a dict, every default written out."""
        model: Json = self._core.model()
        return model

    @property
    def name(self) -> str:
        """The name that the model has."""
        return str(self.model["name"])

    @property
    def inputs(self) -> int:
        """Number of inputs of a sample."""
        return self._inputs

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """Height, width and channels, where a sample is an image."""
        return self._shape

    @property
    def outputs(self) -> int:
        """Number of outputs: classes, or neurons of the last layer."""
        return self._outputs

    @property
    def layers(self) -> dict[str, int]:
        """Number of neurons of each layer, by name."""
        return dict(self._core.layers)

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter, by name: weights are [receivers, senders], biases [neurons]."""
        return {name: tuple(shape) for name, shape in self._core.shapes}

    def initial(self, seed: int = 0, dtype: Any = np.float64) -> Parameters:
        """Initial parameters, drawn from a seed as a run draws them.

        Args:
            seed: the seed.
            dtype: float32 or float64; what they are computed in later follows from it.

        Returns:
            An array for each name of `parameters`.
        """
        parameters: Parameters = self._core.initial(_seed("seed", seed), _single(dtype))
        return parameters

    def load(self, path: str | os.PathLike[str], dtype: Any = np.float64) -> Parameters:
        """The parameters of a safetensors file, checked against the network.

        Args:
            path: the file, as a run's ``parameters.safetensors``.
            dtype: float32 or float64.
        """
        file = os.fspath(path)
        with open(file, "rb") as stream:
            contents = stream.read()
        parameters: Parameters = _holograd.read_parameters(self._core, file, contents, _single(dtype))
        return parameters

    def gradient(
        self,
        params: Mapping[str, ArrayLike],
        x: ArrayLike,
        y: ArrayLike,
        estimator: str | Mapping[str, Any] = "adjoint",
        *,
        imperfections: str | Mapping[str, Any] | None = None,
        form: str = "potential",
        seed: int = 0,
        update: int = 0,
        diagnose: bool = True,
    ) -> Estimate:
        """Estimates the gradient of the mean cost over a batch.

        Args:
            params: an array for each parameter. If all are of float32 (or less) so is the computation, else it is of float64.
            x: inputs, [samples, inputs], or images [samples, height, width, channels]; one sample may stand alone. In C order and of
                the type of the parameters they are read where they lie.
            y: class indices [samples], or targets [samples, outputs]: one-hot rows, probabilities, or values of a squared error.
            estimator: a name, as ``"adjoint"``, or a dict as in experiment files, as
                ``{"oscillation": {"amplitude": 0.3, "period": 100}}``; periods in units of tau.
            imperfections: a preset, as ``"cmos"``, or a dict as in experiment files.
            form: which variable the neurons integrate, ``"potential"`` or ``"rate"``.
            seed: seed of the noise.
            update: number of the weight update: every update has noise of its own.
            diagnose: whether to spend evaluations on diagnostics that the gradient does not need.
        """
        given, dtype = _arrays.parameters(params)
        inputs = _arrays.inputs("x", x, self._inputs, self._shape, dtype)
        targets = _arrays.targets("y", y, len(inputs), self._outputs, self._classifies, dtype)
        parts = self._core.gradient(
            given, inputs, targets, dtype is np.float32, estimator, imperfections, form, _seed("seed", seed),
            _seed("update", update), bool(diagnose),
        )  # fmt: skip
        return Estimate(network=self, samples=len(inputs), **parts)

    def trace(
        self,
        params: Mapping[str, ArrayLike],
        x: ArrayLike,
        y: ArrayLike,
        drive: Mapping[str, Any],
    ) -> Trace:
        """Watches one sample oscillate, from rest.

        Args:
            params: an array for each parameter; they are computed with in float64.
            x: the inputs of the sample, [inputs].
            y: its class index, or its targets [outputs].
            drive: fields of a `trace` experiment: ``{"amplitude": 0.3, "period": 40, "periods": 6}``, and perhaps ``integrator``,
                ``imperfections``, ``waveform``, ``seed``, ``neurons``.
        """
        inputs = _arrays.inputs("x", x, self.inputs, self.input_shape, np.float64)
        targets = _arrays.targets("y", y, len(inputs), self.outputs, self._classifies, np.float64)
        if len(inputs) != 1:
            raise _arrays.refused("x", f"found {len(inputs)} samples", "one sample")
        if not isinstance(drive, Mapping):
            raise _arrays.refused("drive", f"found {type(drive).__name__}", "a dict of the fields of a trace experiment")
        # The file of a batch holds what a network takes for inputs: an image has its shape there.
        shape = (1, *self.input_shape) if self.input_shape else (1, self.inputs)
        arrays = {"parameters": _arrays.parameters(params, np.float64)[0], "batch": {"x": inputs.reshape(shape), "y": targets}}
        document = {"kind": "trace", "model": self.model, **drive, **{name: f"{name}.safetensors" for name in arrays}}
        files = {f"{name}.safetensors": of for name, of in arrays.items()}
        from ._run import Run

        _, contents, lines = _holograd.run(described("the trace", document, arrays=files), None, False, None)
        return Trace._of(Run._of(contents, lines))

    def __repr__(self) -> str:
        layers = "-".join(str(size) for size in self.layers.values())
        numbers = sum(int(np.prod(shape)) for shape in self.parameters.values())
        return f"Network({self.name!r}, {self.inputs} inputs, layers {layers}, {self.outputs} outputs, {numbers} parameters)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Network) and self.model == other.model

    def __hash__(self) -> int:
        return hash((self.name, self.inputs, self.outputs))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Network, (self.model,))


@dataclass(repr=False, eq=False)
class Estimate:
    """What an estimator returns. Gradients are of the mean cost over the batch, keyed and shaped as the parameters.

    Attributes:
        network: the network.
        samples: number of samples.
        gradient: the gradient.
        quadrature: the imaginary part of a complex estimate, zero where it is unbiased; None where there is none.
        free: rates of the free equilibrium that the estimator believes in, [samples, neurons] for each layer.
        error_vector: the response of the rates per unit of the teaching signal, [samples, neurons] for each layer.
        output_error: outputs less targets at the free equilibrium, [samples, outputs].
        nudged: rates of nudged equilibria where any were visited, [points, rails, samples, neurons] for each layer; rail 0 is the
            real part, rail 1 the imaginary one.
        warnings: what a careful reader would object to.
        diagnostics: how the estimate came about; rates in 1/tau.
        estimator: the estimator, every default written out.
    """

    network: Network
    samples: int
    gradient: Parameters
    quadrature: Parameters | None
    free: dict[str, NDArray[Any]]
    error_vector: dict[str, NDArray[Any]]
    output_error: NDArray[Any]
    nudged: dict[str, NDArray[Any]]
    warnings: list[str]
    diagnostics: Json
    estimator: Json

    @property
    def name(self) -> str:
        """The name of the estimator."""
        return _name(self.estimator)

    def compare(self, truth: Estimate | Mapping[str, ArrayLike]) -> Comparison:
        """How close it is to another gradient; see `holograd.compare`."""
        return compare(self, truth)

    def __repr__(self) -> str:
        numbers = sum(array.size for array in self.gradient.values())
        dtype = next(iter(self.gradient.values())).dtype
        warned = f", {len(self.warnings)} warnings" if self.warnings else ""
        return (
            f"Estimate({self.name!r}, {self.network.name!r}, {self.samples} samples, gradient of {numbers} numbers in {dtype}, "
            f"{self.diagnostics['rhs_evaluations']} evaluations{warned})"
        )


@dataclass(frozen=True)
class Agreement:
    """How close one gradient is to another.

    Attributes:
        cosine: cosine of the angle between the two; None if either is zero.
        relative_error: norm of the difference over that of the truth; None if the truth is zero.
    """

    cosine: float | None
    relative_error: float | None

    def __repr__(self) -> str:
        cosine = "-" if self.cosine is None else f"{self.cosine:.9f}"
        error = "-" if self.relative_error is None else f"{self.relative_error:.2e}"
        return f"Agreement(cosine={cosine}, relative_error={error})"


@dataclass(frozen=True, repr=False)
class Comparison:
    """Agreement of two gradients.

    Attributes:
        total: that of the whole gradient.
        synapses: that of the weights between layers, which the oscillation teaches.
        parameters: that of each parameter, by name.
    """

    total: Agreement
    synapses: Agreement
    parameters: dict[str, Agreement] = field(default_factory=dict)

    @property
    def cosine(self) -> float | None:
        """Cosine of the whole gradient."""
        return self.total.cosine

    @property
    def relative_error(self) -> float | None:
        """Relative error of the whole gradient."""
        return self.total.relative_error

    def __repr__(self) -> str:
        rows = [("total", self.total), ("between layers", self.synapses), *self.parameters.items()]
        width = max(len(name) for name, _ in rows)
        lines = [f"  {name:{width}}  {str(of)[len('Agreement('):-1]}" for name, of in rows]
        return "\n".join(["Comparison(", *lines, ")"])


def compare(estimate: Estimate, truth: Estimate | Mapping[str, ArrayLike]) -> Comparison:
    """How close a gradient is to another: cosine and relative error, in total and for each parameter.

    Args:
        estimate: an estimate.
        truth: what it is compared with: an estimate, as by ``"adjoint"``, or a gradient as a dict of arrays.
    """
    if not isinstance(estimate, Estimate):
        raise _arrays.refused("estimate", f"found {type(estimate).__name__}", "an estimate, as Network.gradient returns it")
    other = truth.gradient if isinstance(truth, Estimate) else truth
    gradients = [_arrays.parameters(gradient, np.float64)[0] for gradient in (estimate.gradient, other)]
    table = estimate.network._core.compare(*gradients)
    parameters = {name: Agreement(**of) for name, of in table["parameters"].items()}
    return Comparison(Agreement(**table["total"]), Agreement(**table["synapses"]), parameters)


@dataclass(repr=False, eq=False)
class Trace:
    """One sample that oscillates.

    Attributes:
        t: time of each tick in units of tau, [ticks].
        beta: the teaching signal, complex, [ticks].
        potentials: complex, [ticks, neurons].
        rates: complex, [ticks, neurons].
        harmonics: Fourier coefficients of the potentials over the last period, complex, [neurons, harmonics]: 0, 1, 2 … and then the
            negative ones, as `numpy.fft` has them.
        neurons: names of the neurons, as ``h2[0]``.
        inputs: the inputs where they move, [ticks, inputs]; else None.
        running: time, cosine and relative error of a lock-in over the period that ends there, by the names ``t``, ``cosine`` and
            ``relative_error``.
        summary: what sums it up.
    """

    t: NDArray[np.float64]
    beta: NDArray[np.complex128]
    potentials: NDArray[np.complex128]
    rates: NDArray[np.complex128]
    harmonics: NDArray[np.complex128]
    neurons: list[str]
    inputs: NDArray[np.float64] | None
    running: dict[str, NDArray[np.float64]]
    summary: Json

    @classmethod
    def _of(cls, run: Any) -> Trace:
        arrays = run.arrays["trace"]

        def planar(name: str) -> NDArray[np.complex128]:
            whole: NDArray[np.complex128] = arrays[f"{name}_re"] + 1j * arrays[f"{name}_im"]
            return whole

        running = {"t": "time", "cosine": "cosine", "relative_error": "relative_error"}
        return cls(
            t=arrays["time"],
            beta=planar("beta"),
            potentials=planar("potential"),
            rates=planar("rate"),
            harmonics=planar("spectrum"),
            neurons=run.json["neurons"]["neurons"],
            inputs=arrays.get("input"),
            running={key: arrays[f"running_{name}"] for key, name in running.items()},
            summary=run.summary,
        )

    def __repr__(self) -> str:
        cosine = self.summary.get("cosine")
        told = "-" if cosine is None else f"{cosine:.6f}"
        return f"Trace({len(self.t)} ticks to t = {self.t[-1]:g} tau, {len(self.neurons)} neurons, cosine {told} in the last period)"


def _name(choice: Any) -> str:
    return str(choice if isinstance(choice, str) else next(iter(choice)))


def _single(dtype: Any) -> bool:
    try:
        kind = np.dtype(dtype)
    except TypeError as error:
        raise _arrays.refused("dtype", f"found {dtype!r}", "float32 or float64") from error
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise _arrays.refused("dtype", f"found {kind}", "float32 or float64")
    return bool(kind == np.dtype(np.float32))


def _seed(path: str, seed: Any) -> int:
    try:
        number = int(seed.__index__())
    except AttributeError as error:
        raise _arrays.refused(path, f"found {seed!r}", "an integer from 0 on") from error
    if not 0 <= number < 2**64:
        raise _arrays.refused(path, f"found {number}", "an integer from 0 on, below 2**64")
    return number
