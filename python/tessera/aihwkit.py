"""Networks that were built or trained with aihwkit."""

from __future__ import annotations

import copy
import dataclasses
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

    A trained layer, whose tiles no longer have the scales that its weights would be given, or have input ranges of their
    own, becomes tiles of that very content, called ``<layer>.tile``, or ``<layer>.tile_<outputs>_<inputs>`` by their
    place where there are several, with their scales, sums and the bias behind them. What cannot come over is a warning
    that names the layer: such tiles with an analog bias or a quantized periphery, or of a convolution whose tiles divide
    its kernels; ranges of quantizers, which are found anew.

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
        if layer.apart is None:
            continue
        digital, bias = _taken_apart(digital, layer)
        if len(layer.apart) == 1:
            behind[layer.rules()[0]["match"]] = (layer.apart[0].scales, bias)
    network = convert(digital, example_inputs)
    network.layer_scales = behind
    rules = [rule for layer in found.values() for rule in layer.rules()]
    network.layer_rules = [{"match": "*", "analog": False}, *rules]
    unknown = {rule["match"] for rule in network.layer_rules[1:]} - {layer["name"] for layer in network.layers}
    if unknown:
        raise InputError(f"the exported network has no layer called {', '.join(sorted(unknown))}")
    return network


@dataclasses.dataclass
class _Tile:
    """A tile that is kept as it is, and its place."""

    outputs: slice
    inputs: slice
    scales: NDArray[np.float32]  #: one for each output
    input_range: float | None


class _Layer:
    """What there is to know of an analog layer."""

    def __init__(self, name: str, layer: Any) -> None:
        self.name = name
        groups = getattr(layer, "groups", 1)
        if groups != 1:
            raise InputError(f"layer '{name}' has {groups} groups; aihwkit's grouped convolutions are not read")
        tiles = list(layer.analog_tiles())
        self.rpu: dict[str, Any] = plain(tiles[0].rpu_config)
        self.apart: list[_Tile] | None = None  #: None: the layer as a whole, mapped as its configuration says
        ranges = [None if tile.input_range is None else float(tile.input_range.detach().abs()) for tile in tiles]
        given = [r for r in ranges if r is not None]
        same_ranges = len(given) in (0, len(ranges)) and np.allclose(given, given[:1], rtol=1e-6)
        follow = all(_scales_follow(tile, self.rpu) for tile in tiles)
        if not (same_ranges and follow):
            self._take_apart(layer, tiles, ranges, follow)
        if given and self.apart is None:
            if not same_ranges:
                largest = f"the largest, {max(given):g}, is taken for all"
                self._warn(f"its {len(given)} tiles have different input ranges; {largest}")
            self.rpu["pre_post"]["input_range"]["init_value"] = max(given)
        if any(getattr(tile, "scale_quantizer", None) for tile in tiles):
            if self.rpu["pre_post"]["periph_quant"].get("learn_quant_params"):
                self._warn("learned ranges of its periphery's quantizers are found anew from its scales")
        if any(getattr(tile, "out_quantizer", None) for tile in tiles):
            self._warn("the ranges of its output quantizers are found anew from the first samples")

    def _warn(self, text: str) -> None:
        message(True, f"layer '{self.name}': {text}")

    def _take_apart(self, layer: Any, tiles: list[Any], ranges: list[float | None], follow: bool) -> None:
        """Its tiles as they are, where their sum with the bias is all that is behind them."""
        why = ""
        places = _places(layer)
        if self.rpu.get("pre_post", {}).get("periph_quant", {}).get("n_bits", 0) > 0:
            why = "quantized"
        elif tiles[0].analog_bias:
            why = "with an analog bias"
        elif len(tiles) > 1 and any(getattr(tile, "out_quantizer", None) for tile in tiles):
            why = "with output quantizers on several tiles"
        elif places is None or len(places) != len(tiles):
            why = "with tiles that divide its kernels"
        if why:
            if not follow:
                self._warn(f"its mapping scales do not follow from its trained weights and, {why}, are found anew")
            return
        assert places is not None
        self.apart = []
        for tile, (inputs, outputs), found in zip(tiles, places, ranges):
            scales = np.broadcast_to(_scales(tile), (tile.out_size,)).astype(np.float32)
            self.apart.append(_Tile(outputs, inputs, scales, found))

    def tile_names(self) -> list[str]:
        """Of the modules that stand for tiles, by the order of ``apart``."""
        assert self.apart is not None
        if len(self.apart) == 1:
            return ["tile"]
        rows = sorted({tile.outputs.start for tile in self.apart})
        columns = sorted({tile.inputs.start for tile in self.apart})
        return [f"tile_{rows.index(tile.outputs.start)}_{columns.index(tile.inputs.start)}" for tile in self.apart]

    def rules(self) -> list[dict[str, Any]]:
        if self.apart is None:
            return [{"match": self.name, "analog": True, "rpu_config": self.rpu}]
        rules = []
        for name, tile in zip(self.tile_names(), self.apart):
            rpu = copy.deepcopy(self.rpu)
            rpu["mapping"]["weight_scaling_omega"] = 0.0
            if tile.input_range is not None:
                rpu["pre_post"]["input_range"]["init_value"] = tile.input_range
            rules.append({"match": f"{self.name}.{name}" if self.name else name, "analog": True, "rpu_config": rpu})
        return rules


def _scales(tile: Any) -> NDArray[np.float32]:
    scales = tile.get_scales()
    return np.ones(1, np.float32) if scales is None else np.asarray(scales.detach().cpu().numpy().reshape(-1))


def _scales_follow(tile: Any, rpu: dict[str, Any]) -> bool:
    """Whether the scales are those that the mapping would give the weights."""
    weight = tile.get_weights()[0].detach().numpy()
    if tile.analog_bias:
        weight = np.concatenate([weight, tile.get_weights()[1].detach().numpy().reshape(-1, 1)], 1)
    return bool(np.allclose(_scales(tile), _mapping_scales(weight, rpu.get("mapping", {})), rtol=1e-5))


def _places(layer: Any) -> list[tuple[slice, slice]] | None:
    """Inputs and outputs of each tile, input part by input part as aihwkit lists them; inputs of a convolution are
    channels. None where a tile divides a kernel."""
    module = layer.analog_module
    in_sizes, out_sizes = getattr(module, "in_sizes", None), getattr(module, "out_sizes", None)
    if in_sizes is None or out_sizes is None:
        in_sizes, out_sizes = [module.in_size], [module.out_size]
    kernel = int(np.prod(getattr(layer, "kernel_size", (1,))))
    if any(size % kernel for size in in_sizes):
        return None
    inputs, outputs = (np.concatenate([[0], np.cumsum(sizes)]) for sizes in (np.array(in_sizes) // kernel, out_sizes))
    return [
        (slice(int(i), int(i_end)), slice(int(o), int(o_end)))
        for i, i_end in zip(inputs, inputs[1:])
        for o, o_end in zip(outputs, outputs[1:])
    ]


def _mapping_scales(weight: NDArray[np.float32], mapping: dict[str, Any]) -> NDArray[np.float32]:
    """Those that a mapping gives these weights."""
    omega = mapping.get("weight_scaling_omega", 0.0)
    if not omega or omega <= 0.0:
        return np.ones(1, np.float32)
    largest: NDArray[np.float32] = np.asarray(np.abs(weight).max(axis=1) / np.float32(omega))
    return largest if mapping.get("weight_scaling_columnwise") else np.asarray(largest.max(keepdims=True))


def _taken_apart(model: Any, layer: _Layer) -> tuple[Any, NDArray[np.float32]]:
    """The model with the layer's tiles, their scales and the bias apart, and that bias."""
    import torch

    assert layer.apart is not None
    apart, names = layer.apart, layer.tile_names()
    whole = model.get_submodule(layer.name)
    dense = isinstance(whole, torch.nn.Linear)
    outputs = whole.weight.shape[0]
    bias = torch.zeros(outputs) if whole.bias is None else whole.bias.detach().clone()
    behind = (-1,) if dense else (-1, *(1,) * (whole.weight.dim() - 2))
    axis = -1 if dense else 1

    def part(tile: _Tile) -> Any:
        """The layer on the tile's share of inputs and outputs, in the tile's own weights."""
        made = copy.deepcopy(whole)
        made.bias = None
        with torch.no_grad():
            weight = whole.weight[tile.outputs, tile.inputs]
            scales = torch.from_numpy(np.array(tile.scales)).reshape(-1, *(1,) * (weight.dim() - 1))
            made.weight = torch.nn.Parameter((weight / scales).clone())
        if dense:
            made.in_features, made.out_features = made.weight.shape[1], made.weight.shape[0]
        else:
            made.in_channels, made.out_channels = made.weight.shape[1], made.weight.shape[0]
        return made

    class Scaled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, tile in zip(names, apart):
                self.add_module(name, part(tile))
                scale = torch.from_numpy(np.array(tile.scales)).reshape(behind)
                self.register_buffer(name.replace("tile", "scale"), scale)
            self.register_buffer("offset", bias.reshape(behind))

        def forward(self, x: Any) -> Any:
            sums: dict[int, Any] = {}
            for name, tile in zip(names, apart):
                share = x.narrow(axis, tile.inputs.start, tile.inputs.stop - tile.inputs.start) if len(apart) > 1 else x
                y = getattr(self, name)(share) * getattr(self, name.replace("tile", "scale"))
                sums[tile.outputs.start] = sums[tile.outputs.start] + y if tile.outputs.start in sums else y
            parts = [sums[start] for start in sorted(sums)]
            return (torch.cat(parts, axis) if len(parts) > 1 else parts[0]) + self.offset

    scaled = Scaled()
    if not layer.name:
        return scaled, bias.numpy()
    parent, _, child = layer.name.rpartition(".")
    setattr(model.get_submodule(parent), child, scaled)
    return model, bias.numpy()
