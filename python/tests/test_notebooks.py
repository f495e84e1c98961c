"""Notebooks and the page of documentation are executed."""

import re
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT.parent / "docs" / "python.md"


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs(path):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    for needed in ("matplotlib", "ipykernel", "pandas"):
        pytest.importorskip(needed, reason=f"{needed} is not installed")
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "notebooks are kept without outputs"
    begun = time.monotonic()
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    pictures = sum("image/png" in out.get("data", {}) for cell in notebook.cells for out in cell.get("outputs", []))
    print(f"{path.stem}: {time.monotonic() - begun:.0f} s, {pictures} pictures")
    assert pictures >= 2


def test_the_page_says_what_is_true(tmp_path, monkeypatch):
    """Its snippets, one after the other as a reader would type them."""
    pytest.importorskip("optax", reason="optax is not installed")
    pytest.importorskip("pandas", reason="pandas is not installed")
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(snippets) >= 8
    names = {}
    for number, snippet in enumerate(snippets):
        exec(compile(snippet, f"snippet {number + 1} of {PAGE.name}", "exec"), names)
