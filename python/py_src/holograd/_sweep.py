"""Sweeps, run by run: for whoever has many machines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from . import _arrays, _holograd
from ._describe import Experiment, Json, described
from ._run import Run


class Sweep:
    """A sweep whose runs are done one by one, in any process.

    Args:
        experiment: as of `run`, of kind ``sweep``.
        overrides: as of `run`.
    """

    def __init__(self, experiment: Experiment, overrides: Mapping[str, Any] | None = None) -> None:
        self._asked = described(experiment, fields=overrides)
        self._points: list[Json] = _holograd.tasks(self._asked)

    def points(self) -> list[Json]:
        """All of its runs, in the order of the grid: dicts that pickle and have a form in JSON, for `run_point`."""
        return [dict(point) for point in self._points]

    def __len__(self) -> int:
        return len(self._points)

    def __repr__(self) -> str:
        axes = ", ".join(self._points[0]["values"]) if self._points else ""
        return f"Sweep({self._asked.reference!r}, {len(self)} runs over {axes or 'seeds'})"


def sweep(experiment: Experiment, overrides: Mapping[str, Any] | None = None) -> Sweep:
    """A sweep whose runs are done one by one; `run` does all of them.

    Args:
        experiment: as of `run`, of kind ``sweep``.
        overrides: as of `run`.
    """
    return Sweep(experiment, overrides)


def run_point(point: Mapping[str, Any], *, data_folder: str | os.PathLike[str] | None = None) -> Json:
    """Does one run of a sweep; a simulation that diverges is a result.

    Args:
        point: one of `Sweep.points`.
        data_folder: where data sets are looked for first.

    Returns:
        Its record, a dict with ``measures``, for `collect`.
    """
    if not isinstance(point, Mapping):
        raise _arrays.refused("point", f"found {type(point).__name__}", "one of the points of a sweep")
    record: Json = _holograd.perform(dict(point), None if data_folder is None else os.fspath(data_folder))
    return record


def collect(of: Sweep, results: Iterable[Mapping[str, Any]]) -> Run:
    """Puts the results of all runs together: the same run that `run` would have returned.

    Args:
        of: the sweep.
        results: what `run_point` has returned for each point, in any order.
    """
    if not isinstance(of, Sweep):
        raise _arrays.refused("of", f"found {type(of).__name__}", "the sweep")
    files, lines = _holograd.collect(of._asked, [dict(result) for result in results])
    return Run._of(files, lines)
