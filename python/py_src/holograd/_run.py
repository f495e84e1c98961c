"""Runs: experiments that are done, in a folder or in memory."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _arrays, _holograd
from ._arrays import ArrayLike, Parameters
from ._describe import Experiment, Json, described
from ._errors import ConfigError
from ._progress import shown

_EXPERIMENT, _SUMMARY, _METRICS, _LEARNT = "experiment.json", "summary.json", "metrics.jsonl", "parameters.safetensors"


class Run:
    """A run: the files of its folder, or the same in memory. It pickles, and shows itself in a notebook."""

    def __init__(self, folder: Path | None, files: dict[str, bytes], lines: list[str]) -> None:
        self._folder = folder
        self._files = files
        self._lines = lines
        self._figures: Figures | None = None

    @classmethod
    def _of(cls, files: Mapping[str, bytes], lines: list[str]) -> Run:
        return cls(None, dict(files), lines)

    @property
    def folder(self) -> Path | None:
        """The folder; None in memory."""
        return self._folder

    @property
    def files(self) -> list[str]:
        """The names of all files, without those of figures in memory."""
        if self._folder is None:
            return sorted(self._files)
        below = (path for path in self._folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        return sorted(path.relative_to(self._folder).as_posix() for path in below)

    def read(self, name: str) -> bytes:
        """The contents of a file.

        Args:
            name: its name, as ``summary.json``.
        """
        if self._folder is not None:
            return (self._folder / name).read_bytes()
        if name not in self._files:
            raise FileNotFoundError(f"{name}: the run has no such file, only {', '.join(self.files)}")
        return self._files[name]

    def _has(self, name: str) -> bool:
        return (self._folder / name).is_file() if self._folder is not None else name in self._files

    def _json(self, name: str) -> Any:
        try:
            return json.loads(self.read(name))
        except ValueError as error:
            where = str(self._folder / name) if self._folder else name
            found, expected = f"not JSON: {error}", "a file written by holograd"
            raise ConfigError(f"{where}: {found}; {expected}", where, "", found, expected) from error

    @property
    def experiment(self) -> Json:
        """The experiment, every default written out."""
        experiment: Json = self._json(_EXPERIMENT)
        return experiment

    @property
    def kind(self) -> str:
        """The kind of experiment, as ``train``."""
        return str(self.experiment["kind"])

    @property
    def summary(self) -> Json:
        """The headline numbers; empty while the run is not complete."""
        summary: Json = self._json(_SUMMARY) if self._has(_SUMMARY) else {}
        return summary

    @property
    def metrics(self) -> Metrics:
        """The records of the run: one an epoch, a point or a run of a sweep."""
        if not self._has(_METRICS):
            return Metrics()
        # A last line without an end is being written, or was when a process was killed.
        whole = [line for line in self.read(_METRICS).decode().splitlines(keepends=True) if line.endswith("\n")]
        return Metrics(json.loads(line) for line in whole)

    @property
    def parameters(self) -> Parameters:
        """What was learnt: an array for each parameter; empty where the kind learns nothing."""
        return self.tensors.get(_LEARNT.removesuffix(".safetensors"), {})

    @property
    def tensors(self) -> dict[str, Parameters]:
        """The arrays of each safetensors file, by its name without the ending; a network's input and a trained run's parameters among
        them."""
        found = {}
        for name in self.files:
            if name.endswith(".safetensors"):
                arrays, _ = _holograd.read_tensors(name, self.read(name))
                found[name.removesuffix(".safetensors")] = arrays
        return found

    @property
    def arrays(self) -> dict[str, Parameters]:
        """The arrays of each npz file, by its name without the ending; their units and axes are in `json` under ``NAME.units``."""
        found = {}
        for name in self.files:
            if name.endswith(".npz"):
                with np.load(io.BytesIO(self.read(name))) as archive:
                    found[name.removesuffix(".npz")] = dict(archive)
        return found

    @property
    def json(self) -> dict[str, Any]:
        """What each JSON file holds, by its name without the ending."""
        return {name.removesuffix(".json"): self._json(name) for name in self.files if name.endswith(".json")}

    @property
    def lines(self) -> list[str]:
        """What the command line says of the run; empty for one that was opened."""
        return list(self._lines)

    @property
    def figures(self) -> Figures:
        """The figures by name, as ``training``. Those of a run in memory are drawn when they are first asked for."""
        if self._figures is None:
            if self._folder is not None:
                paths = sorted(self._folder.glob("*.svg"))
                self._figures = Figures((path.stem, Figure.read(path)) for path in paths)
            else:
                with tempfile.TemporaryDirectory(prefix="holograd-") as scratch:
                    self._write(Path(scratch))
                    _holograd.draw(scratch)
                    paths = sorted(Path(scratch).glob("*.svg"))
                    self._figures = Figures((path.stem, Figure.read(path)) for path in paths)
        return self._figures

    def _write(self, folder: Path) -> None:
        for name, contents in self._files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents)

    def save(self, folder: str | os.PathLike[str]) -> Run:
        """Writes a run in memory into a folder, with its figures and checksums, as if it had gone there at once.

        Args:
            folder: a folder that does not exist yet, or is empty.

        Returns:
            The run in the folder.
        """
        path = Path(folder)
        if self._folder is not None:
            raise _arrays.refused("folder", f"found a run that lies in {self._folder}", "a run in memory")
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise _arrays.refused("folder", f"found {path}, which is not empty", "a folder that does not exist yet")
        path.mkdir(parents=True, exist_ok=True)
        self._write(path)
        _holograd.draw(path)
        seconds = float(self.summary.get("wall_seconds", 0.0))
        _holograd.complete(path, seconds, int(self.experiment.get("seed", 0)))
        return Run(path, {}, self._lines)

    def verify(self) -> bool:
        """Whether all files of a run in a folder are as the run wrote them; raises `ConfigError` where it is not complete."""
        if self._folder is None:
            return True
        _, changed, missing, _ = _holograd.verify(self._folder)
        return not changed and not missing

    def to_pandas(self) -> Any:
        """The records as a data frame of pandas."""
        return self.metrics.to_pandas()

    def __repr__(self) -> str:
        summary = self.summary
        parts = [repr(self.kind), "in memory" if self._folder is None else str(self._folder)]
        if not summary:
            parts.append("not complete")
        for name, label in (("test_accuracy", "test accuracy"), ("train_accuracy", "train accuracy")):
            if isinstance(summary.get(name), float):
                parts.append(f"{label} {100 * summary[name]:.2f} %")
        if isinstance(summary.get("estimator"), str):
            parts.append(summary["estimator"])
        if isinstance(summary.get("cosine"), float):
            parts.append(f"cosine {summary['cosine']:.4f}")
        parts.append(f"{len(self.metrics)} records")
        return f"Run({', '.join(parts)})"

    def _repr_html_(self) -> str:
        from html import escape

        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{escape(_short(value))}</td></tr>"
            for name, value in self.summary.items()
            if isinstance(value, (str, int, float))
        )
        drawn = "".join(figure._repr_html_() for figure in self.figures.values()) if self.summary else ""
        return f"<p>{escape(repr(self))}</p><table>{rows}</table>{drawn}"


class Metrics(list[Json]):
    """Records in their order, each a dict."""

    def column(self, name: str) -> NDArray[Any]:
        """A field of all records, not a number where it is null.

        Args:
            name: the field, as ``test_accuracy``.
        """
        if not any(name in record for record in self):
            known = ", ".join(self[0]) if self else "none"
            raise _arrays.refused("name", f"found {name!r}", f"the fields of the records are {known}")
        column = [record.get(name) for record in self]
        numbers = all(value is None or isinstance(value, (int, float)) for value in column)
        return np.array([np.nan if value is None else value for value in column] if numbers else column)

    def to_pandas(self) -> Any:
        """A data frame of pandas, a row a record."""
        import pandas  # type: ignore[import-untyped,unused-ignore]

        return pandas.DataFrame(list(self))


class Figure:
    """A figure, as SVG and PNG."""

    def __init__(self, name: str, svg: str, png: bytes) -> None:
        self.name = name
        self.svg = svg
        self.png = png

    @classmethod
    def read(cls, path: Path) -> Figure:
        """The figure in an SVG file and the PNG file beside it."""
        png = path.with_suffix(".png")
        return cls(path.stem, path.read_text(encoding="utf-8"), png.read_bytes() if png.exists() else b"")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes it, as PNG or SVG by the ending of the path."""
        place = Path(path)
        if place.suffix not in (".svg", ".png"):
            raise _arrays.refused("path", f"found a path that ends in {place.suffix!r}", ".svg or .png")
        place.write_bytes(self.svg.encode() if place.suffix == ".svg" else self.png)

    def _repr_png_(self) -> bytes:
        return self.png

    def _repr_html_(self) -> str:
        from base64 import b64encode

        return f'<img alt="{self.name}" style="max-width: 100%" src="data:image/png;base64,{b64encode(self.png).decode()}">'

    def __repr__(self) -> str:
        return f"Figure({self.name!r}, {len(self.png)} bytes of PNG)"


class Figures(Mapping[str, Figure]):
    """Figures by name."""

    def __init__(self, figures: Any) -> None:
        self._figures: dict[str, Figure] = dict(figures)

    def __getitem__(self, name: str) -> Figure:
        if name not in self._figures:
            raise KeyError(f"{name!r}: the run has {', '.join(self._figures) or 'no figures'}")
        return self._figures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __len__(self) -> int:
        return len(self._figures)

    def __repr__(self) -> str:
        return f"Figures({', '.join(self._figures)})"

    def _repr_html_(self) -> str:
        return "".join(figure._repr_html_() for figure in self._figures.values())


def run(
    experiment: Experiment,
    overrides: Mapping[str, Any] | None = None,
    *,
    out: str | os.PathLike[str] | bool | None = None,
    data: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike] | None = None,
    data_folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: bool | None = None,
) -> Run:
    """Runs an experiment. Ctrl-C ends it within a second, and what is in a folder may be resumed.

    Args:
        experiment: the name of a shipped experiment (`hg.experiments()`), the path of its file, or a dict of the same shape, whose
            ``parameters`` and ``batch`` may be dicts of arrays. Paths in a dict start at the current directory.
        overrides: fields by their path, as ``{"epochs": 5, "estimator.oscillation.period": 60}``.
        out: a folder for the results; True for the next of ``runs/NAME``; None for memory.
        data: samples of one's own: (x_train, y_train, x_test, y_test), x [samples, inputs] or [samples, height, width, channels], which
            are kept in single precision; y class indices or one-hot rows.
        data_folder: where data sets are looked for first.
        resume: whether the run in the folder `out` goes on; overrides may then ask for more epochs, and nothing else.
        progress: whether to show a progress bar: that of tqdm if it is there, else lines. By default in a notebook or on a terminal.
    """
    if resume:
        if out is None or isinstance(out, bool):
            raise _arrays.refused("out", f"found {out!r} with resume", "the folder of the run that is to go on")
        folder = Path(out)
        asked = described(str(folder / _EXPERIMENT), fields=overrides, data=_own(data, None), folder=data_folder)
        with shown(progress) as bar:
            return Run(folder, {}, _holograd.resume(folder, asked, bar))
    outputs = None if data is None else _outputs(experiment, overrides)
    asked = described(experiment, fields=overrides, data=_own(data, outputs), folder=data_folder)
    place = None if out is None or isinstance(out, bool) else os.fspath(out)
    with shown(progress) as bar:
        path, files, lines = _holograd.run(asked, place, out is True, bar)
    return Run._of(files, lines) if path is None else Run(Path(path), {}, lines)


def _own(data: Any, outputs: int | None) -> Any:
    return None if data is None else _arrays.data(data, outputs)


def _outputs(experiment: Experiment, overrides: Mapping[str, Any] | None) -> int | None:
    """Number of classes of the experiment's model, for labels that do not have all of them."""
    model = _holograd.resolved(described(experiment, fields=overrides)).get("model")
    return None if model is None else _holograd.Network("the model", model).sizes[2]


def open_run(folder: str | os.PathLike[str]) -> Run:
    """Opens the folder of a run, complete or not.

    Args:
        folder: its path.
    """
    path = Path(folder)
    if not (path / _EXPERIMENT).is_file():
        found, expected = "found no run there", "the folder of a run holds experiment.json"
        raise ConfigError(f"{path}: {found}; {expected}", str(path), "", found, expected)
    return Run(path, {}, [])


def experiment(name: Experiment, overrides: Mapping[str, Any] | None = None) -> Json:
    """An experiment as a dict, every default written out.

    Args:
        name: as of `run`.
        overrides: as of `run`.
    """
    resolved: Json = _holograd.resolved(described(name, fields=overrides))
    return resolved


def check(name: Experiment, overrides: Mapping[str, Any] | None = None) -> str:
    """Finds out what would stop a run, which it raises; returns what the run takes, and what is to be said against it.

    Args:
        name: as of `run`.
        overrides: as of `run`.
    """
    cost, warnings = _holograd.check(described(name, fields=overrides))
    return "\n".join([cost, *(f"warning: {warning}" for warning in warnings)])


def data(
    name: Experiment, overrides: Mapping[str, Any] | None = None, *, data_folder: str | os.PathLike[str] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """The samples that an experiment learns from and is tested on.

    Args:
        name: as of `run`.
        overrides: as of `run`.
        data_folder: as of `run`.

    Returns:
        x_train [samples, inputs], y_train [samples], x_test, y_test.
    """
    return _holograd.data(described(name, fields=overrides, folder=data_folder))


def save(path: str | os.PathLike[str], arrays: Mapping[str, ArrayLike]) -> None:
    """Writes named arrays, as parameters, as a safetensors file that the command line reads.

    Args:
        path: the file.
        arrays: real numbers or integers.
    """
    if not isinstance(arrays, Mapping):
        raise _arrays.refused("arrays", f"found {type(arrays).__name__}", "a dict of arrays")
    _holograd.save_tensors(os.fspath(path), _arrays.named(arrays))


def experiments() -> dict[str, str]:
    """The shipped experiments, by name, with what each does."""
    return dict(_holograd.experiments())


def models() -> list[str]:
    """The names of the shipped models."""
    return list(_holograd.models())


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


