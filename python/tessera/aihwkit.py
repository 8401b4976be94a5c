"""Networks that were built or trained with aihwkit."""

from __future__ import annotations

import copy
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._observe import message
from ._source import plain
from .errors import InputError
from .network import Network, convert


def from_aihwkit(analog_model: Any, example_inputs: Any, checkpoint: str | os.PathLike[str] | None = None) -> Network:
    """The network of a live model of aihwkit, its layers on the same tiles.

    Takes weights, mapping scales, learned output scales, input ranges and each layer's configuration, so that
    ``net.simulate(None, x)`` computes what ``analog_model.eval()(x)`` does. Nothing is programmed unless
    ``net.simulate(None, x, times=[...])`` asks for moments after programming: aihwkit programs in
    ``drift_analog_weights`` only. ``checkpoint``: a file of ``torch.save(analog_model.state_dict(), path)``, loaded into
    a copy.

    A trained layer, whose tile no longer has the scales that its weights would be given, becomes a tile of that very
    content, called ``<layer>.tile``, with the scales and the bias behind it. What cannot come over is a warning that
    names the layer: different input ranges of its tiles; scales of trained weights on several tiles, with an analog bias
    or a quantized periphery; ranges of quantizers, which are found anew.

    ``example_inputs``: a tensor, or a tuple of them, for the export. InputError for a model without analog layers and
    for grouped convolutions.
    """
    import torch
    from aihwkit.nn.conversion import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
        convert_to_digital,
    )

    model = copy.deepcopy(analog_model)
    if checkpoint is not None:
        model.load_state_dict(torch.load(checkpoint, weights_only=False))
    layers = {name: layer for name, layer in model.named_modules() if hasattr(layer, "analog_module")}
    if not layers:
        raise InputError("the model has no analog layer of aihwkit; use tessera.convert for a digital one")
    found = {name: _Layer(name, layer) for name, layer in layers.items()}
    digital = convert_to_digital(model, inplace=True)
    behind = {}
    for layer in found.values():
        if layer.own_scales is not None:
            digital, bias = _taken_apart(digital, layer)
            behind[layer.rule()["match"]] = (layer.own_scales, bias)
    network = convert(digital, example_inputs)
    network.layer_scales = behind
    network.layer_rules = [{"match": "*", "analog": False}, *(layer.rule() for layer in found.values())]
    unknown = {rule["match"] for rule in network.layer_rules[1:]} - {layer["name"] for layer in network.layers}
    if unknown:
        raise InputError(f"the exported network has no layer called {', '.join(sorted(unknown))}")
    return network


class _Layer:
    """What there is to know of an analog layer."""

    def __init__(self, name: str, layer: Any) -> None:
        self.name = name
        groups = getattr(layer, "groups", 1)
        if groups != 1:
            raise InputError(f"layer '{name}' has {groups} groups; aihwkit's grouped convolutions are not read")
        tiles = list(layer.analog_tiles())
        self.rpu: dict[str, Any] = plain(tiles[0].rpu_config)
        self.own_scales: NDArray[np.float32] | None = None
        self._take_ranges(tiles)
        self._take_scales(tiles)
        if any(getattr(tile, "scale_quantizer", None) for tile in tiles):
            if self.rpu["pre_post"]["periph_quant"].get("learn_quant_params"):
                self._warn("learned ranges of its periphery's quantizers are found anew from its scales")
        if any(getattr(tile, "out_quantizer", None) for tile in tiles):
            self._warn("the ranges of its output quantizers are found anew from the first samples")

    def _warn(self, text: str) -> None:
        message(True, f"layer '{self.name}': {text}")

    def _take_ranges(self, tiles: list[Any]) -> None:
        ranges = [float(tile.input_range.detach().abs()) for tile in tiles if tile.input_range is not None]
        if not ranges:
            return
        if not np.allclose(ranges, ranges[0], rtol=1e-6):
            self._warn(f"its {len(ranges)} tiles have different input ranges; the largest, {max(ranges):g}, is taken for all")
        self.rpu["pre_post"]["input_range"]["init_value"] = max(ranges)

    def _take_scales(self, tiles: list[Any]) -> None:
        """Scales that do not follow from the weights are kept as they are."""
        follow = True
        for tile in tiles:
            scales = tile.get_scales()
            weight = tile.get_weights()[0].detach().numpy()
            if tile.analog_bias:
                weight = np.concatenate([weight, tile.get_weights()[1].detach().numpy().reshape(-1, 1)], 1)
            own = np.ones(1, np.float32) if scales is None else scales.detach().cpu().numpy().reshape(-1)
            mapped = _mapping_scales(weight, self.rpu.get("mapping", {}))
            follow = follow and np.allclose(own, mapped, rtol=1e-5)
        if follow:
            return
        quantized = self.rpu.get("pre_post", {}).get("periph_quant", {}).get("n_bits", 0) > 0
        if len(tiles) > 1 or tiles[0].analog_bias or quantized:
            why = "on several tiles" if len(tiles) > 1 else "with an analog bias" if tiles[0].analog_bias else "quantized"
            self._warn(f"its mapping scales do not follow from its trained weights and, {why}, are found anew")
            return
        self.own_scales = np.broadcast_to(own, (tiles[0].out_size,)).astype(np.float32)

    def rule(self) -> dict[str, Any]:
        if self.own_scales is None:
            return {"match": self.name, "analog": True, "rpu_config": self.rpu}
        unscaled = {**self.rpu, "mapping": {**self.rpu["mapping"], "weight_scaling_omega": 0.0}}
        return {"match": f"{self.name}.tile" if self.name else "tile", "analog": True, "rpu_config": unscaled}


def _mapping_scales(weight: NDArray[np.float32], mapping: dict[str, Any]) -> NDArray[np.float32]:
    """Those that a mapping gives these weights."""
    omega = mapping.get("weight_scaling_omega", 0.0)
    if not omega or omega <= 0.0:
        return np.ones(1, np.float32)
    largest: NDArray[np.float32] = np.asarray(np.abs(weight).max(axis=1) / np.float32(omega))
    return largest if mapping.get("weight_scaling_columnwise") else np.asarray(largest.max(keepdims=True))


def _taken_apart(model: Any, layer: _Layer) -> tuple[Any, NDArray[np.float32]]:
    """The model with the layer's tile, its scales and its bias apart, and that bias."""
    import torch

    scales = torch.from_numpy(np.array(layer.own_scales))
    tile = model.get_submodule(layer.name)
    bias = torch.zeros_like(scales) if tile.bias is None else tile.bias.detach().clone()

    class Scaled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tile = tile
            shape = (-1,) if isinstance(tile, torch.nn.Linear) else (-1, *(1,) * (tile.weight.dim() - 2))
            self.register_buffer("scale", scales.reshape(shape))
            self.register_buffer("offset", bias.reshape(shape))
            with torch.no_grad():
                tile.weight.div_(scales.reshape(-1, *(1,) * (tile.weight.dim() - 1)))
            tile.bias = None

        def forward(self, x: Any) -> Any:
            return self.tile(x) * self.scale + self.offset

    scaled = Scaled()
    if not layer.name:
        return scaled, bias.numpy()
    parent, _, child = layer.name.rpartition(".")
    setattr(model.get_submodule(parent), child, scaled)
    return model, bias.numpy()
