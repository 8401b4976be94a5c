"""Networks in memory: from ONNX files and PyTorch modules, simulated on arrays."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from . import _core
from ._arrays import float32
from ._observe import Progress, message, observed
from ._source import Overrides, override_list, plain, to_yaml
from .errors import InputError
from .simulation import _file, _labelled
from .tile import rpu_config_text


class Network:
    """A network whose weighted layers can be put on tiles."""

    def __init__(self, core: _core.Network) -> None:
        self._core = core
        #: What layers are simulated as where nothing else is said (``from_aihwkit``).
        self.layer_rules: list[dict[str, Any]] = []

    def _own_rules(self, rpu_config: Any, programmed: bool) -> list[dict[str, Any]]:
        """All of them; where an ``rpu_config`` is given, only which layers are on tiles."""
        rules = [dict(rule) for rule in self.layer_rules]
        for rule in rules:
            own = rule.pop("rpu_config", None)
            if own is not None and rpu_config is None:
                rule["rpu_config"] = {**plain(own), **({} if programmed else {"noise_model": None})}
        return rules

    @property
    def name(self) -> str:
        return self._core.name

    @property
    def calibration(self) -> dict[str, dict[str, list[float]]]:
        """What calibration or training found about each layer: a copy of the numbers that a model file holds
        (docs/formats/model.md). Assign to change them."""
        return self._core.calibration

    @calibration.setter
    def calibration(self, numbers: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
        self._core.calibration = {
            layer: {name: [float(v) for v in values] for name, values in of.items()} for layer, of in numbers.items()
        }

    @property
    def layers(self) -> list[dict[str, Any]]:
        """Of each weighted layer: name, op, inputs, outputs, parts, parameters, macs, tiles (of 512x512)."""
        return self._core.layers()

    def simulate(
        self,
        rpu_config: Any,
        x: Any,
        y: Any = None,
        *,
        repeats: int = 1,
        times: Sequence[float] = (),
        layers: Sequence[Mapping[str, Any]] = (),
        quantization: Any = None,
        record: Sequence[str] = (),
        predictions: bool = False,
        statistics: bool = True,
        seed: int = 0,
        batch_size: int = 128,
        overrides: Overrides = None,
        file: str | os.PathLike[str] | None = None,
        threads: int = 0,
        progress: Progress = True,
    ) -> xr.DataTree:
        """Every sample of ``x`` ([samples, ...]) through the float32 network and through ``repeats`` chips.

        ``y``: class indices; without them there is no accuracy. ``times``: seconds after programming. ``layers``: rules
        as in a configuration, ``[{"match": "conv1", "analog": False}]``. ``quantization``: that section of a
        configuration, or a ``QuantizationMap``. ``record``: patterns of layers whose output is kept for every sample.
        ``rpu_config=None``: the defaults, or, of a network of ``from_aihwkit``, what its layers have, programmed only
        where there are ``times``. What calibration or training found (``calibration``) is used and has to fit;
        ``overrides={"model.use_calibration": False}`` leaves it out. Returns what the result file opens as.
        """
        labels = [] if y is None else _labels(y)
        config = [
            'model: {file: "network in memory"}',
            'data: {format: npy, inputs: "arrays in memory", batch_size: ' + str(batch_size) + "}",
            f"seed: {seed}",
            "layers: " + to_yaml(plain([*self._own_rules(rpu_config, bool(times)), *layers])),
            "evaluation: " + to_yaml({"repeats": repeats, "times": plain(list(times))}),
            "output: {record: "
            + to_yaml({"statistics": statistics, "tensors": list(record), "predictions": predictions})
            + "}",
        ]
        if quantization is not None:
            config.append("quantization: " + to_yaml(plain(quantization)))
        text = rpu_config_text(rpu_config)
        config.append("rpu_config:\n" + "\n".join("  " + line for line in text.splitlines()))
        simulation = _core.Simulation.parse("\n".join(config) + "\n", self.name, "", override_list(overrides))
        with observed(progress) as update:
            return _labelled(
                *self._core.simulate(simulation, float32(x), labels, _file(file), threads, update, message)
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a model file, which ``model.file`` of a configuration takes."""
        self._core.save(os.fspath(path))

    def __repr__(self) -> str:
        return f"Network({self.name!r}, {len(self.layers)} weighted layers)"

    def to_html(self) -> str:
        """A table of the layers."""
        keys = ["name", "op", "inputs", "outputs", "tiles", "parameters", "macs"]
        head = "".join(f"<th>{key}</th>" for key in keys)
        rows = "".join("<tr>" + "".join(f"<td>{layer[key]}</td>" for key in keys) + "</tr>" for layer in self.layers)
        return f"<b>{self!r}</b><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    _repr_html_ = to_html


def _labels(y: Any) -> list[int]:
    values = np.asarray(y.detach().cpu().numpy() if hasattr(y, "detach") else y)
    if values.dtype.kind not in "iu" or values.ndim != 1:
        raise InputError(f"y has shape {values.shape} of {values.dtype}; it takes one class index for each sample")
    return [int(value) for value in values]


def from_onnx(path: str | os.PathLike[str]) -> Network:
    """Reads an ONNX file, or a native model with its calibration."""
    return Network(_core.Network.read(os.fspath(path), message))


def convert(module: Any, example_inputs: Any) -> Network:
    """A PyTorch module, exported to ONNX in memory with a free batch size.

    ``example_inputs``: a tensor, or a tuple of them. Layers are named as ``named_modules`` has them.
    """
    import torch

    inputs = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
    names = [f"input{i}" for i in range(len(inputs))]
    training = module.training
    onnx = io.BytesIO()
    module.eval()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter: of its future, and of constants that it folds
            torch.onnx.export(
                module,
                inputs,
                onnx,  # type: ignore[arg-type, unused-ignore]
                input_names=names,
                dynamic_axes={name: {0: "batch"} for name in names},
                opset_version=17,
                dynamo=False,
            )
    finally:
        module.train(training)
    return Network(_core.Network.parse(onnx.getvalue(), type(module).__name__, message))
