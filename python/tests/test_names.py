"""Are the names, parameters and defaults of the field's packages there?"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import Any

import numpy as np
import pytest

import tessera
from conftest import require
from tessera import parameters, quant

QUANTIZER = {"n_bits": ..., "scale_domain": "linear", "per_channel": False, "axis": None, "eps": 1e-08}
FORMATS = {
    "fixed_point_quantize": {"x": ..., "wl": ..., "fl": ..., "clamp": True, "symmetric": False, "rounding": "stochastic"},
    "block_quantize": {"x": ..., "wl": ..., "dim": -1, "rounding": "stochastic"},
    "float_quantize": {"x": ..., "exp": ..., "man": ..., "rounding": "stochastic"},
    "quantizer": {
        "forward_number": None,
        "backward_number": None,
        "forward_rounding": "stochastic",
        "backward_rounding": "stochastic",
        "clamping_grad_zero": False,
        "backward_hooks": (),
    },
    "state_quant": {
        "num_bits": 8,
        "uniform": True,
        "thr_centered": True,
        "threshold": 1,
        "lower_limit": 0,
        "upper_limit": 0.2,
        "multiplier": None,
    },
}
MEMBERS = ["delta", "forward", "int_max", "int_min", "is_initialized", "make_range_trainable", "reset", "scale"]
MEMBERS += ["set_quant_range", "symmetric", "to_integer_forward", "x_max", "x_min", "zero_point", "extra_repr"]


def modules() -> list[Any]:
    try:
        import torch  # noqa: F401
    except ImportError:
        return [quant]
    import tessera.torch

    return [quant, tessera.torch]


def defaults(function: Any) -> dict[str, Any]:
    return {
        name: ... if parameter.default is parameter.empty else parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
    }


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
@pytest.mark.parametrize("name", FORMATS)
def test_functions(module: Any, name: str) -> None:
    own = defaults(getattr(module, name))
    assert {key: own.get(key, "missing") for key in FORMATS[name]} == FORMATS[name]
    assert list(own)[: len(FORMATS[name])] == list(FORMATS[name])


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
@pytest.mark.parametrize(
    ("name", "more"), [("SymmetricUniformQuantizer", ["signed"]), ("AsymmetricUniformQuantizer", ["zero_float"])]
)
def test_quantizers(module: Any, name: str, more: list[str]) -> None:
    cls = getattr(module, name)
    assert issubclass(cls, module.QuantizerBase)
    assert defaults(cls) == QUANTIZER
    assert [member for member in MEMBERS + more if not hasattr(cls, member)] == []
    with pytest.raises(tessera.QuantizerNotInitializedError):
        cls(8).delta  # noqa: B018
    for name in ("RoundStraightThrough", "FloorStraightThrough", "StateQuant"):
        assert hasattr(getattr(module, name), "forward") and hasattr(getattr(module, name), "backward")


def test_methods() -> None:
    assert quant.QMethods.list() == ["symmetric_uniform", "asymmetric_uniform"]
    assert quant.QMethods.asymmetric_uniform.cls is quant.AsymmetricUniformQuantizer
    assert quant.QMethods.symmetric_uniform.value.value == 0
    assert quant.RoundStraightThrough.forward([0.5, 1.5, -0.5]).tolist() == [0.0, 2.0, 0.0]
    assert quant.FloorStraightThrough.forward([-0.5, 1.5]).tolist() == [-1.0, 1.0]
    assert quant.StateQuant.forward([0.4], [0.0, 1.0]).tolist() == [0.0]


def test_parameters_of_the_periphery() -> None:
    assert [field.name for field in dataclasses.fields(parameters.InputRangeParameter)] == [
        "enable",
        "learn_input_range",
        "init_value",
        "init_from_data",
        "init_std_alpha",
        "decay",
        "input_min_percentage",
        "manage_output_clipping",
        "output_min_percentage",
        "gradient_scale",
        "gradient_relative",
        "calibration_info",
    ]
    assert parameters.PeripheryQuantizationParameter() == parameters.PeripheryQuantizationParameter(0, True, False, 100)
    pre_post = parameters.PrePostProcessingParameterQuant()
    pre_post.periph_quant.n_bits = 6
    pre_post.input_range.enable = True
    tile = tessera.Tile(np.eye(4), rpu_config={"pre_post": pre_post})
    as_dict = {"pre_post": {"periph_quant": {"n_bits": 6}, "input_range": {"enable": True}}}
    x = np.random.default_rng(0).normal(size=(5, 4))
    assert np.array_equal(tile(x), tessera.Tile(np.eye(4), rpu_config=as_dict)(x))
    whole = parameters.PrePostProcessingRPU("any", {}, pre_post)
    assert np.array_equal(tile(x), tessera.Tile(np.eye(4), rpu_config=whole)(x))


def test_quantizer_configurations() -> None:
    weight = quant.WeightQuantConfig(n_bits=8, per_channel=True)
    assert weight.range_estimator is quant.RangeEstimators.current_minmax and weight.symmetric
    weight.range_estimator = quant.RangeEstimators.MSE
    assert weight.range_estimator_params == quant.MSEEstimatorParams()
    weight.range_estimator_params = quant.CrossEntropyEstimatorParams(num_candidates=7)
    with pytest.raises(TypeError):
        weight.range_estimator_params = quant.RunningMinMaxEstimatorParams()
    with pytest.raises(TypeError):
        quant.ActivationQuantConfig(
            range_estimator=quant.RangeEstimators.cross_entropy, range_estimator_params=quant.MSEEstimatorParams()
        )
    with pytest.raises(TypeError):
        quant.ActivationQuantConfig(range_estimator=quant.RangeEstimators.allminmax, range_estimator_params=3)
    assert quant.ActivationQuantConfig().range_estimator_params == quant.RunningMinMaxEstimatorParams(0.9)
    assert quant.WeightQuantConfig(per_channel=True) != quant.WeightQuantConfig()


def test_a_map_is_a_section(quickstart: str) -> None:
    made = quant.QuantizationMap()
    made.default_qconfig.weight_quant = quant.WeightQuantConfig(4, per_channel=True)
    made.default_qconfig.activation_quant.n_bits = 6
    quant.append_default_conversions(made)
    assert set(made.module_qconfig_map) == {"Linear", "LayerNorm", "Embedding", "Conv2d"}
    made.excluded_modules.append("fc2")
    made.input_activation_qconfig_map["conv1"] = quant.ActivationQuantConfig(n_bits=4, symmetric=False)
    config = {"base": quickstart, "data": {"limit": 32}, "layers": [{"match": "*", "analog": False}], "quantization": made}
    qconfig = {"weight_quant": {"n_bits": 4, "per_channel": True}, "activation_quant": {"n_bits": 6}}
    as_dict = {
        "default_qconfig": qconfig,
        "append_default_conversions": True,
        "excluded_modules": ["fc2"],
        "input_activation_qconfig_map": {"conv1": {"n_bits": 4, "symmetric": False}},
    }
    ours, theirs = tessera.run(config), tessera.run({**config, "quantization": as_dict})
    assert float(ours.loss.mean()) == float(theirs.loss.mean()) != float(ours["reference"].loss)


def test_gradients_of_formats() -> None:
    q = quant.quantizer(quant.FixedPoint(4, 2), quant.FloatingPoint(5, 2), "nearest", "nearest", True, [lambda g: 2 * g])
    assert q([0.3, 5.0, -1.0]).tolist() == [0.25, 1.75, -1.0]
    assert q.backward([0.5, 1.0, 1.3]).tolist() == [1.0, 0.0, 2.5]
    for bad in (quant.FloatingPoint(5, 2), quant.FixedPoint(4, 2, clamp=False)):
        with pytest.raises(ValueError, match="clamping_grad_zero"):
            quant.quantizer(bad, clamping_grad_zero=True)
    with pytest.raises(tessera.ConfigError, match="did you mean 'nearest'"):
        quant.quantizer(quant.FixedPoint(4, 2), forward_rounding="neares")


def test_formats_are_copied() -> None:
    x = np.linspace(-3, 3, 31, dtype=np.float32)
    for number in (quant.FixedPoint(5, 2, True, True), quant.BlockFloatingPoint(4, 0), quant.FloatingPoint(4, 3)):
        again = pickle.loads(pickle.dumps(copy.deepcopy(number)))
        assert repr(again) == repr(number)
        assert np.array_equal(quant.quantize(x, again, "nearest"), quant.quantize(x, number, "nearest"))


def test_modules_are_quantized_by_a_map() -> None:
    torch = require("torch")
    import tessera.torch as tt

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(48, 5))
    made = quant.QuantizationMap()
    made.default_qconfig.weight_quant = quant.WeightQuantConfig(4, per_channel=True)
    made.default_qconfig.activation_quant = quant.ActivationQuantConfig(4)
    quant.append_default_conversions(made)
    made.input_activation_qconfig_map["0"] = quant.ActivationQuantConfig(2, symmetric=False)
    made.excluded_modules.append("3")
    converted = tt.convert_to_quantized(net, made)
    assert isinstance(converted[0], tt.QuantizedInputModule) and isinstance(converted[0].module, tt.QuantConv2d)
    assert type(converted[3]) is torch.nn.Linear and type(net[0]) is torch.nn.Conv2d
    x = torch.rand(6, 1, 6, 6)
    features = converted[0](x)
    assert len(features.unique()) <= 16 and not torch.equal(converted(x), net(x))
    converted.eval()
    assert torch.equal(converted(2 * x), converted(2 * x))
    with pytest.raises(ValueError, match="no module"):
        tt.convert_to_quantized(net, quant.QuantizationMap(excluded_modules=["nowhere"]))
    made = quant.QuantizationMap(module_qconfig_map={torch.nn.Linear: quant.QuantizedModuleConfig(tt.QuantLinear, made.default_qconfig)})
    assert isinstance(tt.convert_to_quantized(net, made)[3], tt.QuantLinear)
