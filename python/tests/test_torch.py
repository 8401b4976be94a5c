"""Do modules of torch compute and learn what the library does?"""

from __future__ import annotations

import copy

import numpy as np
import pytest

from conftest import require

torch = require("torch")
import tessera  # noqa: E402
from tessera import torch as tt  # noqa: E402

PERFECT = {"forward": {"is_perfect": True}}
NOISY = {"forward": {"out_noise": 0.04, "inp_res": 254, "out_res": 254}, "pre_post": {"input_range": {"enable": True}}}


def test_a_perfect_layer_is_torchs() -> None:
    torch.manual_seed(0)
    digital = torch.nn.Linear(7, 5)
    analog = tt.AnalogLinear.from_digital(digital, PERFECT)
    x = torch.randn(4, 3, 7, requires_grad=True)
    a, d = analog(x), digital(x)
    assert torch.allclose(a, d, atol=1e-5)
    grad = torch.randn_like(a)
    (grad_x,) = torch.autograd.grad(a, x, grad, retain_graph=True)
    (expected,) = torch.autograd.grad(d, x, grad, retain_graph=True)
    assert torch.allclose(grad_x, expected, atol=1e-5)
    a.backward(grad)
    d.backward(grad)
    assert torch.allclose(analog.weight.grad, digital.weight.grad, atol=1e-4)
    assert torch.allclose(analog.bias.grad, digital.bias.grad, atol=1e-4)


def test_a_perfect_convolution_is_torchs() -> None:
    torch.manual_seed(0)
    digital = torch.nn.Conv2d(3, 4, 3, stride=2, padding=1)
    analog = tt.AnalogConv2d.from_digital(digital, PERFECT)
    x = torch.randn(2, 3, 9, 7, requires_grad=True)
    a, d = analog(x), digital(x)
    assert torch.allclose(a, d, atol=1e-5)
    a.sum().backward()
    expected = torch.autograd.grad(d.sum(), digital.weight)[0]
    assert torch.allclose(analog.weight.grad, expected, atol=1e-4)


def test_training_on_tiles_learns() -> None:
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
    assert tt.convert_to_analog(net, NOISY, seed=3) is net
    assert isinstance(net[0], tt.AnalogLinear) and isinstance(net[2], tt.AnalogLinear)
    x = torch.randn(256, 8)
    y = (x[:, 0] > x[:, 1]).long()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    net.eval()
    assert (net(x).argmax(1) == y).float().mean() > 0.9


def test_noise_is_fresh_and_can_be_repeated() -> None:
    layer = tt.AnalogLinear(6, 3, rpu_config=NOISY, seed=5).eval()
    x = torch.randn(4, 6)
    first, second = layer(x), layer(x)
    assert not torch.equal(first, second)
    layer.rewind()
    assert torch.equal(layer(x), first)


def test_convert_excludes() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    tt.convert_to_analog(net, PERFECT, exclude=["1"])
    assert type(net[1]) is torch.nn.Linear
    with pytest.raises(ValueError, match="names no layer"):
        tt.convert_to_analog(net, exclude=["9"])


@pytest.mark.parametrize("cls", ["SymmetricUniformQuantizer", "AsymmetricUniformQuantizer"])
def test_quantizers_pass_gradients_and_learn(cls: str) -> None:
    module = getattr(tt, cls)(4)
    module.set_quant_range(-1.0, 1.5)
    x = torch.linspace(-3, 3, 50, requires_grad=True)
    y = module(x)
    plain = getattr(tessera.quant, cls)(4)
    plain.set_quant_range(-1.0, 1.5)
    assert np.array_equal(y.detach().numpy(), plain(x.detach().numpy()))
    y.sum().backward()
    assert set(x.grad.unique().tolist()) == {0.0, 1.0}
    module.make_range_trainable()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    before = ((module(x) - x) ** 2).mean().item()
    for _ in range(40):
        optimizer.zero_grad()
        loss = ((module(x) - x.detach()) ** 2).mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < before


def test_formats_of_gradients() -> None:
    q = tt.quantizer(
        tessera.quant.FixedPoint(4, 2), tessera.quant.FloatingPoint(5, 2), "nearest", "nearest", clamping_grad_zero=True
    )
    x = torch.tensor([0.3, 5.0, -1.0], requires_grad=True)
    y = q(x)
    assert y.tolist() == [0.25, 1.75, -1.0]
    y.backward(torch.tensor([1.05, 1.0, 1.3]))
    assert x.grad.tolist() == [1.0, 0.0, 1.25]
    torch.manual_seed(3)
    a = tt.fixed_point_quantize(x.detach(), 8, 2)
    torch.manual_seed(3)
    assert torch.equal(a, tt.fixed_point_quantize(x.detach(), 8, 2))


def test_states_pass_gradients() -> None:
    x = torch.linspace(-1, 1, 9, requires_grad=True)
    y = tt.state_quant(num_bits=2)(x)
    y.sum().backward()
    assert x.grad.tolist() == [1.0] * 9
    assert len(y.unique()) <= 4


def test_a_module_becomes_a_network() -> None:
    require("onnx")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    x = torch.randn(5, 3, 4)
    network = tessera.convert(net, x)
    assert [layer["outputs"] for layer in network.layers] == [8, 3]
    result = network.simulate(PERFECT, x, record=["*"])
    last = list(result["layers"].layer.values)[-1]
    assert np.allclose(result[f"layers/{last}/output"].values[0, 0], net(x).detach().numpy(), atol=1e-5)


def test_copies_and_files_hold_what_was_learned(tmp_path: object) -> None:
    torch.manual_seed(0)
    layer = tt.AnalogLinear(6, 4, rpu_config=NOISY, seed=2)
    layer(torch.randn(20, 6)).sum().backward()
    with torch.no_grad():
        layer.weight.add_(0.1)
    layer.eval()
    x = torch.randn(5, 6)
    copied = copy.deepcopy(layer)
    fresh = tt.AnalogLinear(6, 4, rpu_config=NOISY, seed=2).eval()
    fresh.load_state_dict(layer.state_dict())
    for other in (layer, copied, fresh):
        other.rewind()
    expected = layer(x)
    assert torch.equal(copied(x), expected)
    assert torch.equal(fresh(x), expected)
    quantizer = tt.AsymmetricUniformQuantizer(5)
    quantizer.set_quant_range(-1.0, 2.0)
    other = tt.AsymmetricUniformQuantizer(5)
    other.load_state_dict(quantizer.state_dict())
    assert torch.equal(other(x), quantizer(x)) and torch.equal(copy.deepcopy(quantizer)(x), quantizer(x))


def test_digital_again() -> None:
    torch.manual_seed(0)
    for digital, x in (
        (torch.nn.Linear(7, 5), torch.randn(4, 7)),
        (torch.nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False), torch.randn(2, 2, 6, 6)),
    ):
        cls = tt.AnalogLinear if isinstance(digital, torch.nn.Linear) else tt.AnalogConv2d
        back = cls.from_digital(digital, PERFECT).to_digital()
        assert torch.allclose(back(x), digital(x), atol=1e-6)


@pytest.mark.parametrize("spike_grad", ["atan", "fast_sigmoid", "straight_through_estimator"])
def test_neurons_learn_through_time(spike_grad: str) -> None:
    torch.manual_seed(0)
    options = {"spike_grad": spike_grad, "learn_beta": True, "learn_threshold": True}
    lif = tt.Leaky(0.8, 0.5, **options)
    numpy_lif = tessera.quant.Leaky(0.8, 0.5)
    x = torch.rand(6, 3, 4, requires_grad=True)
    mem, state, total = lif.init_leaky(), None, torch.zeros(())
    for step in x:
        spikes, mem = lif(step, mem)
        ours, state = numpy_lif(step.detach().numpy(), state)
        assert np.array_equal(spikes.detach().numpy(), ours) and np.array_equal(mem.detach().numpy(), state)
        total = total + spikes.sum() + mem.sum()
    total.backward()
    assert x.grad.abs().sum() > 0 and lif.beta.grad.abs() > 0 and lif.threshold.grad.abs() > 0
    quantized = tt.Leaky(0.8, 0.5, state_quant=tt.state_quant(num_bits=2, threshold=0.5))
    _, mem = quantized(x[0].detach())
    assert len(mem.unique()) <= 4
    with pytest.raises(tessera.ConfigError, match="did you mean"):
        tt.Leaky(0.8, spike_grad="atn")


def test_a_gradient_of_the_state_is_what_differences_say() -> None:
    """Below the threshold a step is linear: its gradient is known."""
    lif = tt.Leaky(0.7, 10.0, reset_mechanism="none", learn_beta=True, spike_grad="heaviside")
    x, mem = torch.full((1, 2), 0.3, requires_grad=True), torch.full((1, 2), 0.5, requires_grad=True)
    _, after = lif(x, mem)
    after.sum().backward()
    assert torch.allclose(x.grad, torch.ones(1, 2)) and torch.allclose(mem.grad, torch.full((1, 2), 0.7))
    assert torch.allclose(lif.beta.grad, torch.tensor(1.0))


def test_managers_estimate_fix_and_learn() -> None:
    manager = tt.QuantizationManager(4, symmetric=False)
    with pytest.raises(tessera.QuantizerNotInitializedError):
        manager.eval()(torch.randn(3))
    x = torch.randn(50)
    manager.train()(x)
    assert float(manager.quantizer.x_max) == pytest.approx(float(x.max()), abs=0.2)
    manager.fix_ranges()
    fixed = manager(x)
    manager(10 * x)
    assert torch.equal(manager(x), fixed)
    manager.learn_ranges()
    assert manager.is_learning() and len(list(manager.parameters())) == 2
    manager(x).sum().backward()
    assert all(parameter.grad is not None for parameter in manager.parameters())
    for estimator in tessera.quant.RangeEstimators:
        assert torch.isfinite(tt.QuantizationManager(4, True, estimator)(x.reshape(5, 10))).all()
