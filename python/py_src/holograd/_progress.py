"""How far a run has come, shown where somebody looks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: Seconds between two lines where no bar can be drawn.
_SECONDS = 10.0


def _notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


@contextmanager
def shown(wanted: bool | None) -> Iterator[Callable[[int, int, str], None] | None]:
    """What is to be called with steps in all, steps that are done and a text; None where nobody looks."""
    if wanted is None:
        wanted = _notebook() or bool(getattr(sys.stderr, "isatty", lambda: False)())
    if not wanted:
        yield None
        return
    try:
        from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        yield _lines()
        return
    with tqdm(total=None, bar_format="{percentage:3.0f} % |{bar}| {desc} [{remaining}]", leave=False) as bar:

        def tell(total: int, position: int, message: str) -> None:
            bar.total = total
            bar.set_description_str(message, refresh=False)
            bar.update(position - bar.n)

        yield tell


def _lines() -> Callable[[int, int, str], None]:
    state: dict[str, Any] = {"due": time.monotonic() + _SECONDS}

    def tell(total: int, position: int, message: str) -> None:
        if time.monotonic() >= state["due"]:
            state["due"] = time.monotonic() + _SECONDS
            print(f"{100 * position // max(total, 1):3d} %  {message}", file=sys.stderr)

    return tell
