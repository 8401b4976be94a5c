"""Do result files open in h5py, pandas, xarray and netCDF4 with named axes, coordinates, units and missing points?

usage: open_results_test.py RUN.h5 SWEEP.h5    (written by results_test)
Exit code 77: a package is not installed (CTest counts the test as skipped). netCDF4 is used if it is there.
"""
import os
import sys

try:
    import h5netcdf  # noqa: F401  (the engine of xarray)
    import h5py
    import numpy as np
    import pandas as pd
    import xarray as xr
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(1 if os.environ.get("TESSERA_REQUIRE_ALL", "0") != "0" else 77)
try:
    import netCDF4
except ImportError:
    netCDF4 = None


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def check_h5py(path):
    """Every variable has units and a long name, every axis a scale; text is str."""
    with h5py.File(path, "r") as file:
        check(file.attrs["filetype"] == "tessera-results", file.attrs["filetype"])
        check(file.attrs["seed"] == 0xFEDCBA9876543210, file.attrs["seed"])
        check(file["config/text"][()].decode() == "seed: 1\nname: µ-run\n", "config text")
        count = 0

        def visit(name, item):
            nonlocal count
            if not isinstance(item, h5py.Dataset):
                return
            if h5py.h5ds.is_scale(item.id) and item.attrs["NAME"].startswith(b"This is a netCDF dimension"):
                return
            check(isinstance(item.attrs["units"], str), name)
            check(len(item.attrs["long_name"]) > 3, name)
            count += 1
            if not h5py.h5ds.is_scale(item.id):
                for axis in range(item.ndim):
                    check(len(item.dims[axis]) == 1, f"axis {axis} of {name} has no scale")

        file.visititems(visit)
        check(count > 50, count)


def check_netcdf4(path):
    with netCDF4.Dataset(path) as file:
        check("time" in file.dimensions and len(file.dimensions["repeat"]) == 2, "dimensions")
        accuracy = file.variables["accuracy"]
        check(accuracy.dimensions[-2:] == ("time", "repeat"), accuracy.dimensions)
        check(accuracy.units == "1", "units")
        check(file.variables["time"].units == "s" and list(file.variables["time"][:]) == [0.0, 3600.0], "time")
        layer = file["layers/conv1"]
        check(layer.variables["output"].dimensions[-4:] == ("sample", "channel", "height", "width"), "output")
        check(list(file["layers"].variables["layer"][:]) == ["conv1", "block/fc"], "layer names")
        check(set(file["layers"].groups) == {"conv1", "block.fc"}, "layer groups")

        def visit(group):
            for name, variable in group.variables.items():
                variable[...]
                check(all(d in {k for g in parents(group) for k in g.dimensions} for d in variable.dimensions), name)
            for child in group.groups.values():
                visit(child)

        def parents(group):
            while group is not None:
                yield group
                group = group.parent

        visit(file)


def check_xarray_run(path):
    with xr.open_dataset(path, engine="h5netcdf") as ds:
        check(ds.accuracy.dims == ("time", "repeat"), ds.accuracy.dims)
        check(ds.attrs["complete"] == 1, "complete")
        check(float(ds.accuracy.sel(time=3600, repeat=1)) == 11e-4, "accuracy")
        check(ds.accuracy.attrs["long_name"].startswith("fraction of samples"), "long_name")
        check(ds.time.dtype == np.float64, f"time is {ds.time.dtype}, not seconds")
        check(ds.predictions.sel(time=0, repeat=0).values.tolist() == [0, 1, 2, 0, 1, 2, 0], "predictions")
        check(ds.label.dims == ("sample",), "label")
    with xr.open_dataset(path, engine="h5netcdf", group="layers") as ds:
        check(ds.op.sel(layer="block/fc").item() == "Gemm", "op by layer")
    with xr.open_dataset(path, engine="h5netcdf", group="layers/conv1") as ds:
        check(ds.attrs["name"] == "conv1" and ds.attrs["analog"] == 1, "attributes of a layer")
        check(ds.sqnr_db.sel(time=3600).values.tolist() == [30.0, 31.0], "sqnr_db")
        check(ds.output.sel(time=0, repeat=1, sample=6).shape == (4, 3, 2), "output of a sample")
        check(ds.periphery_scale_code.dims == ("tile_column",), "codes")
        check(ds.periphery_scale_code.values.tolist() == [2, 4, 6, 9] * 2, "codes")
    with xr.open_dataset(path, engine="h5netcdf", group="runtime") as ds:
        check(ds.threads == 2, "threads")
    with xr.open_dataset(path, engine="h5netcdf", group="reference") as ds:
        check(float(ds.accuracy) == 0.75, "reference")


def check_xarray_sweep(path):
    for engine in ("h5netcdf", "netcdf4") if netCDF4 else ("h5netcdf",):
        with xr.open_dataset(path, engine=engine) as ds:
            check(ds.accuracy.dims == ("n_bits", "w_noise_type", "time", "repeat"), ds.accuracy.dims)
            check(ds.n_bits.values.tolist() == [2, 4, 8], "coordinates")
            check(ds.n_bits.attrs["long_name"] == "rpu_config.pre_post.periph_quant.n_bits", "key")
            check(list(ds.w_noise_type.values) == ["NONE", "PCM_READ"], "text coordinates")
            mean = ds.accuracy.sel(n_bits=4, w_noise_type="PCM_READ", time=3600).mean("repeat")
            expected = np.mean([(7 * (7 * (10.0 + r) + 1) + 1) / 1e4 for r in range(2)])
            check(abs(float(mean) - expected) < 1e-15, f"{float(mean)} is not {expected}")
            check(ds.attrs["complete"] == 0, "complete")
            done = ds.finished.values.astype(bool)
            check(done.sum() == 20, "finished points")
            check((np.isnan(ds.accuracy.values) == ~done).all(), "missing accuracies")
            check((np.isnan(ds.correct.values) == ~done).all(), "missing counts")
        with xr.open_dataset(path, engine=engine, group="layers/block.fc") as ds:
            check(ds.output.dims == ("n_bits", "w_noise_type", "time", "repeat", "sample", "feature"), ds.output.dims)
            check(ds.output.sel(n_bits=8, w_noise_type="NONE", time=0, repeat=0).shape == (7, 3), "selection")


def check_pandas_sweep(path):
    """A table of one row per chip, as anybody would make one from the scales that h5py shows."""
    with h5py.File(path, "r") as file:
        accuracy = file["accuracy"]
        axes = {accuracy.dims[axis].keys()[0] or accuracy.dims[axis][0].name.strip("/"): accuracy.dims[axis][0]
                for axis in range(accuracy.ndim)}
        index = pd.MultiIndex.from_product(
            [scale.asstr()[()] if h5py.check_string_dtype(scale.dtype) else scale[()] for scale in axes.values()],
            names=[name.strip("/") for name in axes])
        table = pd.Series(accuracy[()].ravel(), index=index, name="accuracy")
    check(list(table.index.names) == ["n_bits", "w_noise_type", "time", "repeat"], table.index.names)
    check(table.notna().sum() == 20, "finished points")
    mean = table.groupby(level=["n_bits", "w_noise_type", "time"]).mean()
    expected = np.mean([(7 * (7 * (10.0 + r) + 1) + 1) / 1e4 for r in range(2)])
    check(abs(mean[(4, "PCM_READ", 3600.0)] - expected) < 1e-15, mean)


def main():
    run, sweep = sys.argv[1:]
    for path in (run, sweep):
        check_h5py(path)
        if netCDF4:
            check_netcdf4(path)
    check_xarray_run(run)
    check_xarray_sweep(sweep)
    check_pandas_sweep(sweep)
    print("opened in h5py", h5py.__version__, "pandas", pd.__version__, "xarray", xr.__version__, "netCDF4",
          netCDF4.__version__ if netCDF4 else "(not installed)")


if __name__ == "__main__":
    main()
