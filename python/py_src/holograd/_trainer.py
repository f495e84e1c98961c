"""A network that learns batch by batch, in a loop of one's own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _arrays, _holograd
from ._arrays import ArrayLike, Parameters
from ._describe import Json, described
from ._network import Network, _name

_DEFAULT = {"adam_w": {"learning_rate": 0.005}}


@dataclass(frozen=True)
class Step:
    """What a batch has shown before its update.

    Attributes:
        loss: mean cost.
        accuracy: share of correct answers, by the rates that the update was made of.
        samples: number of samples that were learnt from.
    """

    loss: float
    accuracy: float
    samples: int


class Trainer:
    """A network on its device, with an optimiser: what a `train` experiment does with each batch, in a loop of one's own.

    Args:
        network: the network, or what `Network` takes.
        estimator: as of `Network.gradient`.
        optimiser: as in experiment files, as ``{"sgd": {"learning_rate": 0.1}}``.
        parameters: what it starts from; by default drawn from the seed.
        **fields: further fields of a `train` experiment: ``seed``, ``precision`` (``"f32"`` by default), ``imperfections``,
            ``carry_state``, ``learning_rates``, ``rate_floor``, ``homeostasis``, …; those of data and epochs have no meaning here.
    """

    def __init__(
        self,
        network: Network | str | os.PathLike[str] | Mapping[str, Any],
        estimator: str | Mapping[str, Any] = "adjoint",
        optimiser: Mapping[str, Any] | None = None,
        parameters: Mapping[str, ArrayLike] | None = None,
        **fields: Any,
    ) -> None:
        self.network = network if isinstance(network, Network) else Network(network)
        for name in ("data", "epochs", "batch_size", "schedule", "compare"):
            if name in fields:
                raise _arrays.refused(name, "found it of a trainer", "steps are one's own: leave it out")
        document: Json = {
            "kind": "train",
            "model": self.network.model,
            "precision": "f32",
            # Nothing is learnt from these: the samples come step by step.
            "data": {"given": {"inputs": self.network.inputs, "classes": max(self.network.outputs, 2), "train": 1, "test": 1, "sha256": ""}},
            "estimator": estimator,
            "optimiser": _DEFAULT if optimiser is None else optimiser,
            "epochs": 1,
            "batch_size": 1,
            **fields,
        }
        self._core = _holograd.Trainer(self.network._core, described("the trainer", document))
        self._document = json.dumps(_holograd.resolved(described("the trainer", document)))
        if parameters is not None:
            self.parameters = dict(parameters)

    @property
    def _dtype(self) -> Any:
        return np.float32 if self._core.single else np.float64

    @property
    def parameters(self) -> Parameters:
        """The nominal parameters, an array for each name; set, they are written to the device."""
        parameters: Parameters = self._core.parameters()
        return parameters

    @parameters.setter
    def parameters(self, parameters: Mapping[str, ArrayLike]) -> None:
        self._core.set_parameters(_arrays.parameters(parameters, self._dtype)[0])

    @property
    def updates(self) -> int:
        """Updates so far."""
        return self._core.counters[0]

    @property
    def rhs_evaluations(self) -> int:
        """Evaluations of the right-hand side by the estimator so far."""
        return self._core.counters[1]

    @property
    def experiment(self) -> Json:
        """The `train` experiment that says how it learns, every default written out."""
        experiment: Json = json.loads(self._document)
        return experiment

    def step(self, x: ArrayLike, y: ArrayLike, rate: float = 1.0) -> Step:
        """Learns from one batch.

        Args:
            x: inputs, as of `Network.gradient`.
            y: labels or targets, as of `Network.gradient`.
            rate: factor on the learning rate.
        """
        network, dtype = self.network, self._dtype
        inputs = _arrays.inputs("x", x, network.inputs, network.input_shape, dtype)
        targets = _arrays.targets("y", y, len(inputs), network.outputs, network._classifies, dtype)
        factor = float(_arrays.taken("rate", rate).reshape(()))
        if not (np.isfinite(factor) and factor >= 0):
            raise _arrays.refused("rate", f"found {factor}", "a finite number, at least 0")
        return Step(*self._core.step(inputs, targets, factor))

    def score(self, x: ArrayLike, y: ArrayLike) -> Step:
        """Mean cost and accuracy at the free equilibrium, without learning.

        Args:
            x: inputs, as of `Network.gradient`; they are kept in single precision.
            y: class indices or one-hot rows.
        """
        inputs = _arrays.inputs("x", x, self.network.inputs, self.network.input_shape, np.float32)
        labels, _ = _arrays.classes("y", y, len(inputs))
        return Step(*self._core.score(inputs, labels), samples=len(inputs))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes all that evolves, from which `Trainer.open` goes on to the same bits: a safetensors file, in which the parameters are
        called ``parameter/NAME``."""
        _holograd.write_bytes(os.fspath(path), self._core.snapshot(self._document))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Trainer:
        """Goes on from a file that `save` wrote."""
        with open(path, "rb") as stream:
            return cls._restored(os.fspath(path), stream.read())

    @classmethod
    def _restored(cls, file: str, contents: bytes) -> Trainer:
        document = _holograd.note(file, contents)
        trainer = cls.__new__(cls)
        experiment = json.loads(document)
        trainer.network = Network(experiment["model"])
        trainer._document = document
        trainer._core = _holograd.Trainer(trainer.network._core, described(file, experiment))
        trainer._core.restore(file, contents)
        return trainer

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restored, (bytes(self._core.snapshot(self._document)),))

    def __repr__(self) -> str:
        experiment = self.experiment
        estimator, optimiser = _name(experiment["estimator"]), _name(experiment["optimiser"])
        return f"Trainer({self.network!r}, {estimator!r}, {optimiser!r}, {self.updates} updates)"


def _restored(contents: bytes) -> Trainer:
    return Trainer._restored("a pickled trainer", contents)
