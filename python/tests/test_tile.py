"""Tiles and networks on arrays: do they compute what simulations do, and refuse what they cannot take?"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tessera
from conftest import ROOT, require

RPU = {"forward": {"out_noise": 0.04, "inp_res": 254, "out_res": 254}, "pre_post": {"periph_quant": {"n_bits": 8}}}
PCM = {**RPU, "noise_model": {"type": "PCMLikeNoiseModel"}}


@pytest.fixture
def weight() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.2, (12, 20)).astype(np.float32)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(2).normal(0, 1, (30, 20)).astype(np.float32)


def test_ideal_is_the_product(weight: np.ndarray, x: np.ndarray) -> None:
    bias = np.arange(12, dtype=np.float32)
    tile = tessera.Tile(weight, bias, rpu_config={"forward": {"is_perfect": True}})
    assert tile.shape == (12, 20)
    assert np.allclose(tile(x), x @ weight.T + bias, atol=1e-5)
    assert np.allclose(tile @ x.T, weight @ x.T + bias[:, None], atol=1e-5)
    assert np.allclose(tile @ x[0], weight @ x[0] + bias, atol=1e-5)
    assert tile(x.reshape(5, 6, 20)).shape == (5, 6, 12)


def test_calls_repeat_and_addresses_differ(weight: np.ndarray, x: np.ndarray) -> None:
    tile = tessera.Tile(weight, rpu_config=RPU, seed=3)
    assert np.array_equal(tile(x), tile(x))
    assert np.array_equal(tile(x)[10:], tile(x[10:], first_vector=10))
    assert not np.array_equal(tile(x), tile(x, event=1))
    assert not np.array_equal(tile(x), tessera.Tile(weight, rpu_config=RPU, seed=4)(x))


def test_a_tile_drifts(weight: np.ndarray, x: np.ndarray) -> None:
    tile = tessera.Tile(weight, rpu_config=PCM, seed=3)
    (conductances,) = tile.conductances
    assert conductances.shape == (2, 12, 20) and conductances.min() >= 0
    fresh = tile.weights
    year = tile.drift(31_536_000).weights
    assert np.abs(year).sum() < np.abs(fresh).sum()
    assert np.array_equal(tile.drift(31_536_000).weights, year)
    assert not np.array_equal(tile.program(1).weights, fresh)
    assert np.array_equal(tile.program(0).weights, fresh)
    with pytest.raises(tessera.InputError, match="noise_model"):
        tessera.Tile(weight, rpu_config=RPU).drift(1.0)


def test_reports(weight: np.ndarray) -> None:
    tile = tessera.Tile(weight, rpu_config={**RPU, "mapping": {"max_input_size": 8, "weight_scaling_omega": 1.0}})
    report = tile.report()
    assert [part["inputs"] for part in report][0][0] == 0 and len(report) == 3
    assert report[0]["scale_codes"].size > 0
    assert "<table>" in tile._repr_html_()
    read, _ = tile.read_weights()
    assert np.corrcoef(read.ravel(), weight.ravel())[0, 1] > 0.99


def test_presets_and_bad_configurations(weight: np.ndarray) -> None:
    assert tessera.Tile(weight, rpu_config="StandardHWATrainingPreset").shape == (12, 20)
    with pytest.raises(tessera.ConfigError, match="did you mean 'out_noise'"):
        tessera.Tile(weight, rpu_config={"forward": {"out_nois": 1}})
    with pytest.raises(tessera.ConfigError, match="did you mean"):
        tessera.Tile(weight, rpu_config="StandardHWATrainingPrest")


def test_the_numbers_of_the_command(tmp_path: Path, weight: np.ndarray, x: np.ndarray) -> None:
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node("Gemm", ["x", "w"], ["y"], name="fc", transB=1)
    graph = onnx.helper.make_graph(
        [node],
        "one",
        [onnx.helper.make_tensor_value_info("x", 1, ["n", 20])],
        [onnx.helper.make_tensor_value_info("y", 1, ["n", 12])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "one.onnx")
    np.save(tmp_path / "x.npy", x)
    config = {
        "model": {"file": str(tmp_path / "one.onnx")},
        "data": {"format": "npy", "inputs": str(tmp_path / "x.npy")},
        "rpu_config": PCM,
        "seed": 7,
        "evaluation": {"times": [3600]},
        "output": {"record": {"tensors": ["fc"]}},
    }
    from_file = tessera.run(config)["layers/fc/output"].values[0, 0]
    tile = tessera.Tile(weight, rpu_config=PCM, seed=7).drift(3600)
    assert np.array_equal(tile(x), from_file)
    network = tessera.from_onnx(tmp_path / "one.onnx")
    assert network.layers[0]["name"] == "fc" and "<table>" in network.to_html()
    arrays = network.simulate(PCM, x, seed=7, times=[3600], record=["*"])
    assert np.array_equal(arrays["layers/fc/output"].values[0, 0], from_file)


def test_a_network_on_arrays() -> None:
    network = tessera.from_onnx(ROOT / "configs" / "models" / "glyphs_cnn.onnx")
    x = np.random.default_rng(0).random((10, 1, 28, 28), dtype=np.float32)
    y = np.arange(10)
    result = network.simulate(RPU, x, y, repeats=2, layers=[{"match": "fc2", "analog": False}])
    assert result.accuracy.shape == (1, 2)
    assert bool(result["layers"].analog.sel(layer="fc2") == 0)
    with pytest.raises(tessera.InputError):
        network.simulate(RPU, x[:, :, :27], y)
    with pytest.raises(tessera.InputError, match="class index"):
        network.simulate(RPU, x, y + 0.5)


bad_arrays = st.one_of(
    hnp.arrays(
        st.sampled_from([np.float64, np.float32, np.int32, np.uint8, np.complex64, np.bool_, "U3", object]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6),
    ),
    st.lists(st.floats(allow_nan=True), max_size=8),
    st.text(max_size=3),
    st.none(),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=bad_arrays)
def test_bad_arrays_raise_and_do_not_crash(value: Any) -> None:
    tile = tessera.Tile(np.eye(4), rpu_config=RPU)
    try:
        y = tile(value)
    except (tessera.TesseraError, TypeError, ValueError):
        return
    assert y.dtype == np.float32 and y.shape[-1] == 4


@settings(max_examples=60, deadline=None)
@given(value=bad_arrays)
def test_bad_weights_raise_and_do_not_crash(value: Any) -> None:
    try:
        tessera.Tile(value, rpu_config=RPU)(np.zeros((1, np.asarray(value).shape[-1])))
    except (tessera.TesseraError, TypeError, ValueError, IndexError):
        return


@settings(max_examples=100, deadline=None)
@given(value=bad_arrays, bits=st.integers(-3, 40))
def test_bad_quantizers_raise_and_do_not_crash(value: Any, bits: int) -> None:
    for call in (
        lambda: tessera.quant.fixed_point_quantize(value, bits, 2),
        lambda: tessera.quant.block_quantize(value, bits, 0),
        lambda: tessera.quant.float_quantize(value, bits, 3),
        lambda: tessera.quant.state_quant(bits)(value),
        lambda: tessera.quant.Leaky(0.9)(value),
        lambda: tessera.quant.RangeEstimator("running_minmax")(value),
    ):
        try:
            call()
        except (tessera.TesseraError, TypeError, ValueError):
            continue


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 600), st.floats(), st.text(max_size=4), st.sampled_from(["ABS_MAX", "AbsMax"])
)
keys = st.sampled_from(
    ["forward", "mapping", "pre_post", "noise_model", "type", "preset", "inp_res", "out_noise", "n_bits", "max_input_size"]
) | st.text(max_size=6)
trees = st.recursive(scalars, lambda part: st.lists(part, max_size=3) | st.dictionaries(keys, part, max_size=4), max_leaves=8)


@settings(max_examples=300, deadline=None)
@given(config=st.dictionaries(keys, trees, max_size=4))
def test_bad_configurations_raise_and_do_not_crash(config: dict[str, Any]) -> None:
    try:
        y = tessera.Tile(np.eye(4), rpu_config=config)(np.ones((2, 4)))
    except tessera.ConfigError as error:
        assert error.problems and all(problem.message for problem in error.problems)
    except tessera.TesseraError as error:
        assert str(error)
    else:
        assert y.shape == (2, 4)


def test_a_misspelt_key_says_what_the_command_says(weight: np.ndarray) -> None:
    with pytest.raises(tessera.ConfigError) as caught:
        tessera.Tile(weight, rpu_config={"forward": {"out_nois": 0.1}, "maping": {}})
    assert [problem.key for problem in caught.value.problems] == ["forward.out_nois", "maping"]
    assert caught.value.problems[1].message == "unknown key 'maping'; did you mean 'mapping'?"


def test_tensors(weight: np.ndarray, x: np.ndarray) -> None:
    torch = require("torch")
    tile = tessera.Tile(torch.from_numpy(weight), rpu_config=RPU)
    assert np.array_equal(tile(torch.from_numpy(x)), tile(x))
    with pytest.raises(tessera.InputError, match="tessera.torch"):
        tile(torch.from_numpy(x).requires_grad_())


def test_threads_change_a_tile_while_others_use_it(weight: np.ndarray, x: np.ndarray) -> None:
    tile = tessera.Tile(weight, rpu_config=PCM, seed=3, threads=1)
    expected = {chip: tile.program(chip)(x) for chip in range(3)}
    stop = threading.Event()
    failures: list[str] = []

    def read() -> None:
        while not stop.is_set():
            y = tile(x)
            if not any(np.array_equal(y, known) for known in expected.values()):
                failures.append("a mixture of chips")

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for i in range(60):
        tile.program(i % 3)
    stop.set()
    for reader in readers:
        reader.join()
    assert failures == []


def test_activation_quantizers_need_a_range(weight: np.ndarray, x: np.ndarray) -> None:
    tile = tessera.Tile(weight, rpu_config={**RPU, "act_quant_config": {"n_bits": 4}})
    with pytest.raises(tessera.ConfigError, match="no range yet"):
        tile(x)
    y = tile.estimate_ranges(x)(x)
    assert len(np.unique(y)) <= 16


def test_layouts_and_read_only_arrays(weight: np.ndarray, x: np.ndarray) -> None:
    tile = tessera.Tile(weight, rpu_config=RPU)
    y = tile(x)
    assert np.array_equal(tile(np.asfortranarray(x)), y)
    assert np.array_equal(tile(np.repeat(x, 2, axis=0)[::2]), y)
    frozen = x.copy()
    frozen.setflags(write=False)
    assert np.array_equal(tile(frozen), y)
    with pytest.raises(tessera.RunError, match="finite"):
        tile(np.full((1, 20), np.nan))
    assert tile(np.zeros((0, 20))).shape == (0, 12)
    assert (tile @ np.zeros((20, 0), np.float32)).shape == (12, 0)
    columns = np.ascontiguousarray(np.tile(x, (9, 1)).T)  # 270 vectors: several blocks, whatever the threads
    for threads in (1, 2):
        several = tessera.Tile(weight, rpu_config=RPU, threads=threads)
        np.testing.assert_array_equal(several @ columns, several(columns.T).T)
