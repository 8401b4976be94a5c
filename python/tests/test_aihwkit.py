"""Does a network of aihwkit compute here what it computes there? Where aihwkit is importable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tessera

aihwkit = pytest.importorskip("aihwkit", reason="aihwkit is not installed")
torch = pytest.importorskip("torch")

from aihwkit.nn import AnalogConv2d, AnalogLinear  # noqa: E402
from aihwkit.nn.conversion import convert_to_analog  # noqa: E402
from aihwkit.simulator.configs import (  # noqa: E402
    InferenceRPUConfig,
    QuantizedTorchInferenceRPUConfig,
    TorchInferenceRPUConfig,
)
from aihwkit.simulator.parameters.enums import BoundManagementType, NoiseManagementType  # noqa: E402
from aihwkit.simulator.parameters.quantization import ActivationQuantConfig  # noqa: E402
from aihwkit.simulator.presets import StandardHWATrainingPreset  # noqa: E402

try:
    AnalogLinear(2, 2, rpu_config=InferenceRPUConfig()).eval()(torch.zeros(1, 2))
except Exception as error:  # its compiled part is made for one version of torch
    pytest.skip(f"aihwkit does not run here: {error}", allow_module_level=True)

CONFIGS = [InferenceRPUConfig, TorchInferenceRPUConfig, QuantizedTorchInferenceRPUConfig]


def deterministic(cls: type, columnwise: bool = True) -> Any:
    """Converters and ranges, no noise."""
    rpu = cls()
    rpu.forward.inp_res, rpu.forward.out_res = 1 / 254, 1 / 254
    rpu.forward.out_bound, rpu.forward.out_noise, rpu.forward.w_noise = 12.0, 0.0, 0.0
    rpu.forward.bound_management = BoundManagementType.NONE
    rpu.forward.noise_management = NoiseManagementType.NONE
    rpu.mapping.weight_scaling_omega = 1.0
    rpu.mapping.weight_scaling_columnwise = columnwise
    rpu.mapping.max_input_size = rpu.mapping.max_output_size = 0
    rpu.pre_post.input_range.enable = True
    rpu.pre_post.input_range.init_from_data = 2
    rpu.pre_post.input_range.init_value = 2.0
    return rpu


def trained(rpu: Any, steps: int = 5, lr: float = 0.2) -> Any:
    """A small convolutional network after some steps: its tiles are no longer as a mapping would make them."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(4 * 36, 10),
        torch.nn.ReLU(),
        torch.nn.Linear(10, 3),
    )
    analog = convert_to_analog(net, rpu)
    optimizer = torch.optim.SGD(analog.parameters(), lr=lr)
    analog.train()
    for _ in range(steps):
        x = torch.rand(16, 1, 6, 6)
        loss = torch.nn.functional.cross_entropy(analog(x), torch.randint(0, 3, (16,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return analog.eval()


def outputs(network: tessera.Network, x: Any, **options: Any) -> np.ndarray:
    last = network.layers[-1]["name"]
    return np.asarray(network.simulate(None, x, record=[last], **options)[f"layers/{last}/output"])[0, 0]


def agree(analog: Any, **options: Any) -> tessera.Network:
    """All but values on the edge of an ADC code, in one code in a hundred."""
    x = torch.rand(40, 1, 6, 6)
    with torch.no_grad():
        expected = analog(x).numpy()
    network = tessera.from_aihwkit(analog, x[:1], **options)
    found = outputs(network, x)
    close = np.abs(found - expected) <= 1e-5 * np.abs(expected).max()
    assert close.mean() > 0.95, (close.mean(), found[~close][:5], expected[~close][:5])
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.9999
    return network


def numbers_of(network: tessera.Network, name: str) -> list[float]:
    return [v for layer in network.calibration.values() for v in layer.get(name, [])]


@pytest.mark.parametrize("columnwise", [True, False])
@pytest.mark.parametrize("cls", CONFIGS)
def test_a_trained_network_is_the_same(cls: type, columnwise: bool) -> None:
    agree(trained(deterministic(cls, columnwise)))


def test_what_the_tiles_learned_is_what_counts() -> None:
    """The negative control: mapped anew, the tiles are others, and their converters round differently."""
    analog = trained(deterministic(TorchInferenceRPUConfig))
    network = tessera.from_aihwkit(analog, torch.rand(1, 1, 6, 6))
    assert set(network.calibration) == {"0", "3", "5"} == {layer["name"] for layer in network.layers}
    with torch.no_grad():
        x = torch.rand(40, 1, 6, 6)
        expected = analog(x).numpy()
    ours = outputs(network, x)
    kept = network.calibration
    network.calibration = {
        layer: {name: v for name, v in numbers.items() if not name.endswith("mapping_scale")}
        for layer, numbers in kept.items()
    }
    anew = outputs(network, x)
    assert np.abs(ours - expected).mean() < 0.1 * np.abs(anew - expected).mean()


@pytest.mark.parametrize("steps", [0, 5])
@pytest.mark.parametrize("cls", CONFIGS)
def test_several_tiles_and_learned_scales(cls: type, steps: int) -> None:
    rpu = deterministic(cls)
    rpu.mapping.max_input_size, rpu.mapping.max_output_size = 50, 6
    rpu.mapping.learn_out_scaling = True
    rpu.mapping.out_scaling_columnwise = True
    network = agree(trained(rpu, steps))
    assert len(network.calibration["3"]["tiles"]) == 4 * 3 * 2  # 144 inputs, 10 outputs


def test_tiles_that_divide_kernels() -> None:
    """With input ranges and scales of their own, and a bias behind their sum."""
    rpu = deterministic(TorchInferenceRPUConfig)
    rpu.mapping.max_input_size, rpu.mapping.max_output_size = 5, 3
    network = agree(trained(rpu))
    assert len(network.calibration["0"]["tiles"]) == 4 * 2 * 2  # 9 inputs, 4 outputs
    assert len(set(network.calibration["3"]["input_range"])) > 1


@pytest.mark.parametrize(("sizes", "learned"), [((0, 0), True), ((0, 0), False), ((50, 6), False)])
@pytest.mark.parametrize("symmetric", [True, False])
def test_quantizers(sizes: tuple[int, int], learned: bool, symmetric: bool) -> None:
    """Ranges of the periphery's and the outputs' quantizers: as they were left by training, learned or not. (An array of
    tiles that learns them cannot be built with aihwkit 1.1.)"""
    rpu = deterministic(QuantizedTorchInferenceRPUConfig)
    rpu.mapping.max_input_size, rpu.mapping.max_output_size = sizes
    rpu.pre_post.periph_quant.n_bits = 6
    rpu.pre_post.periph_quant.symmetric = symmetric
    rpu.pre_post.periph_quant.learn_quant_params = learned
    rpu.pre_post.periph_quant.init_learning_after = 2
    rpu.act_quant_config = ActivationQuantConfig(n_bits=8, symmetric=symmetric)
    network = agree(trained(rpu, lr=0.001))
    assert numbers_of(network, "tile0.scale_quantizer") and numbers_of(network, "tile0.output_quantizer")
    assert numbers_of(network, "bias_quantizer")


def test_quantizers_before_any_training() -> None:
    rpu = deterministic(QuantizedTorchInferenceRPUConfig)
    rpu.pre_post.periph_quant.n_bits = 6
    agree(trained(rpu, steps=0))


def test_an_analog_bias() -> None:
    """Of the compiled tile; the others refuse it."""
    rpu = deterministic(InferenceRPUConfig)
    rpu.mapping.digital_bias = False
    agree(trained(rpu))


def test_a_saved_network_is_the_same(tmp_path: Any) -> None:
    rpu = deterministic(QuantizedTorchInferenceRPUConfig)
    rpu.mapping.max_input_size, rpu.mapping.max_output_size = 50, 6
    rpu.pre_post.periph_quant.n_bits = 6
    network = agree(trained(rpu))
    network.save(tmp_path / "model.h5")
    again = tessera.from_onnx(tmp_path / "model.h5")
    again.layer_rules = network.layer_rules
    x = torch.rand(4, 1, 6, 6)
    assert np.array_equal(outputs(network, x), outputs(again, x))


def test_another_configuration_has_to_fit() -> None:
    network = tessera.from_aihwkit(trained(deterministic(TorchInferenceRPUConfig)), torch.rand(1, 1, 6, 6))
    x = torch.rand(4, 1, 6, 6)
    with pytest.raises(tessera.ConfigError, match="weight_scaling_omega"):
        network.simulate({"mapping": {"weight_scaling_omega": 0.5}}, x)
    network.simulate(
        {"mapping": {"weight_scaling_omega": 0.5}}, x, overrides={"model.use_calibration": False}, progress=False
    )


def test_a_checkpoint(tmp_path: Any) -> None:
    rpu = deterministic(TorchInferenceRPUConfig)
    analog = trained(rpu)
    torch.save(analog.state_dict(), tmp_path / "model.th")
    fresh = trained(rpu, steps=0)
    x = torch.rand(4, 1, 6, 6)
    read = tessera.from_aihwkit(fresh, x, checkpoint=tmp_path / "model.th")
    network = tessera.from_aihwkit(analog, x)
    assert read.calibration == network.calibration
    a, b = read.simulate(None, x, record=["*"]), network.simulate(None, x, record=["*"])
    for name in b["layers"].children:
        assert np.array_equal(a[f"layers/{name}/output"], b[f"layers/{name}/output"])


def test_configurations_as_they_are() -> None:
    weight = np.random.default_rng(0).normal(0, 0.3, (5, 7)).astype(np.float32)
    for rpu in (*(cls() for cls in CONFIGS), StandardHWATrainingPreset()):
        assert tessera.Tile(weight, rpu_config=rpu, seed=1).shape == (5, 7)
    noisy = InferenceRPUConfig()
    noisy.forward.out_noise = 0.3
    assert "out_noise: 0.3" in tessera.load(tessera.example(), {"rpu_config": noisy}).resolved()
    x = np.random.default_rng(1).normal(0, 1, (20, 7)).astype(np.float32)
    noisy.noise_model = None
    by_hand = {"forward": {"out_noise": 0.3}}
    assert np.array_equal(tessera.Tile(weight, rpu_config=noisy)(x), tessera.Tile(weight, rpu_config=by_hand)(x))


def test_what_is_not_read() -> None:
    with pytest.raises(tessera.InputError, match="no analog layer"):
        tessera.from_aihwkit(torch.nn.Linear(2, 2), torch.zeros(1, 2))


def test_programmed_only_where_asked() -> None:
    analog = torch.nn.Sequential(AnalogLinear(6, 4, rpu_config=deterministic(InferenceRPUConfig))).eval()
    x = torch.rand(8, 6)
    network = tessera.from_aihwkit(analog, x)
    assert network.simulate(None, x).time.values.tolist() == [0.0]
    drifted = network.simulate(None, x, times=[86_400.0], record=["*"], repeats=2)
    name = network.layers[0]["name"]
    one, two = drifted[f"layers/{name}/output"].values[0]
    assert not np.array_equal(one, two)
    assert AnalogConv2d is not None
