"""Progress bars, warnings and notes of a computation."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Union

from .errors import TesseraWarning

#: True: a bar where one can be seen; a function of (done, total, unit): called instead.
Progress = Union[bool, Callable[[int, int, str], Any]]

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_notes = logging.getLogger("tessera")


def _caller() -> int:
    """How many frames up the line of the user is that called the package."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level


def message(is_warning: bool, text: str) -> None:
    if is_warning:
        warnings.warn(text, TesseraWarning, stacklevel=_caller())
    else:
        _notes.info(text)


def _can_be_seen() -> bool:
    return sys.stderr.isatty() or "ipykernel" in sys.modules


@contextmanager
def observed(progress: Progress) -> Iterator[Callable[[int, int, str], Any] | None]:
    """The function that is told of progress, or None."""
    if callable(progress):
        yield progress
        return
    bar: Any = None
    try:
        if progress and _can_be_seen():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a notebook without widgets gets a bar of text
                from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore]

            bar = tqdm(total=0, leave=False, unit="sample", smoothing=0.05)
    except ImportError:
        bar = None
    if bar is None:
        yield None
        return

    def update(done: int, total: int, unit: str) -> None:
        bar.unit = unit.rstrip("s")
        bar.total = total
        bar.update(done - bar.n)

    try:
        yield update
    finally:
        bar.close()
