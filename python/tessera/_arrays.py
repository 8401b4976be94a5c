"""Arrays on their way to the engine: C-contiguous, with the reason where that cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError


def _numbers(value: Any, name: str) -> NDArray[Any]:
    if hasattr(value, "detach"):  # torch; gradients flow through tessera.torch only
        if getattr(value, "requires_grad", False):
            raise InputError(f"{name} is a tensor that needs a gradient; use tessera.torch, or give {name}.detach()")
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    if array.dtype == np.bool_ or array.dtype.kind not in "fiu":
        raise InputError(f"{name} has elements of type {array.dtype}; it takes real numbers")
    return array


def float32(value: Any, name: str = "x") -> NDArray[np.float32]:
    """NumPy arrays, lists and torch tensors. No copy where the values already lie as they should."""
    if type(value) is np.ndarray and value.dtype == np.float32 and value.flags.c_contiguous:
        return value
    return np.require(_numbers(value, name), np.float32, ["C"])


def float64(value: Any, name: str = "x") -> NDArray[np.float64]:
    """The same for circuits, which are solved in double precision."""
    return np.require(_numbers(value, name), np.float64, ["C"])
