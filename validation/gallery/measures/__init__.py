"""How targets are measured: `measure(target, tessera, report)` of the module that a target names."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from ..command import Tessera
from ..report import Report
from ..target import Target, TargetError

NAMES = ("accuracy", "adc_csnr", "arrays", "dft", "law", "wires")


def find(name: str) -> Callable[[Target, Tessera, Report], None]:
    """The function behind `measure = "name"`."""
    if name not in NAMES:
        raise TargetError(f"measure = \"{name}\": no such measurement; there are {', '.join(NAMES)}")
    return importlib.import_module(f"{__package__}.{name}").measure
