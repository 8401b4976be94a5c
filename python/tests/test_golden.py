"""Do quantizers, number formats, states and tiles give the golden numbers through Python, every case?"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import tessera
from conftest import golden, require
from tessera import quant
from tessera._core import quant as core


def array(node: Any) -> np.ndarray:
    """Hexadecimal words of float32."""
    words = np.frombuffer(bytes.fromhex(node["f32"]), dtype=">u4").astype("<u4")
    return words.view(np.float32).reshape(node["shape"])


def same_bits(a: Any, b: Any) -> bool:
    """Equal bits; all NaNs are one value."""
    a, b = np.asarray(a, np.float32).ravel(), np.asarray(b, np.float32).ravel()
    return bool(a.size == b.size and np.all((np.isnan(a) & np.isnan(b)) | (a.view(np.uint32) == b.view(np.uint32))))


def not_farther(x: Any, y: Any, peer: Any) -> bool:
    """Rounded once: nowhere farther from the value than the peer, which rounds twice."""
    x, y, peer = (np.asarray(v, np.float64).ravel() for v in (x, y, peer))
    known = np.isfinite(x) & np.isfinite(peer)
    return bool(np.all(np.abs(y - x)[known] <= np.abs(peer - x)[known]))


def cases(file: str, *keys: str) -> list[Any]:
    node = json.loads(golden(file).read_text())
    for key in keys:
        node = node[key]
    return [pytest.param(case, id=str(case.get("id", number))) for number, case in enumerate(node)]


@pytest.mark.parametrize("case", cases("qtorch.json", "fixed_point"))
def test_fixed_point(case: Any) -> None:
    number = quant.FixedPoint(case["wl"], case["fl"], case["clamp"], case["symmetric"], double_rounding=True)
    x, peer = array(case["x"]), array(case["y_nearest_cpu"])
    assert same_bits(quant.quantize(x, number, "nearest"), peer)
    y = quant.fixed_point_quantize(x, case["wl"], case["fl"], case["clamp"], case["symmetric"], rounding="nearest")
    assert not_farther(x, y, peer)
    words = (array(case["r"]).astype(np.float64) * 2**24).astype(np.uint32) << 8
    assert same_bits(core.quantize_with_words(number, x, words), array(case["y_stochastic"]))
    mask, low, high = core.clamp_mask(number, x)
    assert (low, high) == (np.float32(case["t_min"]), np.float32(case["t_max"]))
    if "clamp_mask" in case:
        assert mask.tolist() == case["clamp_mask"]


@pytest.mark.parametrize("case", cases("qtorch.json", "block"))
def test_block(case: Any) -> None:
    largest = array(case["block_max"]).ravel()[0]
    if np.isfinite(largest) and largest >= 2.0**126:
        pytest.skip("the peer's exponent overflows here; the library's does not (tests/quant)")
    x, peer = array(case["x"]), array(case["y_nearest"])
    number = quant.BlockFloatingPoint(case["wl"], case["dim"], double_rounding=True)
    assert same_bits(quant.quantize(x, number, "nearest"), peer)
    assert not_farther(x, quant.block_quantize(x, case["wl"], case["dim"], rounding="nearest"), peer)
    if "sto_down" in case:
        for seed in range(20):
            y = quant.quantize(x, number, seed=seed)
            down, up = array(case["sto_down"]), array(case["sto_up"])
            assert all(same_bits(v, a) or same_bits(v, b) for v, a, b in zip(y.ravel(), down.ravel(), up.ravel()))


@pytest.mark.parametrize("case", cases("qtorch.json", "float"))
def test_float(case: Any) -> None:
    x, peer = array(case["x"]), array(case["y_nearest"])
    y = quant.quantize(x, quant.FloatingPoint(case["exp"], case["man"], double_rounding=True), "nearest")
    numbers = ~np.isnan(x)  # the peer rounds the bits of a NaN as if they were a number
    assert same_bits(y[numbers], peer[numbers])
    assert np.all(np.isnan(y[~numbers]))
    assert not_farther(x, quant.float_quantize(x, case["exp"], case["man"], rounding="nearest"), peer)


@pytest.mark.parametrize("case", cases("aihwkit_quantizers.json", "quantizer_cases"))
def test_uniform_quantizer(case: Any) -> None:
    cls = getattr(quant, case["class"])
    quantizer = cls(case["n_bits"], case["scale_domain"], case["per_channel"], case["axis"], case["eps"])
    low, high = array(case["range_min"]), array(case["range_max"])
    state = case["state"]
    if np.any(np.isinf(array(state["delta"]))):
        with pytest.raises(tessera.InputError):  # one bit with a sign has no positive code
            quantizer.set_quant_range(low, high)
        return
    quantizer.set_quant_range(low, high)
    assert quantizer.int_min == state["int_min"]
    assert quantizer.int_max == state["int_max"]
    x = array(case["x"])
    if case["scale_domain"] == "linear":
        assert same_bits(quantizer.delta, array(state["delta"]))
        assert same_bits(quantizer.to_integer_forward(x), array(case["x_int"]))
        assert same_bits(quantizer.forward(x), array(case["x_quant"]))
    else:  # exp and log differ between libraries in the last bit
        assert np.allclose(quantizer.scale, array(state["scale"]), rtol=1e-6)
        finite = np.isfinite(array(case["x_quant"]))
        assert np.allclose(quantizer.forward(x)[finite], array(case["x_quant"])[finite], rtol=1e-5, atol=1e-30) or (
            np.abs(quantizer.to_integer_forward(x)[finite] - array(case["x_int"])[finite]).max() <= 1
        )


@pytest.mark.parametrize("case", cases("aihwkit_quantizers.json", "gradient_cases"))
def test_uniform_gradient(case: Any) -> None:
    quantizer = getattr(quant, case["class"])(case["n_bits"], case["scale_domain"], case["per_channel"])
    quantizer.set_quant_range(array(case["range_min"]), array(case["range_max"]))
    x, grad = array(case["x"]), array(case["grad_out"])
    expected = array(case["grad_x"])
    grad_x = quantizer.backward(x, grad)
    if case["scale_domain"] == "linear":
        assert np.allclose(grad_x, expected, rtol=1e-6, atol=0, equal_nan=True)
    delta, _ = quantizer.range_gradient(x, grad)
    if "grad_delta" in case:
        scale = max(1.0, float(np.abs(array(case["grad_delta"])).max()))
        assert np.allclose(delta, array(case["grad_delta"]).ravel(), rtol=2e-4, atol=2e-4 * scale)


@pytest.mark.parametrize("case", cases("aihwkit_quantizers.json", "estimator_cases"))
def test_range_estimator(case: Any) -> None:
    exact = case["estimator"] in ("current_minmax", "allminmax", "running_minmax")
    params = {
        "range_opt_method" if key == "opt_method" else key: value
        for key, value in case["params"].items()
        if value is not None
    }
    quantizer = None
    if case.get("quantizer"):
        name = case["quantizer"].get("class") or case["quantizer"].get("qmethod") or ""
        cls = quant.AsymmetricUniformQuantizer if name.lower().startswith("asym") else quant.SymmetricUniformQuantizer
        quantizer = cls(case["quantizer"]["n_bits"])
    estimator = quant.RangeEstimator(
        case["estimator"], case["per_channel"], case["axis"], case["n_groups"], quantizer, **params
    )
    for batch, low, high in zip(case["batches"], case["xmin"], case["xmax"]):
        found_low, found_high = estimator(array(batch))
        if exact:
            assert same_bits(found_low, array(low)) and same_bits(found_high, array(high))
        elif params.get("range_opt_method") == "grid" and not case["per_channel"]:
            assert np.allclose(found_high, array(high).ravel(), rtol=1e-5)
    assert np.all(found_low <= found_high)


@pytest.mark.parametrize("case", cases("snntorch.json", "state_quant"))
def test_state_quant(case: Any) -> None:
    if "error" in case:
        with pytest.raises(tessera.ConfigError):
            quant.state_quant(**case["params"])
        return
    stored = array(case["levels"])
    if len(set(stored.tolist())) == 1:
        with pytest.raises(tessera.ConfigError):  # a table of one value
            quant.state_quant(**case["params"])
        return
    levels = quant.state_quant(**case["params"]).levels
    if case["params"].get("uniform", True):
        assert np.all(np.abs(levels - stored) <= 2 * np.spacing(np.abs(stored).max()))
    else:
        assert same_bits(levels, stored)
    x, expected = array(case["x"]), array(case["y"])
    near = np.abs(x) < 1e7  # beyond, the peer's distances lose all meaning
    assert same_bits(quant.state_quant_from_levels(stored)(x)[near], expected[near])


@pytest.mark.parametrize("case", cases("snntorch.json", "leaky", "cases"))
def test_leaky(case: Any) -> None:
    node = json.loads(golden("snntorch.json").read_text())["leaky"]
    states = quant.state_quant_from_levels(array(case["levels"])) if case.get("levels") else None
    neurons = quant.Leaky(
        beta=array(case["beta"]) if isinstance(case["beta"], dict) else case["beta"],
        threshold=array(case["threshold"]) if isinstance(case["threshold"], dict) else case["threshold"],
        reset_mechanism=case["reset_mechanism"],
        reset_delay=case["reset_delay"],
        graded_spikes_factor=case.get("graded_spikes_factor", 1.0),
        state_quant=states,
    )
    mem = None
    for step, (spikes, state) in zip(array(node["input"]), zip(array(case["spk"]), array(case["mem"]))):
        found, mem = neurons(step, mem)
        assert same_bits(found, spikes) and same_bits(mem, state)


def tile_cases() -> list[Any]:
    h5py = require("h5py")
    found = []
    with h5py.File(golden("analog_tile.h5")) as file:

        def visit(path: str, node: Any) -> None:
            if node.attrs.get("kind") == "deterministic":
                found.append(
                    pytest.param(
                        node.attrs["rpu_config"],
                        node.attrs["tile_class"],
                        {name: node[name][()] for name in node},
                        id=path,
                    )
                )

        file.visititems(visit)
    return found


@pytest.mark.parametrize(("rpu_config", "tile_class", "data"), tile_cases())
def test_tile(rpu_config: str, tile_class: str, data: dict[str, np.ndarray]) -> None:
    resolved = require("yaml").safe_load(rpu_config)
    forward = resolved.get("forward", {})
    if forward.get("noise_management") in ("MAX", "Max") and tile_class == "InferenceTile":
        pytest.skip("the peer's compiled engine returns 0 for vectors without a positive entry (S4)")
    if forward.get("bound_management", "NONE") not in ("NONE", "None") and tile_class != "InferenceTile":
        pytest.skip("the peer's torch engine repeats whole batches (S3)")
    resolved.pop("noise_model", None)  # nothing is programmed in these cases
    tile = tessera.Tile(data["weight"], data.get("bias"), rpu_config=resolved, seed=1)
    y = tile(data["x"])
    scale = max(1.0, float(np.abs(data["y"]).max()))
    assert np.abs(y - data["y"]).max() <= 2e-6 * scale
    assert np.array_equal(tile @ data["x"].T, y.T)
