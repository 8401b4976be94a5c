"""Tensors on their way to the engine and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def to_array(x: Tensor) -> Any:
    """float32 in main memory; no copy where the tensor is that already."""
    return np.ascontiguousarray(x.detach().to("cpu", torch.float32).numpy())


def like(values: Any, x: Tensor) -> Tensor:
    """A tensor of the shape, type and device of ``x``."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(x.device, x.dtype).reshape(x.shape)


def draw_seed() -> int:
    """Follows ``torch.manual_seed``."""
    return int(torch.randint(0, 2**62, ()).item())
