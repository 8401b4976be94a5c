"""One linear layer on analog tiles."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._arrays import float32
from ._source import plain, to_yaml
from .errors import InputError


def rpu_config_text(rpu_config: Any) -> str:
    """YAML of an ``rpu_config``: a dictionary, an object of aihwkit, the name of a preset, YAML text, or None."""
    if rpu_config is None:
        return "{}"
    if isinstance(rpu_config, str):
        return rpu_config if "\n" in rpu_config or ":" in rpu_config else f"preset: {rpu_config}"
    if isinstance(rpu_config, os.PathLike):
        with open(rpu_config, encoding="utf-8") as file:
            return file.read()
    value = rpu_config if isinstance(rpu_config, Mapping) else plain(rpu_config)
    return to_yaml(plain(value))


class Tile:
    """``y = W x + b`` on simulated hardware.

    ``weight`` is [outputs, inputs]; one tile, or several where ``mapping`` limits their size. ``rpu_config`` is that of
    a configuration file: a dictionary, an object of aihwkit, YAML text, or the name of a preset.

    Noise is a function of ``seed``, of the chip that was programmed, of the number of a vector and of ``event``: the
    same call gives the same values, and they are those of the command on a network of this one layer. Other noise:
    other vectors (``first_vector``), another ``event``, another chip.

    >>> tile = Tile(np.eye(4), rpu_config={"forward": {"out_noise": 0.04}}, seed=1)
    >>> y = tile @ x            # x is [inputs] or [inputs, n]
    >>> y = tile(x)             # x is [..., inputs]
    """

    def __init__(self, weight: Any, bias: Any = None, *, rpu_config: Any = None, seed: int = 0, threads: int = 0) -> None:
        given = None if bias is None else float32(bias, "bias")
        self._core = _core.Tile(float32(weight, "weight"), given, rpu_config_text(rpu_config), seed, threads)
        self._shape = (self._core.outputs, self._core.inputs)
        self.seed = seed
        self._state = "as programmed" if self._core.has_devices else "ideal weights"

    @property
    def shape(self) -> tuple[int, int]:
        """(outputs, inputs)."""
        return self._shape

    def program(self, chip: int = 0) -> Tile:
        """Programs another chip (``chip`` 0 is programmed at once). Without a ``noise_model``: frozen draws only."""
        self._core.program(chip)
        self._state = "as programmed" if self._core.has_devices else "ideal weights"
        return self

    def estimate_ranges(self, x: Any) -> Tile:
        """Ranges of activation quantizers (``act_quant_config``) from a batch [vectors, inputs], on this chip anew."""
        self._core.estimate_ranges(float32(x))
        self._state = "as programmed" if self._core.has_devices else "ideal weights"
        return self

    def drift(self, time: float, read: int = 0) -> Tile:
        """The chip ``time`` seconds after programming as read number ``read`` finds it. Times are absolute."""
        self._core.drift(time, read)
        self._state = f"{time:g} s after programming"
        return self

    def __call__(self, x: Any, *, first_vector: int = 0, event: int = 0) -> NDArray[np.float32]:
        """Vectors along the last axis: [..., inputs] -> [..., outputs]."""
        values = float32(x)
        outputs, inputs = self._shape
        if values.ndim == 0 or values.shape[-1] != inputs:
            raise InputError(f"x has shape {values.shape}; the tile takes [..., {inputs}]")
        if values.ndim == 2:
            return self._core.forward(values, first_vector, event)
        y = self._core.forward(values.reshape(-1, inputs), first_vector, event)
        return y.reshape(*values.shape[:-1], outputs)

    def __matmul__(self, x: Any) -> NDArray[np.float32]:
        """As NumPy: ``x`` is [inputs], or [inputs, n] with a vector in each column."""
        values = np.asarray(x) if not hasattr(x, "detach") else float32(x)
        inputs = self._shape[1]
        if values.ndim not in (1, 2) or values.shape[0] != inputs:
            raise InputError(f"x has shape {values.shape}; tile @ x takes [{inputs}] or [{inputs}, n]")
        if values.ndim == 2 and values.flags.c_contiguous:
            return self._core.forward_columns(float32(values)).T
        return self(values.T).T

    def resolved(self) -> str:
        """The ``rpu_config`` with every key and its value, as YAML."""
        return self._core.resolved()

    @property
    def weights(self) -> NDArray[np.float32]:
        """The weights in use [outputs, inputs]: as mapped, programmed or drifted."""
        return self._core.weights()

    @property
    def conductances(self) -> list[NDArray[np.float32]]:
        """As programmed, in microsiemens: [devices, outputs, inputs] for each physical tile."""
        return self._core.conductances()

    def read_weights(self, event: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights and bias as the hardware would measure them, by least squares through the noisy forward pass."""
        return self._core.read_weights(event)

    def report(self) -> list[dict[str, Any]]:
        """Of each physical tile: its place, input range, and periphery scales with their codes."""
        return self._core.report()

    def __repr__(self) -> str:
        outputs, inputs = self.shape
        return f"Tile({outputs} outputs, {inputs} inputs; {self._state}; seed {self.seed})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{tile['inputs'][0]}…{tile['inputs'][1] - 1}</td><td>{tile['outputs'][0]}…{tile['outputs'][1] - 1}</td>"
            f"<td>{tile['input_range'] or '–'}</td><td>{tile['scale_codes'].size or '–'}</td></tr>"
            for tile in self.report()
        )
        return (
            f"<b>{self!r}</b><table><thead><tr><th>inputs</th><th>outputs</th><th>input range</th>"
            f"<th>periphery codes</th></tr></thead><tbody>{rows}</tbody></table>"
        )
