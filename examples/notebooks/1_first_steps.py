# %% [markdown]
# # First steps
# A small convolutional network on simulated analog hardware: 8-bit converters, noise at the outputs, a quantized digital periphery.

# %%
import numpy as np

import tessera

result = tessera.run(tessera.example(), {"data.limit": 500})
print(f"float32:  {float(result['reference'].accuracy):.1%}")
print(f"on tiles: {float(result.accuracy.mean()):.1%}")

# %% [markdown]
# A result is an `xarray.DataTree`, equal to what the result file of the command opens as. Every layer says how far it is from float32, and why.

# %%
for name, layer in result["layers"].children.items():
    print(f"{name:6} {float(layer.sqnr_db.mean()):5.1f} dB, {float(layer.adc_saturation_fraction.mean()):.2%} of the ADC's values clipped")

# %% [markdown]
# Anything of the configuration can be changed; what is misspelt is an error that knows the right word.

# %%
noisy = tessera.run(tessera.example(), {"data.limit": 500, "rpu_config.forward.out_noise": 0.3})
print(f"with more noise: {float(noisy.accuracy.mean()):.1%}")
try:
    tessera.run(tessera.example(), {"rpu_config.forward.out_nois": 0.3})
except tessera.ConfigError as problems:
    print(problems)

# %% [markdown]
# A single tile: a matrix in phase-change memory, now and a year later.

# %%
weight = np.random.default_rng(1).normal(0, 0.2, (64, 128)).astype(np.float32)
x = np.random.default_rng(2).normal(0, 1, (1000, 128)).astype(np.float32)
tile = tessera.Tile(
    weight,
    rpu_config={
        "preset": "StandardHWATrainingPreset",
        "noise_model": {"type": "PCMLikeNoiseModel"},
        "pre_post": {"input_range": {"init_value": 4.0}},
    },
    seed=1,
)
for seconds in (1, 86_400, 31_536_000):
    y = tile.drift(seconds)(x)
    error = np.sqrt(np.mean((y - x @ weight.T) ** 2) / np.mean((x @ weight.T) ** 2))
    print(f"{seconds:>11,} s after programming: relative error {error:.3f}")
