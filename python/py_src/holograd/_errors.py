"""What can go wrong, by who has to act on it."""

from __future__ import annotations

import re
from typing import Any


class Error(Exception):
    """What holograd finds; the base of its exceptions."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuilt, (type(self), self.args, self.__dict__))


def _rebuilt(kind: type[Error], arguments: tuple[Any, ...], fields: dict[str, Any]) -> Error:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(fields)
    return error


class ConfigError(Error, ValueError):
    """Something that was given cannot be used: a configuration, a model, an array or a file.

    Attributes:
        file: the file at fault, or what stands in its place.
        path: the path inside the file or dict, as ``estimator.oscillation.period``; empty for the whole.
        found: what was found there.
        expected: what would have been legal, or what to do.
    """

    def __init__(self, message: str, file: str = "", path: str = "", found: str = "", expected: str = "") -> None:
        super().__init__(message)
        self.file = file
        self.path = path
        self.found = found
        self.expected = expected


class _Failed(Error, ArithmeticError):
    """A simulation that came to no result.

    Attributes:
        moment: when, as ``in epoch 3, batch 12, before t = 41.5 tau``.
        place: where, as ``layer `h2`, neuron 17, sample 4``.
        what: what was seen.
        advice: what to change.
        time: the time in units of tau; None where it is not known.
        layer: the name of the layer; None where it is not known.
        neuron: the neuron in its layer, from 0; None where it is not known.
        sample: the sample in its batch, from 0; None where it is not known.
    """

    def __init__(self, message: str, moment: str = "", place: str = "", what: str = "", advice: str = "") -> None:
        super().__init__(message)
        self.moment = moment
        self.place = place
        self.what = what
        self.advice = advice
        time = re.search(r"t = (\S+) tau", moment)
        layer = re.search(r"layer `(.*)`, neuron", place)
        neuron = re.search(r"neuron (\d+)", place)
        sample = re.search(r"sample (\d+)", place)
        self.time = float(time[1]) if time else None
        self.layer = layer[1] if layer else None
        self.neuron = int(neuron[1]) if neuron else None
        self.sample = int(sample[1]) if sample else None


class Diverged(_Failed):
    __doc__ = (_Failed.__doc__ or "").replace("that came to no result", "that left the region where the network is stable")


class Unfinished(_Failed):
    __doc__ = (_Failed.__doc__ or "").replace("that came to no result", "that was given up, though nothing had diverged")


class InternalError(Error, RuntimeError):
    """A broken promise of holograd itself; please report it."""
