"""Result files as xarray opens them, from memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

Tree = dict[str, Any]


def _array(values: Any, shape: list[int]) -> np.ndarray[Any, Any]:
    if isinstance(values, list):  # text
        return np.array(values, dtype=object).reshape(shape)
    return np.asarray(values).reshape(shape)


def _attribute(value: Any) -> Any:
    """As h5netcdf gives it: arrays of one element are scalars."""
    if isinstance(value, np.ndarray) and value.size == 1:
        return value.reshape(-1)[0]
    if isinstance(value, list) and len(value) == 1:
        return value[0]
    return value


def to_dataset(tree: Tree) -> xr.Dataset:
    """One group, without the groups in it."""
    variables = {
        name: xr.Variable(
            tuple(dims), _array(values, shape), {key: _attribute(value) for key, value in attributes.items()}
        )
        for name, (dims, shape, values, attributes) in tree["variables"].items()
    }
    attributes = {key: _attribute(value) for key, value in tree["attrs"].items()}
    decoded = xr.decode_cf(xr.Dataset(variables, attrs=attributes))
    return decoded.set_coords([name for name in decoded.variables if (name,) == decoded[name].dims])


def to_datatree(tree: Tree) -> xr.DataTree:
    """The whole file."""

    def node(part: Tree) -> xr.DataTree:
        return xr.DataTree(to_dataset(part), children={name: node(child) for name, child in part["groups"].items()})

    return node(tree)
