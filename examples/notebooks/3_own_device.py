# %% [markdown]
# # A device from your own measurements
# Tables of what was measured, without code: the spread after programming and the read noise over conductance, the drift over time.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tessera

g = np.array([0.0, 5.0, 10.0, 20.0])  # uS
measured = {
    "type": "TableNoiseModel",
    "g_converter": {"type": "SinglePairConductanceConverter", "g_max": 20.0},
    "programming_sigma": {"g": g, "values": [0.2, 0.6, 0.7, 0.5]},
    "drift": "exponent",
    "drift_mean": {"g": g, "values": [0.07, 0.05, 0.04, 0.03]},
    "drift_std": {"g": g, "values": [0.02, 0.015, 0.01, 0.008]},
    "t_0": 20.0,
    "read_sigma": {"g": g, "values": [0.05, 0.1, 0.12, 0.15]},
}

# %% [markdown]
# One tile: what was asked for, and what lies in the devices.

# %%
weight = np.linspace(-1, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
tile = tessera.Tile(weight, rpu_config={"noise_model": measured}, seed=1)
(conductances,) = tile.conductances
print("devices, outputs, inputs:", conductances.shape, f"largest {conductances.max():.1f} uS")
figure, axes = plt.subplots(figsize=(5, 5))
axes.plot(weight.ravel(), tile.weights.ravel(), ",", label="programmed")
axes.plot(weight.ravel(), tile.drift(31_536_000).weights.ravel(), ",", label="a year later")
axes.set(xlabel="target weight", ylabel="weight in the devices")
axes.legend()

# %% [markdown]
# A network over a year, with and without compensation of the drift, three chips each.

# %%
times = [20, 3600, 86_400, 2_592_000, 31_536_000]
figure, axes = plt.subplots(figsize=(6, 4))
for name, compensation in (("none", None), ("per column", {"type": "PerColumnDriftCompensation"})):
    result = tessera.run(
        tessera.example(),
        {
            "data.limit": 300,
            "rpu_config.noise_model": measured,
            "rpu_config.drift_compensation": compensation,
            "evaluation": {"repeats": 3, "times": times},
        },
    )
    accuracy = 100 * result.accuracy
    axes.errorbar(times, accuracy.mean("repeat"), accuracy.std("repeat"), marker="o", label=f"compensation: {name}")
    print(name, accuracy.mean("repeat").values.round(1))
axes.set(xscale="log", xlabel="time after programming (s)", ylabel="accuracy (%)")
axes.legend()
