"""Tessera: neural networks on simulated analog in-memory computing hardware.

>>> import tessera
>>> result = tessera.run("configs/quickstart.yaml")
>>> float(result.accuracy.mean())
"""

from . import errors, quant
from ._core import __version__
from .errors import ConfigError, InputError, Interrupted, RunError, TesseraError, TesseraWarning, UsageError
from .network import Network, convert, from_onnx
from .simulation import Simulation, calibrate, doctor, load, open_results, run, search, sweep, train
from .tile import Tile

__all__ = [
    "ConfigError",
    "InputError",
    "Interrupted",
    "Network",
    "RunError",
    "Simulation",
    "TesseraError",
    "TesseraWarning",
    "Tile",
    "UsageError",
    "__version__",
    "calibrate",
    "convert",
    "doctor",
    "errors",
    "from_onnx",
    "load",
    "open_results",
    "quant",
    "run",
    "search",
    "sweep",
    "train",
]
