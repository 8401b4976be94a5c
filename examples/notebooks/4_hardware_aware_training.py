# %% [markdown]
# # Hardware-aware training from PyTorch
# Layers on analog tiles in your own loop: the forward pass runs on the library's tiles, the gradients are its exact ones.

# %%
import numpy as np
import torch

import tessera
from tessera.torch import AnalogLinear, convert_to_analog


def glyphs(split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    easy = {"split": split, "count": count, "affine": 0.4, "elastic": 0.4}
    data = {"format": "glyphs", "scale": 0.00392156862745098, "glyphs": easy, "limit": count}
    return tessera.load(tessera.example(), {"data": data}).data()


train, test = glyphs("train", 2000), glyphs("test", 500)
x_train, y_train = torch.from_numpy(train[0]), torch.from_numpy(train[1])
x_test, y_test = torch.from_numpy(test[0]), torch.from_numpy(test[1])

hardware = {
    "forward": {"inp_res": 254, "out_res": 254, "out_bound": 10.0, "out_noise": 1.0, "noise_management": "ABS_MAX"},
    "mapping": {"weight_scaling_omega": 1.0, "weight_scaling_columnwise": True},
}


def network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(784, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
    )


def fit(net: torch.nn.Module, epochs: int) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    net.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(x_train)).split(50):  # type: ignore[no-untyped-call, unused-ignore]
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(x_train[batch]), y_train[batch])
            loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
            optimizer.step()


def accuracy(net: torch.nn.Module) -> float:
    net.eval()
    with torch.no_grad():
        return float((net(x_test).argmax(1) == y_test).double().mean())


# %% [markdown]
# Trained digitally, and put on the hardware afterwards:

# %%
net = network()
fit(net, 8)
print(f"digital: {accuracy(net):.1%}")
on_tiles = convert_to_analog(net, hardware, seed=1)
print(f"the same weights on tiles: {accuracy(on_tiles):.1%}")

# %% [markdown]
# Trained on the hardware from there on:

# %%
fit(on_tiles, 6)
print(f"trained on tiles: {accuracy(on_tiles):.1%}")

# %% [markdown]
# The trained network in a simulation of its own, on five chips of phase-change memory, now and after a day:

# %%
digital = network()
for layer, trained in zip(digital.children(), on_tiles.children()):
    if isinstance(trained, AnalogLinear):
        layer.load_state_dict(trained.to_digital().state_dict())
result = tessera.convert(digital, x_test[:1]).simulate(
    {**hardware, "noise_model": {"type": "PCMLikeNoiseModel"}},
    x_test,
    np.asarray(y_test),
    repeats=5,
    times=[20, 86_400],
)
print((100 * result.accuracy).mean("repeat").values.round(1))
