"""Result files as xarray opens them, from memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

Tree = dict[str, Any]


def _array(values: Any, shape: list[int]) -> np.ndarray[Any, Any]:
    if isinstance(values, list):  # text
        return np.array(values, dtype=str).reshape(shape)
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
    nodes: dict[str, xr.Dataset] = {}

    def add(path: str, part: Tree) -> None:
        nodes[path or "/"] = to_dataset(part)
        for name, child in part["groups"].items():
            add(f"{path}/{name}", child)

    add("", tree)
    return xr.DataTree.from_dict(nodes)


def calibration_tree(nodes: dict[str, dict[str, Any]], source: str) -> xr.DataTree:
    """What calibration found of each node: numbers of a tile along ``tile``, single ones without an axis."""
    children = {}
    for node, numbers in nodes.items():
        variables: dict[str, Any] = {}
        tiles = next((len(values) for name, values in numbers.items() if name.endswith("input_range")), 0)
        for name, values in numbers.items():
            if name == "tiles":
                extents = values.reshape(-1, 4)
                for i, extent in enumerate(("first_output", "outputs", "first_input", "inputs")):
                    variables[extent] = ("tile", extents[:, i].astype(np.int64))
            elif tiles and len(values) == tiles and "." not in name:
                variables[name] = ("tile", values)
            elif len(values) == 1:
                variables[name] = ((), values[0])
            else:
                variables[name] = (f"{name}_element", values)
        children[node] = xr.DataTree(xr.Dataset(variables))
    return xr.DataTree(xr.Dataset(attrs={"source": source}), children=children)
