# %% [markdown]
# # From aihwkit
# Configurations of aihwkit are read as they are. Where aihwkit is installed, a live model comes over with everything it learned.

# %%
import numpy as np

import tessera

try:
    from aihwkit.simulator.presets import StandardHWATrainingPreset  # type: ignore[import-not-found, import-untyped, unused-ignore]

    rpu_config = StandardHWATrainingPreset()
    print("the configuration is an object of", type(rpu_config).__module__)
except ImportError:
    rpu_config = {"preset": "StandardHWATrainingPreset"}
    print("aihwkit is not installed: its preset by name")

# %% [markdown]
# The same configuration for a tile and for a network:

# %%
weight = np.random.default_rng(1).normal(0, 0.2, (32, 64)).astype(np.float32)
tile = tessera.Tile(weight, rpu_config=rpu_config, seed=1)
print(tile)
resolved = tessera.load(tessera.example(), {"rpu_config": rpu_config}).resolved()
print(resolved[resolved.index("rpu_config:") :][:500])

# %% [markdown]
# A live model (or a checkpoint) comes over with its weights, mapping scales and input ranges, and computes the same:

# %%
if not isinstance(rpu_config, dict):
    import torch
    from aihwkit.nn.conversion import convert_to_analog  # type: ignore[import-not-found, import-untyped, unused-ignore]
    from aihwkit.simulator.configs import TorchInferenceRPUConfig  # type: ignore[import-not-found, import-untyped, unused-ignore]

    quiet = TorchInferenceRPUConfig()
    quiet.forward.out_noise = 0.0
    digital = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    model = convert_to_analog(digital, quiet).eval()
    inputs = torch.rand(100, 64)
    network = tessera.from_aihwkit(model, inputs[:1])
    last = network.layers[-1]["name"]
    ours = np.asarray(network.simulate(None, inputs, record=[last])[f"layers/{last}/output"])[0, 0]
    print("largest difference:", np.abs(ours - model(inputs).detach().numpy()).max())

# %% [markdown]
# aihwkit's quantizers are there under their names, bit for bit:

# %%
quantizer = tessera.quant.SymmetricUniformQuantizer(n_bits=4)
quantizer.set_quant_range(-1.0, 1.0)
x = np.linspace(-1.2, 1.2, 9, dtype=np.float32)
print(quantizer, quantizer.to_integer_forward(x), quantizer(x), sep="\n")
