"""Arrays with wires from Python: do they obey the circuit's laws, and refuse what is none?"""

from __future__ import annotations

import numpy as np
import pytest

import tessera


@pytest.fixture
def g() -> np.ndarray:
    return np.random.default_rng(3).uniform(1e-6, 1e-4, (9, 14))


def by_nodes(g: np.ndarray, v: np.ndarray, row: float, column: float) -> np.ndarray:
    """Nodal analysis: input nodes a(i, j) first, then output nodes b(i, j)."""
    outputs, inputs = g.shape
    y = np.zeros((2 * outputs * inputs,) * 2)
    source = np.zeros(2 * outputs * inputs)

    def connect(p: int, q: int | None, siemens: float, volt: float = 0.0) -> None:
        y[p, p] += siemens
        if q is None:
            source[p] += siemens * volt
        else:
            y[q, q] += siemens
            y[p, q] -= siemens
            y[q, p] -= siemens

    for i in range(inputs):
        for j in range(outputs):
            a, b = i * outputs + j, outputs * inputs + i * outputs + j
            connect(a, b, g[j, i])
            connect(a, a - 1 if j else None, 1 / row, v[i])
            connect(b, b + outputs if i + 1 < inputs else None, 1 / column)
    voltage = np.linalg.solve(y, source)
    return voltage[outputs * inputs + (inputs - 1) * outputs :] / column


def test_without_wires_it_is_the_product(g: np.ndarray) -> None:
    x = np.random.default_rng(4).normal(size=(14, 5))
    crossbar = tessera.Crossbar(g)
    assert crossbar.shape == (9, 14)
    assert np.allclose(crossbar @ x, g @ x, rtol=1e-12)
    assert np.allclose(crossbar @ x[:, 0], g @ x[:, 0], rtol=1e-12)
    assert crossbar(x.T.reshape(5, 1, 14)).shape == (5, 1, 9)


def test_wires_are_solved_as_nodal_analysis_does(g: np.ndarray) -> None:
    v = np.random.default_rng(5).uniform(-0.2, 0.2, 14)
    crossbar = tessera.Crossbar(g, row_ohm=20.0, column_ohm=35.0)
    expected = by_nodes(g, v, 20.0, 35.0)
    assert np.abs(g @ v - expected).max() > 0.01 * np.abs(expected).max()
    assert np.allclose(crossbar @ v, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    matrix = crossbar.effective_matrix
    assert matrix is not None and np.allclose(matrix @ v, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    inputs, outputs = crossbar.node_voltages(v)
    assert inputs.shape == (1, 9, 14) and outputs.shape == (9, 14)
    assert np.allclose((g * (inputs[0] - outputs)).sum(axis=1), expected, rtol=0, atol=1e-10 * np.abs(expected).max())


def test_pairs_gates_and_nonlinear_cells(g: np.ndarray) -> None:
    v = np.full(14, 0.2)
    pairs = tessera.Crossbar(g, g[::-1].copy(), row_ohm=1.0, column_ohm=1.0)
    assert pairs.node_voltages(v)[0].shape == (2, 9, 14)
    gated = tessera.Crossbar(g, row_ohm=1.0, column_ohm=1.0, gated=True, supply=0.2)
    assert gated.effective_matrix is None
    assert np.all(gated @ np.zeros(14) == 0)
    assert np.all((gated @ v < 0.2 * g.sum(axis=1)) & (gated @ v > 0.15 * g.sum(axis=1)))
    cubic = tessera.Crossbar(g, cells="cubic", k=0.25)
    assert np.allclose(cubic @ v, g @ (v - 0.25 * v**3), rtol=1e-10)


def test_what_is_no_circuit_is_refused(g: np.ndarray) -> None:
    with pytest.raises(tessera.ConfigError, match="Rp_row"):
        tessera.Crossbar(g, row_ohm=-1.0)
    with pytest.raises(tessera.InputError, match="negative has shape"):
        tessera.Crossbar(g, g[:3])
    with pytest.raises(tessera.InputError):
        tessera.Crossbar(-g)
    with pytest.raises(tessera.ConfigError, match="rram_milo"):
        tessera.Crossbar(g, cells="ohmic")
    with pytest.raises(tessera.InputError, match="14"):
        tessera.Crossbar(g) @ np.zeros(13)
    with pytest.raises(tessera.InputError, match="one vector"):
        tessera.Crossbar(g).node_voltages(np.zeros((2, 14)))
