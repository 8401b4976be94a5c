"""Networks on simulated hardware: what the command ``tessera`` does, on labelled data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from . import _core
from ._observe import Progress, message, observed
from ._source import Config, Overrides, to_core
from ._tree import Tree, calibration_tree, to_datatree
from .errors import InputError, Interrupted


def _file(path: str | os.PathLike[str] | None) -> str:
    return "" if path is None else os.fspath(path)


def _labelled(tree: Tree, stopped_by: BaseException | None) -> xr.DataTree:
    result = to_datatree(tree)
    if isinstance(stopped_by, KeyboardInterrupt):
        raise Interrupted(result) from None
    if stopped_by is not None:
        raise stopped_by
    return result


class Simulation:
    """A configuration, and everything that can be done with it.

    ``config`` is a YAML file, its text, or a dictionary of the same structure, in which ``rpu_config`` may be a
    configuration object of aihwkit. ``overrides`` are applied over it, ``{"rpu_config.forward.out_noise": 0.02}``.

    Results are ``xarray.DataTree``: equal to what the result file of the command opens as. They are written to a file
    only where one is named. Errors are those of ``tessera.errors``, with every problem of a configuration at once;
    Ctrl-C raises ``Interrupted``, which holds what was finished. ``threads=0`` takes all processors and, like any other
    number, never changes a result. ``progress``: True for a bar, or a function of (done, total, unit).
    """

    def __init__(self, config: Config, overrides: Overrides = None) -> None:
        self._core = to_core(config, overrides)

    def __repr__(self) -> str:
        return f"Simulation({self._core.name!r})"

    def resolved(self) -> str:
        """The configuration with every key and its value, as YAML."""
        return self._core.resolved()

    def data(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The samples [n, ...] of the ``data:`` section as a network is given them, and their class indices (or none)."""
        samples, labels = self._core.data()
        return samples, np.array(labels, dtype=np.int64)

    def run(
        self, file: str | os.PathLike[str] | None = None, *, threads: int = 0, progress: Progress = True
    ) -> xr.DataTree:
        """Every sample through the float32 network and through each chip (``tessera run``)."""
        with observed(progress) as update:
            return _labelled(*self._core.run(_file(file), threads, update, message))

    def sweep(
        self, file: str | os.PathLike[str] | None = None, *, threads: int = 0, progress: Progress = True
    ) -> xr.DataTree:
        """Every point of the ``sweep:`` section as a labelled hypercube (``tessera sweep``).

        With a file, a sweep that was stopped goes on where it was.
        """
        with observed(progress) as update:
            return _labelled(*self._core.sweep(_file(file), threads, update, message))

    def doctor(
        self, file: str | os.PathLike[str] | None = None, *, threads: int = 0, progress: Progress = True
    ) -> xr.DataTree:
        """Which mechanism costs the accuracy: each alone, and all but each (``tessera doctor``)."""
        with observed(progress) as update:
            return _labelled(*self._core.diagnose(_file(file), threads, update, message))

    def search(
        self,
        file: str | os.PathLike[str] | None = None,
        points: str | os.PathLike[str] | None = None,
        *,
        threads: int = 0,
        progress: Progress = True,
    ) -> xr.DataTree:
        """The fewest bits within the budget of the ``search:`` section (``tessera search``).

        The configuration that was found is the attribute ``configuration`` of the result, and the YAML file ``file``.
        """
        with observed(progress) as update:
            tree, stopped_by, found = self._core.search(_file(file), _file(points), threads, update, message)
        tree["attrs"]["configuration"] = found
        return _labelled(tree, stopped_by)

    def calibrate(
        self, file: str | os.PathLike[str] | None = None, *, threads: int = 0, progress: Progress = True
    ) -> xr.DataTree:
        """Ranges from data (``tessera calibrate``); with a file also into a model, which ``model.file`` takes.

        A group for each layer: ``input_range`` by tile, fractions that clip, ranges of quantizers as a model file holds
        them. The attribute ``source`` says how they were found.
        """
        with observed(progress) as update:
            nodes, stopped_by, source = self._core.calibrate(_file(file), threads, update, message)
        if stopped_by is not None:
            raise stopped_by
        return calibration_tree(nodes, source)

    def cost(
        self, file: str | os.PathLike[str] | None = None, *, threads: int = 0, progress: Progress = True
    ) -> xr.DataTree:
        """Energy, latency and area of an inference, without data (``tessera cost``)."""
        with observed(progress) as update:
            return _labelled(*self._core.cost(_file(file), threads, update, message))

    def train(
        self,
        file: str | os.PathLike[str] | None = None,
        curves: str | os.PathLike[str] | None = None,
        *,
        fresh: bool = False,
        threads: int = 0,
        progress: Progress = True,
    ) -> xr.DataTree:
        """Training of the ``training:`` section into a model file; returns the curves (``tessera train``).

        With a file, a training that was stopped goes on from its checkpoint unless ``fresh``.
        """
        with observed(progress) as update:
            return _labelled(*self._core.train(_file(file), _file(curves), fresh, threads, update, message))

    def export(
        self,
        directory: str | os.PathLike[str],
        *,
        samples: int = 1,
        vectors: int = 64,
        threads: int = 0,
        progress: Progress = True,
    ) -> dict[str, Any]:
        """Codes, formats and golden vectors of fixed-point layers for a test bench (``tessera export``).

        Writes ``codes.json`` and ``.npy`` arrays into the directory: the first ``vectors`` vectors of each layer that the
        first ``samples`` samples make. Returns the names of the ``layers`` that were written, why others were
        ``skipped``, and how many ``files`` there are.
        """
        with observed(progress) as update:
            layers, skipped, files, stopped_by = self._core.export_codes(
                os.fspath(directory), samples, vectors, threads, update, message
            )
        if stopped_by is not None:
            raise stopped_by
        return {"layers": layers, "skipped": skipped, "files": files}


def load(config: Config, overrides: Overrides = None) -> Simulation:
    """A configuration from a file, text or a dictionary."""
    return Simulation(config, overrides)


def run(config: Config, overrides: Overrides = None, **options: Any) -> xr.DataTree:
    """``load(config, overrides).run(**options)``."""
    return load(config, overrides).run(**options)


def sweep(config: Config, overrides: Overrides = None, **options: Any) -> xr.DataTree:
    """``load(config, overrides).sweep(**options)``."""
    return load(config, overrides).sweep(**options)


def search(config: Config, overrides: Overrides = None, **options: Any) -> xr.DataTree:
    """``load(config, overrides).search(**options)``."""
    return load(config, overrides).search(**options)


def doctor(config: Config, overrides: Overrides = None, **options: Any) -> xr.DataTree:
    """``load(config, overrides).doctor(**options)``."""
    return load(config, overrides).doctor(**options)


def calibrate(
    config: Config, file: str | os.PathLike[str] | None = None, overrides: Overrides = None, **options: Any
) -> xr.DataTree:
    """``load(config, overrides).calibrate(file, **options)``."""
    return load(config, overrides).calibrate(file, **options)


def cost(config: Config, overrides: Overrides = None, **options: Any) -> xr.DataTree:
    """``load(config, overrides).cost(**options)``."""
    return load(config, overrides).cost(**options)


def train(
    config: Config, file: str | os.PathLike[str] | None = None, overrides: Overrides = None, **options: Any
) -> xr.DataTree:
    """``load(config, overrides).train(file, **options)``."""
    return load(config, overrides).train(file, **options)


def example(name: str = "quickstart.yaml") -> str:
    """The path of a configuration that comes with the package: "quickstart.yaml", a small network on built-in data."""
    here = os.path.dirname(os.path.abspath(__file__))
    folders = [os.path.join(here, "configs"), os.path.join(here, "..", "..", "configs")]  # installed; in the sources
    folder = next(folder for folder in folders if os.path.isdir(folder))
    path = os.path.normpath(os.path.join(folder, name))
    if not os.path.exists(path):
        raise InputError(f"there is no example '{name}'; there are {', '.join(sorted(os.listdir(folder)))}")
    return path


def open_results(path: str | os.PathLike[str]) -> xr.DataTree:
    """A file of run, sweep, search, doctor or train; needs no other package than xarray."""
    return to_datatree(_core.read(os.fspath(path)))


def report(
    files: Sequence[str | os.PathLike[str]],
    html: str | os.PathLike[str] | None = None,
    *,
    markdown: str | os.PathLike[str] | None = None,
    csv_folder: str | os.PathLike[str] | None = None,
) -> None:
    """Tables and plots of result files (``tessera report``): one self-contained page, tables, or a folder of them."""
    _core.report([os.fspath(file) for file in files], _file(html), _file(markdown), _file(csv_folder))
