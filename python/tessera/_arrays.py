"""Arrays on their way to the engine: float32, C-contiguous, with the reason where that cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError


def float32(value: Any, name: str = "x") -> NDArray[np.float32]:
    """NumPy arrays, lists and torch tensors. No copy where the values already lie as they should."""
    if hasattr(value, "detach"):  # torch; gradients flow through tessera.torch only
        if getattr(value, "requires_grad", False):
            raise InputError(f"{name} is a tensor that needs a gradient; use tessera.torch, or give {name}.detach()")
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    if array.dtype == np.bool_ or array.dtype.kind not in "fiu":
        raise InputError(f"{name} has elements of type {array.dtype}; it takes real numbers")
    return np.require(array, np.float32, ["C"])
