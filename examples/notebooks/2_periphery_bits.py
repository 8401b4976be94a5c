# %% [markdown]
# # How many bits does the digital periphery need?
# Behind each column of a tile stands an affine scale. A sweep over its bits and those of the ADC is one labelled hypercube.

# %%
import matplotlib.pyplot as plt

import tessera

sweep = tessera.sweep(
    tessera.example(),
    {
        "data.limit": 300,
        "evaluation.repeats": 3,
        "sweep.axes": {
            "rpu_config.pre_post.periph_quant.n_bits": [2, 3, 4, 5, 6, 8],
            "rpu_config.forward.out_res": [14, 62, 254],
        },
    },
)
accuracy = 100 * sweep.accuracy.mean(["time", "repeat"])
print(accuracy.to_pandas().round(1))

# %%
figure, axes = plt.subplots(figsize=(6, 4))
for steps in accuracy.out_res.values:
    axes.plot(accuracy.n_bits, accuracy.sel(out_res=steps), marker="o", label=f"{int(steps)} ADC steps")
axes.axhline(100 * float(sweep["reference"].accuracy.mean()), color="black", linestyle=":", label="float32")
axes.set(xlabel="bits of the periphery's scales", ylabel="accuracy (%)")
axes.legend()

# %% [markdown]
# The layers tell where the bits are lost: the signal-to-quantization-noise ratio of the scales themselves.

# %%
for name, layer in sweep["layers"].children.items():
    sqnr = layer.periphery_scale_sqnr_db
    print(name, sqnr.mean([dim for dim in sqnr.dims if dim != "n_bits"]).values.round(1), "dB")
