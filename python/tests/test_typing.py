"""The types of the module, and what stands beside the code."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import holograd as hg

HERE = Path(__file__).resolve().parent


def test_every_name_is_typed_and_used():
    pytest.importorskip("mypy", reason="mypy is not installed")
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", HERE / "typed.py"], capture_output=True, text=True, cwd=HERE)
    assert done.returncode == 0, done.stdout
    text = (HERE / "typed.py").read_text()
    for name in hg.__all__:
        assert f"hg.{name}" in text, name


def test_the_typed_file_runs():
    subprocess.run([sys.executable, HERE / "typed.py"], check=True, timeout=300)


def test_the_stub_names_what_is_compiled():
    from holograd import _holograd

    stub = (Path(hg.__file__).parent / "_holograd.pyi").read_text()
    for name in dir(_holograd):
        if not name.startswith("__"):
            assert f"def {name}(" in stub or f"class {name}:" in stub or f"{name}: " in stub, name
    for kind in (_holograd.Network, _holograd.Trainer):
        for name in dir(kind):
            if not name.startswith("__"):
                assert f"def {name}(" in stub, name


def test_every_public_name_has_a_docstring():
    for name in hg.__all__:
        item = getattr(hg, name)
        if name == "__version__":
            continue
        assert item.__doc__, name
        if inspect.isclass(item):
            for member, value in vars(item).items():
                if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                    assert inspect.getdoc(getattr(item, member)), f"{name}.{member}"


def test_the_first_lines_of_the_module_are_true():
    import doctest

    assert doctest.testmod(hg, optionflags=doctest.ELLIPSIS).failed == 0
