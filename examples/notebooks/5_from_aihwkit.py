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
print(tessera.load(tessera.example(), {"rpu_config": rpu_config}).resolved()[:600])

# %% [markdown]
# aihwkit's quantizers are there under their names, bit for bit:

# %%
quantizer = tessera.quant.SymmetricUniformQuantizer(n_bits=4)
quantizer.set_quant_range(-1.0, 1.0)
x = np.linspace(-1.2, 1.2, 9, dtype=np.float32)
print(quantizer, quantizer.to_integer_forward(x), quantizer(x), sep="\n")
