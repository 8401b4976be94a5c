"""Do modules of torch compute and learn what the library does?"""

from __future__ import annotations

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
