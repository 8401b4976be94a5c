"""Quantized states of spiking neurons, with gradients: snnTorch's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import quant
from .._core import quant as _quant
from ._tensors import draw_seed, like, to_array


class StateQuant(torch.autograd.Function):
    """Nearest of the levels, straight through in the backward pass; ``StateQuant.apply(x, levels)``."""

    @staticmethod
    def forward(ctx: Any, input_: Tensor, levels: Any) -> Tensor:
        states = levels if isinstance(levels, quant.StateQuant) else quant.state_quant_from_levels(levels)
        return like(states(to_array(input_)), input_)

    @staticmethod
    def backward(ctx: Any, *grad_output: Tensor) -> tuple[Tensor, None]:
        return grad_output[0].clone(), None


class _States:
    """A function of tensors that knows its levels."""

    def __init__(self, states: quant.StateQuant) -> None:
        self.states = states

    @property
    def levels(self) -> Tensor:
        return torch.from_numpy(self.states.levels)

    def __call__(self, x: Tensor) -> Tensor:
        result: Tensor = StateQuant.apply(x, self.states)
        return result


def state_quant(
    num_bits: int = 8,
    uniform: bool = True,
    thr_centered: bool = True,
    threshold: float = 1,
    lower_limit: float = 0,
    upper_limit: float = 0.2,
    multiplier: float | None = None,
) -> Callable[[Tensor], Tensor]:
    """A function that takes every value to the nearest of ``2**num_bits`` levels; gradients pass unchanged."""
    return _States(
        quant.state_quant(num_bits, uniform, thr_centered, threshold, lower_limit, upper_limit, multiplier)
    )


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mem: Tensor, beta: Tensor, threshold: Tensor, neurons: Leaky) -> Any:
        ctx.core, ctx.seed = neurons._make_core(beta, threshold), draw_seed()
        ctx.save_for_backward(x, mem, beta, threshold)
        spikes, state = ctx.core.step(_rows(x), _rows(mem))
        return like(spikes, x), like(state, x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, mem, beta, threshold = ctx.saved_tensors
        dx, dmem, dbeta, dthreshold = ctx.core.backward(
            _rows(x), _rows(mem), _rows(grads[0]), _rows(grads[1]), ctx.seed
        )
        return (
            like(dx, x),
            like(dmem, mem),
            like(np.array(dbeta, np.float32), beta),
            like(np.array(dthreshold, np.float32), threshold),
            None,
        )


def _rows(x: Tensor) -> Any:
    return to_array(x).reshape(-1, x.shape[-1]) if x.ndim else to_array(x).reshape(1, 1)


class Leaky(nn.Module):
    """Leaky integrate-and-fire neurons, one step a call: ``spk, mem = lif(input, mem)``; units are the last axis.

    ``beta`` and ``threshold`` are one value, or one for each unit; ``learn_beta`` and ``learn_threshold`` make them
    parameters. The spike is differentiated by the surrogate ``spike_grad``: "atan", "fast_sigmoid", "sigmoid",
    "straight_through_estimator", "heaviside", "triangular", "SFS", "spike_rate_escape", "SSO", "LSO", with
    ``spike_grad_options`` (``{"alpha": 2.0}``, ``{"slope": 25.0}``).
    """

    beta: Tensor
    threshold: Tensor

    def __init__(
        self,
        beta: Any,
        threshold: Any = 1.0,
        spike_grad: str = "atan",
        inhibition: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "subtract",
        state_quant: Any = None,
        graded_spikes_factor: float = 1.0,
        reset_delay: bool = True,
        spike_grad_options: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        for name, value, learned in (("beta", beta, learn_beta), ("threshold", threshold, learn_threshold)):
            tensor = torch.as_tensor(value, dtype=torch.float32).detach().clone()
            if learned:
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)
        self.spike_grad, self.spike_grad_options = spike_grad, dict(spike_grad_options or {})
        self.inhibition, self.reset_mechanism, self.reset_delay = inhibition, reset_mechanism, reset_delay
        self.graded_spikes_factor = graded_spikes_factor
        self.state_quant = state_quant or None
        self._make_core(self.beta, self.threshold)  # parameters are checked at once

    def _make_core(self, beta: Tensor, threshold: Tensor) -> Any:
        states = self.state_quant
        states = states.states if isinstance(states, _States) else states
        return _quant.Leaky(
            to_array(beta).reshape(-1).tolist(),
            to_array(threshold).reshape(-1).tolist(),
            self.reset_mechanism,
            self.reset_delay,
            self.inhibition,
            self.graded_spikes_factor,
            None if states is None else states._core,
            self.spike_grad,
            self.spike_grad_options,
        )

    @staticmethod
    def init_leaky() -> Tensor:
        """The state before the first step."""
        return torch.zeros(0)

    def forward(self, input_: Tensor, mem: Tensor | None = None) -> tuple[Tensor, Tensor]:
        state = torch.zeros_like(input_) if mem is None or mem.numel() == 0 else mem
        spikes, state = _Step.apply(input_, state, self.beta, self.threshold, self)
        return spikes, state
