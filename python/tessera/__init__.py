"""Tessera: neural networks on simulated analog in-memory computing hardware.

>>> import tessera
>>> result = tessera.run(tessera.example())
>>> float(result.accuracy.mean())
"""

from . import errors, parameters, quant
from ._core import __version__
from .aihwkit import from_aihwkit
from .crossbar import Crossbar
from .errors import (
    ConfigError,
    InputError,
    Interrupted,
    QuantizerNotInitializedError,
    RunError,
    TesseraError,
    TesseraWarning,
    UsageError,
)
from .network import Network, convert, from_onnx
from .simulation import (
    Simulation,
    calibrate,
    cost,
    doctor,
    example,
    load,
    open_results,
    report,
    run,
    search,
    sweep,
    train,
)
from .tile import Tile

__all__ = [
    "ConfigError",
    "Crossbar",
    "InputError",
    "Interrupted",
    "Network",
    "QuantizerNotInitializedError",
    "RunError",
    "Simulation",
    "TesseraError",
    "TesseraWarning",
    "Tile",
    "UsageError",
    "__version__",
    "calibrate",
    "convert",
    "cost",
    "doctor",
    "errors",
    "example",
    "from_aihwkit",
    "from_onnx",
    "load",
    "open_results",
    "parameters",
    "quant",
    "report",
    "run",
    "search",
    "sweep",
    "train",
]
