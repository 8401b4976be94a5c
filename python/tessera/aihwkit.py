"""Networks that were built or trained with aihwkit."""

from __future__ import annotations

import copy
import os
from typing import Any

import numpy as np

from ._source import plain
from .errors import InputError
from .network import Network, convert


def from_aihwkit(analog_model: Any, example_inputs: Any, checkpoint: str | os.PathLike[str] | None = None) -> Network:
    """The network of a live model of aihwkit, its layers on the same tiles.

    Takes weights and each layer's configuration, and of every tile, also where a layer has several, the mapping scales,
    learned output scales, input range and ranges of its quantizers, so that ``net.simulate(None, x)`` computes what
    ``analog_model.eval()(x)`` does. Nothing is programmed unless ``net.simulate(None, x, times=[...])`` asks for moments
    after programming: aihwkit programs in ``drift_analog_weights`` only. ``checkpoint``: a file of
    ``torch.save(analog_model.state_dict(), path)``, loaded into a copy.

    What was taken is in ``net.calibration``, by layer, and is saved with the network. Another ``rpu_config`` has to fit
    it; ``overrides={"model.use_calibration": False}`` takes the weights alone.

    ``example_inputs``: a tensor, or a tuple of them, for the export. InputError for a model without analog layers.
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
    found = {name: _configuration(layer) for name, layer in layers.items()}
    numbers = {name: _numbers(layer, found[name]) for name, layer in layers.items()}
    network = convert(convert_to_digital(model, inplace=True), example_inputs)
    names = {layer["name"] for layer in network.layers}
    if not layers.keys() <= names:
        raise InputError(f"the exported network has no layer called {', '.join(sorted(layers.keys() - names))}")
    network.layer_rules = [{"match": "*", "analog": False}]
    network.layer_rules += [{"match": name, "analog": True, "rpu_config": rpu} for name, rpu in found.items()]
    network.calibration = numbers
    return network


def _is_array(module: Any) -> bool:
    return hasattr(module, "in_sizes")


def _configuration(layer: Any) -> dict[str, Any]:
    """The layer's, with what its tiles make of it."""
    rpu: dict[str, Any] = plain(next(iter(layer.analog_tiles())).rpu_config)
    mapping = rpu["mapping"]
    if _is_array(layer.analog_module):
        mapping["digital_bias"] = True
    else:  # one tile, whatever its size
        mapping["max_input_size"] = mapping["max_output_size"] = 0
    mapping["bias_line_as_input"] = True  # as aihwkit drives an analog bias
    return rpu


def _numbers(layer: Any, rpu: dict[str, Any]) -> dict[str, list[float]]:
    """What the layer learned, as a model file holds it (docs/formats/model.md)."""
    module = layer.analog_module
    tiles = list(layer.analog_tiles())
    periphery = rpu["pre_post"].get("periph_quant", {})
    mapping = rpu["mapping"]
    law = [float(mapping.get("weight_scaling_omega", 0.0)), float(mapping.get("weight_scaling_columnwise", False))]
    ranges = [0.0 if tile.input_range is None else abs(float(tile.input_range.detach())) for tile in tiles]
    numbers = {
        "tiles": _places(module, tiles),
        "input_range": ranges,
        "input_range_updates": [_count(tile, "input_range_update_idx") for tile in tiles],
        "noise_management_average": [0.0] * len(tiles),
        "periphery_updates": [_count(tiles[0], "scale_quant_update_idx")],
        "mapping_law": law,
    }
    for t, tile in enumerate(tiles):
        scales = tile.get_scales()
        if scales is not None:
            numbers[f"tile{t}.mapping_scale"] = [v if v != 0.0 else 1.0 for v in _floats(scales)]
        _put_range(numbers, f"tile{t}.scale_quantizer", getattr(tile, "scale_quantizer", None))
        _put_range(numbers, f"tile{t}.output_quantizer", _activation(tile, "out_quantizer"))
    _put_range(numbers, "bias_quantizer", getattr(module, "bias_quantizer", None))
    _put_range(numbers, "output_quantizer", _activation(module, "module_out_quantizer"))
    if periphery.get("n_bits", 0) > 0:
        width = [float(periphery["n_bits"]), float(periphery["symmetric"]), 0.0, 0.0]
        numbers["periphery_law"] = [*width, *law]
    activation = rpu.get("act_quant_config") or {}
    if activation.get("n_bits", 0) > 0:  # ranges as they are: of no estimator
        method = 0.0 if activation["symmetric"] else 1.0
        numbers["activation_law"] = [float(activation["n_bits"]), method, *[0.0] * 3, -1.0, *[0.0] * 5]
    return numbers


def _places(module: Any, tiles: list[Any]) -> list[float]:
    """First output, outputs, first input and inputs of each tile, input part by input part."""
    if not _is_array(module):
        return [0.0, float(tiles[0].out_size), 0.0, float(module.in_size)]
    places: list[float] = []
    first_input = 0
    for inputs in module.in_sizes:
        first_output = 0
        for outputs in module.out_sizes:
            places += [float(first_output), float(outputs), float(first_input), float(inputs)]
            first_output += outputs
        first_input += inputs
    return places


def _floats(tensor: Any) -> list[float]:
    return [float(v) for v in tensor.detach().cpu().reshape(-1)]


def _count(tile: Any, name: str) -> float:
    count = getattr(tile, name, None)
    return 0.0 if count is None else float(count.detach())


def _activation(owner: Any, name: str) -> Any:
    quantizer = getattr(owner, name, None)
    return None if quantizer is None else quantizer.activation_quantizer


def _put_range(numbers: dict[str, list[float]], name: str, manager: Any) -> None:
    """Signed, number of steps, steps, and zero points of an asymmetric quantizer; nothing before it has a range."""
    if manager is None or not manager.quantizer.is_initialized:
        return
    quantizer = manager.quantizer
    steps = _floats(quantizer.delta)
    signed = bool(quantizer.signed) if quantizer.symmetric else False
    zeros = [] if quantizer.symmetric else _floats(quantizer.zero_float)
    numbers[name] = [float(signed), float(len(steps)), *steps, *zeros]
