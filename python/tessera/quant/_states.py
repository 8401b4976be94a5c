"""Quantized states of spiking neurons: snnTorch's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._arrays import float32
from .._core import quant as _quant
from ._formats import Array


class StateQuant:
    """Takes every value to the nearest level, ties to the lower one; gradients pass unchanged."""

    def __init__(self, core: _quant.StateQuant) -> None:
        self._core = core

    @property
    def levels(self) -> Array:
        return self._core.levels

    def __call__(self, x: Any) -> Array:
        return self._core.forward(float32(x))

    @staticmethod
    def forward(input_: Any, levels: Any) -> Array:
        """``input_`` on ``levels``."""
        return state_quant_from_levels(levels)(input_)

    @staticmethod
    def backward(grad_output: Any) -> tuple[Array, None]:
        """Straight through for the state, nothing for the levels."""
        return float32(grad_output, "grad_output").copy(), None


def state_quant(
    num_bits: int = 8,
    uniform: bool = True,
    thr_centered: bool = True,
    threshold: float = 1,
    lower_limit: float = 0,
    upper_limit: float = 0.2,
    multiplier: float | None = None,
) -> StateQuant:
    """A function that takes every value to the nearest of ``2**num_bits`` levels; ``levels`` are an attribute of it."""
    return StateQuant(
        _quant.StateQuant(num_bits, uniform, thr_centered, threshold, lower_limit, upper_limit, multiplier)
    )


def state_quant_from_levels(levels: Sequence[float]) -> StateQuant:
    """The same with levels of one's own."""
    return StateQuant(_quant.StateQuant.from_levels(float32(levels, "levels").tolist()))


class Leaky:
    """Leaky integrate-and-fire neurons, one step a call: ``spk, mem = lif(input, mem)`` on [batch, units] arrays."""

    def __init__(
        self,
        beta: Any,
        threshold: Any = 1.0,
        inhibition: bool = False,
        reset_mechanism: str = "subtract",
        state_quant: StateQuant | None = None,
        graded_spikes_factor: float = 1.0,
        reset_delay: bool = True,
    ) -> None:
        self._core = _quant.Leaky(
            float32(beta, "beta").reshape(-1).tolist(),
            float32(threshold, "threshold").reshape(-1).tolist(),
            reset_mechanism,
            reset_delay,
            inhibition,
            graded_spikes_factor,
            state_quant._core if state_quant else None,
            "atan",
            {},
        )

    def init_leaky(self, shape: Any = ()) -> Array:
        """A state of zeros."""
        return np.zeros(shape, np.float32)

    def __call__(self, input_: Any, mem: Any = None) -> tuple[Array, Array]:
        x = float32(input_, "input")
        state = np.zeros_like(x) if mem is None else float32(mem, "mem")
        spikes, new = self._core.step(x, state)
        return spikes.reshape(x.shape), new.reshape(x.shape)
