"""Number formats with gradients: QPyTorch's names. Stochastic rounding follows ``torch.manual_seed``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from .. import quant
from .._core import quant as _quant
from ..quant._formats import core_number, require_clamping
from ._tensors import draw_seed, like, to_array


def _rounded(x: Tensor, number: quant.Number, rounding: str) -> Tensor:
    return x.clone() if number is None else like(quant.quantize(to_array(x), number, rounding, draw_seed()), x)


def fixed_point_quantize(
    x: Tensor, wl: int, fl: int, clamp: bool = True, symmetric: bool = False, rounding: str = "stochastic"
) -> Tensor:
    """Fixed point of ``wl`` bits, ``fl`` of them fractional. Without a gradient, as QPyTorch's."""
    return _rounded(x.detach(), quant.FixedPoint(wl, fl, clamp, symmetric), rounding)


def block_quantize(x: Tensor, wl: int, dim: int = -1, rounding: str = "stochastic") -> Tensor:
    """Mantissas of ``wl`` bits under one exponent for the whole tensor, or for each index of ``dim``."""
    return _rounded(x.detach(), quant.BlockFloatingPoint(wl, dim), rounding)


def float_quantize(x: Tensor, exp: int, man: int, rounding: str = "stochastic") -> Tensor:
    """Floating point of ``exp`` exponent and ``man`` mantissa bits."""
    return _rounded(x.detach(), quant.FloatingPoint(exp, man), rounding)


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, options: Quantizer) -> Tensor:
        ctx.options = options
        y, mask = _quant.quantize_with_mask(
            core_number(options.forward_number),
            to_array(x),
            options.forward_rounding,
            draw_seed(),
            options.clamping_grad_zero and options.forward_number is not None,
        )
        ctx.mask = None if mask is None else torch.from_numpy(mask).to(x.device).bool().reshape(x.shape)
        return like(y, x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        grad = grads[0]
        for hook in ctx.options.backward_hooks:
            grad = hook(grad)
        grad = _rounded(grad, ctx.options.backward_number, ctx.options.backward_rounding)
        return (grad if ctx.mask is None else grad.masked_fill(ctx.mask, 0.0)), None


class Quantizer(nn.Module):
    """Number formats of values (forward) and of their gradients (backward); None leaves them as they are."""

    def __init__(
        self,
        forward_number: quant.Number = None,
        backward_number: quant.Number = None,
        forward_rounding: str = "stochastic",
        backward_rounding: str = "stochastic",
        clamping_grad_zero: bool = False,
        backward_hooks: Iterable[Callable[[Tensor], Tensor]] = (),
    ) -> None:
        super().__init__()
        require_clamping(forward_number, clamping_grad_zero)
        self.forward_number, self.backward_number = forward_number, backward_number
        self.forward_rounding, self.backward_rounding = forward_rounding, backward_rounding
        self.clamping_grad_zero = clamping_grad_zero
        self.backward_hooks = list(backward_hooks)
        for number, rounding in ((forward_number, forward_rounding), (backward_number, backward_rounding)):
            quant.quantize([0.0], number, rounding, 0)  # words are checked at once

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = _Rounded.apply(x, self)
        return result

    def extra_repr(self) -> str:
        return (
            f"{self.forward_number} ({self.forward_rounding}), "
            f"gradients {self.backward_number} ({self.backward_rounding})"
        )


def quantizer(
    forward_number: quant.Number = None,
    backward_number: quant.Number = None,
    forward_rounding: str = "stochastic",
    backward_rounding: str = "stochastic",
    clamping_grad_zero: bool = False,
    backward_hooks: Iterable[Callable[[Tensor], Tensor]] = (),
) -> Callable[[Tensor], Tensor]:
    """A function of tensors, with the arguments of ``Quantizer``."""
    return Quantizer(
        forward_number, backward_number, forward_rounding, backward_rounding, clamping_grad_zero, backward_hooks
    )
