"""One crossbar array as a circuit: cells and wires, in siemens, ohm, volts and amperes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._arrays import float64
from .errors import InputError


class Crossbar:
    """Cells between input and output lines whose wires have resistance, solved exactly.

    ``conductances`` is [outputs, inputs] in siemens; ``negative``, of the same shape, are the second cells of
    interleaved pairs, driven with the opposite voltage. ``row_ohm`` and ``column_ohm`` are the resistances of a segment
    of an input and of an output line, the ``terminal`` ones those at the driver and at the sense node. Output lines are
    sensed at 0 V behind the last input, input lines driven at output 0.

    ``gated``: inputs only open (any value but 0) and close the cells of their line, which ``supply`` volts feed along
    each output line; ``row_ohm`` is then of the supply line, and ``unselected`` further lines lie beyond the used ones
    (``selected`` "top": the used ones are far from the sense node, "bottom": near).

    ``cells`` is "linear", "cubic" (I = G (V - k V^3)) or "rram_milo". Linear cells that are not gated are solved once;
    every vector is then one product.

    >>> crossbar = Crossbar(g, row_ohm=1.0, column_ohm=1.0)
    >>> amperes = crossbar @ volts          # volts is [inputs] or [inputs, n]
    >>> amperes = crossbar(volts)           # volts is [..., inputs]
    """

    def __init__(
        self,
        conductances: Any,
        negative: Any = None,
        *,
        row_ohm: float = 0.0,
        column_ohm: float = 0.0,
        row_terminal_ohm: float = 0.0,
        column_terminal_ohm: float = 0.0,
        gated: bool = False,
        unselected: int = 0,
        selected: str = "top",
        supply: float = 1.0,
        cells: str = "linear",
        k: float = 0.25,
        threads: int = 0,
    ) -> None:
        positive = float64(conductances, "conductances")
        if positive.ndim != 2 or positive.size == 0:
            raise InputError(f"conductances has shape {positive.shape}; it takes [outputs, inputs]")
        second = None if negative is None else float64(negative, "negative")
        if second is not None and second.shape != positive.shape:
            raise InputError(f"negative has shape {second.shape}, conductances {positive.shape}")
        ohm = {
            "row": float(row_ohm),
            "column": float(column_ohm),
            "row_terminal": float(row_terminal_ohm),
            "column_terminal": float(column_terminal_ohm),
        }
        self._core = _core.Crossbar(
            positive, second, ohm, gated, unselected, selected, float(supply), cells, float(k), threads
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(outputs, inputs)."""
        return self._core.outputs, self._core.inputs

    def __call__(self, x: Any) -> NDArray[np.float64]:
        """Currents in amperes for vectors along the last axis: [..., inputs] -> [..., outputs]."""
        values = float64(x)
        outputs, inputs = self.shape
        if values.ndim == 0 or values.shape[-1] != inputs:
            raise InputError(f"x has shape {values.shape}; the crossbar takes [..., {inputs}]")
        y = self._core.currents(values.reshape(-1, inputs))
        return y.reshape(*values.shape[:-1], outputs)

    def __matmul__(self, x: Any) -> NDArray[np.float64]:
        """As NumPy: ``x`` is [inputs], or [inputs, n] with a vector in each column."""
        values = float64(x)
        if values.ndim not in (1, 2) or values.shape[0] != self.shape[1]:
            raise InputError(
                f"x has shape {values.shape}; crossbar @ x takes [{self.shape[1]}] or [{self.shape[1]}, n]"
            )
        return self(values.T).T

    def node_voltages(self, x: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Volts at both ends of every cell for one vector: on the input (or supply) lines [sets, outputs, inputs], with
        two sets of interleaved pairs, and on the output lines [outputs, inputs]."""
        values = float64(x)
        if values.shape != (self.shape[1],):
            raise InputError(f"x has shape {values.shape}; node voltages take one vector [{self.shape[1]}]")
        inputs, outputs = self._core.node_voltages(values.tolist())
        return np.stack(inputs), outputs

    @property
    def effective_matrix(self) -> NDArray[np.float64] | None:
        """M [outputs, inputs] in siemens with currents = M x; None where they are not linear (gated, nonlinear)."""
        return self._core.effective_matrix()

    def __repr__(self) -> str:
        outputs, inputs = self.shape
        return f"Crossbar({outputs} outputs, {inputs} inputs)"
