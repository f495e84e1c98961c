"""How an experiment is handed over: by name, path or dict, with fields that change and arrays in the place of files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from . import _arrays
from ._arrays import Data, Parameters

#: What JSON holds: a dict.
Json: TypeAlias = dict[str, Any]
#: What tells of an experiment: the name of a shipped one, the path of its file, or a dict of the same shape.
Experiment: TypeAlias = "str | os.PathLike[str] | Mapping[str, Any]"

#: Fields of an experiment that name files of arrays, which may be handed over in their place.
_FILES = ("parameters", "batch")


@dataclass
class Described:
    """What the compiled part reads."""

    reference: str
    document: Json | None
    fields: Json
    arrays: dict[str, Parameters]
    data: Data | None
    folder: str | None


def named(what: str, value: Any) -> str:
    """The name or path of an experiment or a model, or how messages call a dict in its place."""
    if isinstance(value, Mapping):
        return f"the {what}"
    reference = os.fspath(value) if hasattr(value, "__fspath__") else value
    if not isinstance(reference, str):
        raise _arrays.refused(what, f"found {type(value).__name__}", f"the name of a shipped {what}, a path or a dict")
    return reference


def described(
    experiment: Experiment,
    document: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
    arrays: Mapping[str, Parameters] | None = None,
    data: Data | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Described:
    """An experiment with what changes it. Dicts of arrays in the place of `parameters` and `batch` stand for files."""
    if isinstance(experiment, Mapping):
        document = experiment
    reference = named("experiment", experiment)
    if fields is not None and not isinstance(fields, Mapping):
        raise _arrays.refused("overrides", f"found {type(fields).__name__}", "a dict of fields by their path, as {'epochs': 5}")
    given = dict(arrays or {})
    changed = [dict(part) if part is not None else None for part in (document, fields)]
    for part in changed:
        for name in _FILES:
            value = None if part is None else part.get(name)
            if part is not None and isinstance(value, Mapping):
                file = f"given-{name}.safetensors"
                given[file] = _arrays.named(value)
                part[name] = file
    place = None if folder is None else os.fspath(folder)
    return Described(reference, changed[0], changed[1] or {}, given, data, place)
