"""Configurations in every form: files, YAML text, dictionaries, configuration objects of aihwkit."""

from __future__ import annotations

import enum
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Union

from . import _core
from .parameters import BaseQuantConfig

#: A path, a dictionary like the YAML file, or text of it (with a newline in it).
Config = Union[str, "os.PathLike[str]", Mapping[str, Any]]
#: ``{"rpu_config.forward.out_noise": 0.02}``, or ``["rpu_config.forward.out_noise=0.02"]`` as the command has it.
Overrides = Union[Mapping[str, Any], Sequence[str], None]


def plain(value: Any) -> Any:
    """Dictionaries, lists, numbers and text of any configuration.

    Objects (those of aihwkit) become their fields by name; enumerators their name; objects that are no dataclasses
    of parameters get ``type:`` besides.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, Mapping):
        return {key if isinstance(key, (int, float)) else str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy and torch
        return value.tolist()
    if isinstance(value, BaseQuantConfig):
        return plain(value._fields())
    if not hasattr(value, "__dict__"):
        raise TypeError(f"a configuration cannot hold {type(value).__name__}: {value!r}")
    fields = {key: plain(item) for key, item in vars(value).items()}
    return fields if hasattr(value, "__dataclass_fields__") else {"type": type(value).__name__, **fields}


def to_yaml(value: Any) -> str:
    """JSON, which is YAML, with YAML's names of what JSON cannot say."""
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(k))}: {to_yaml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(to_yaml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def override_list(overrides: Overrides) -> list[str]:
    if overrides is None:
        return []
    if isinstance(overrides, Mapping):
        return [f"{key}={to_yaml(plain(value))}" for key, value in overrides.items()]
    if isinstance(overrides, str):
        raise TypeError("overrides are a dictionary, or a list of 'key=value'")
    return [str(item) for item in overrides]


def to_core(config: Config, overrides: Overrides) -> _core.Simulation:
    changes = override_list(overrides)
    if isinstance(config, Mapping):
        # One key a line, so that positions in messages lead somewhere.
        lines = [f"{json.dumps(str(key))}: {to_yaml(plain(value))}" for key, value in config.items()]
        return _core.Simulation.parse("\n".join(lines) + "\n", "dict", "", changes)
    text = os.fspath(config)
    if "\n" in text:
        return _core.Simulation.parse(text, "text", "", changes)
    return _core.Simulation.load(text, changes)
