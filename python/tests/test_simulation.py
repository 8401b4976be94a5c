"""Does Python give what the command's files hold, from every form of a configuration, and with the same errors?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import tessera
from conftest import ROOT, require

SMALL = {"data.limit": 24, "output.record.tensors": ["fc1"], "evaluation.repeats": 2}


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tessera", *arguments], capture_output=True, text=True, check=False)


def same(ours: xr.DataTree, path: Path) -> None:
    """Everything but how long it took."""
    require("h5netcdf")
    with xr.open_datatree(path, engine="h5netcdf") as theirs:
        assert [node.path for node in ours.subtree] == [node.path for node in theirs.subtree]
        for node in ours.subtree:
            if node.path == "/runtime":
                continue
            other = theirs[node.path].to_dataset(inherit=False).load()
            mine = node.to_dataset(inherit=False)
            for dataset in (mine, other):
                dataset.attrs.pop("created_utc", None)
            xr.testing.assert_identical(mine, other)
            # Text is of type object in older xarray.
            for name in mine.variables:
                assert mine[name].dtype.kind == other[name].dtype.kind.replace("O", "U"), name


def test_run_is_what_the_file_opens_as(quickstart: str, tmp_path: Path) -> None:
    file = tmp_path / "r.h5"
    in_memory = tessera.run(quickstart, SMALL)
    same(in_memory, _with_file(quickstart, file))
    same(tessera.open_results(file), file)
    assert in_memory.accuracy.dims == ("time", "repeat")
    assert in_memory["layers/fc1/output"].dims[:3] == ("time", "repeat", "sample")


def _with_file(config: str, file: Path) -> Path:
    tessera.run(config, SMALL, file=file, threads=1)
    return file


def test_the_command_writes_the_same(quickstart: str, tmp_path: Path) -> None:
    file = tmp_path / "r.h5"
    flags = [f"--set={key}={value}" for key, value in tessera._source.plain(SMALL).items()]
    done = command("run", quickstart, "-o", str(file), *flags)
    assert done.returncode == 0, done.stderr
    ours = tessera.run(quickstart, [flag.removeprefix("--set=") for flag in flags])
    same(ours, file)


def test_sweep_in_memory(quickstart: str, tmp_path: Path) -> None:
    overrides = {**SMALL, "sweep": {"axes": {"rpu_config.pre_post.periph_quant.n_bits": [2, 8]}}}
    ours = tessera.sweep(quickstart, overrides)
    assert ours.accuracy.sel(n_bits=8).mean("repeat").shape == (1,)
    tessera.sweep(quickstart, overrides, file=tmp_path / "s.h5")
    same(ours, tmp_path / "s.h5")


def test_configurations_in_every_form(quickstart: str) -> None:
    from_file = tessera.run(quickstart, {"data.limit": 8})
    text = f"base: {quickstart}\ndata: {{limit: 8}}\n"
    mapping = {"base": quickstart, "data": {"limit": 8}}
    for config in (text, mapping, Path(quickstart)):
        overrides = {"data.limit": 8} if isinstance(config, Path) else None
        other = tessera.run(config, overrides)
        xr.testing.assert_equal(from_file.to_dataset(), other.to_dataset())


def test_all_problems_at_once_with_positions(quickstart: str) -> None:
    config = {"base": quickstart, "rpu_config": {"forward": {"out_nois": 1, "inp_res": "x"}}, "evaluation": {"repeat": 2}}
    with pytest.raises(tessera.ConfigError) as caught:
        tessera.run(config)
    assert len(caught.value.problems) == 3
    assert caught.value.problems[0].line == 2
    assert "did you mean 'out_noise'" in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_errors_are_those_of_the_command(quickstart: str, tmp_path: Path) -> None:
    for override in ("model.file=/nowhere.onnx", "rpu_config.forward.out_nois=1", "evaluation.repeats=0"):
        done = command("run", quickstart, "-o", str(tmp_path / "r.h5"), "--set", override)
        with pytest.raises(tessera.TesseraError) as caught:
            tessera.run(quickstart, [override])
        for line in str(caught.value).splitlines():
            assert line in done.stderr


def test_progress_and_notes(quickstart: str, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[tuple[int, int]] = []
    with caplog.at_level("INFO", logger="tessera"):
        tessera.run(
            quickstart,
            {**SMALL, "rpu_config.update": {"desired_bl": 3}},
            progress=lambda done, total, unit: seen.append((done, total)),
        )
    assert seen[-1][0] == seen[-1][1]
    assert "no effect: rpu_config.update" in caplog.text


def test_a_bar_where_one_can_be_seen(
    quickstart: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require("tqdm")
    tessera.run(quickstart, {"data.limit": 16})
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(tessera._observe, "_can_be_seen", lambda: True)
    tessera.run(quickstart, {"data.limit": 16})
    assert "sample/s" in capsys.readouterr().err
    tessera.run(quickstart, {"data.limit": 16}, progress=False)
    assert capsys.readouterr().err == ""


def test_an_exception_in_the_callback_stops_the_run(quickstart: str) -> None:
    def stop(done: int, total: int, unit: str) -> None:
        raise ZeroDivisionError("enough")

    with pytest.raises(ZeroDivisionError):
        tessera.run(quickstart, {"data.limit": 400, "data.batch_size": 16}, progress=stop)


def test_ctrl_c_keeps_what_is_finished(quickstart: str) -> None:
    def interrupt(done: int, total: int, unit: str) -> None:
        if done * 4 > total * 3:
            os.kill(os.getpid(), signal.SIGINT)

    changes = {"data.limit": 32, "data.batch_size": 8}
    with pytest.raises(tessera.Interrupted) as caught:
        # Many batches are left when the signal comes: it need not be seen at once.
        tessera.run(quickstart, {**changes, "data.limit": 640}, progress=interrupt, threads=1)
    assert caught.value.result.attrs["complete"] == 0
    # Points go together in groups of 16.
    sweep = {"sweep.axes": {"seed": list(range(32))}}
    with pytest.raises(tessera.Interrupted) as caught:
        tessera.sweep(quickstart, {**changes, **sweep}, progress=interrupt, threads=1)
    finished = caught.value.result.finished
    assert 0 < int(finished.sum()) < finished.size
    assert int(caught.value.result.accuracy.notnull().sum()) == int(finished.sum())


def test_threads_call_at_the_same_time(quickstart: str) -> None:
    results: dict[int, xr.DataTree] = {}

    def work(seed: int) -> None:
        results[seed] = tessera.run(quickstart, {"data.limit": 16, "seed": seed}, threads=1)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2, 3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for seed, result in results.items():
        xr.testing.assert_equal(
            result.to_dataset(), tessera.run(quickstart, {"data.limit": 16, "seed": seed}).to_dataset()
        )


def test_threads_leave_nothing_behind(quickstart: str) -> None:
    """HDF5 complains on the error channel when it cannot close."""
    program = (
        "import threading, tessera\n"
        f"work = lambda: tessera.run({quickstart!r}, {{'data.limit': 4}}, threads=1)\n"
        "workers = [threading.Thread(target=work) for _ in range(3)]\n"
        "[worker.start() for worker in workers]; [worker.join() for worker in workers]\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_warnings_are_warnings(quickstart: str) -> None:
    clipping = {
        "data.limit": 16,
        "rpu_config.forward.noise_management": "NONE",
        "rpu_config.pre_post.input_range": {"enable": True, "init_value": 0.01},
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tessera.run(quickstart, clipping)
        tessera.load(quickstart, clipping).run()
    ours = [warning for warning in caught if warning.category is tessera.TesseraWarning]
    assert len(ours) == 8 and "outside its input range" in str(ours[0].message)
    assert {warning.filename for warning in ours} == {__file__}
    with warnings.catch_warnings(), pytest.raises(tessera.TesseraWarning):
        warnings.simplefilter("error")
        tessera.run(quickstart, clipping)


def test_search_doctor_calibrate_train(quickstart: str, tmp_path: Path) -> None:
    doctor = tessera.doctor(quickstart, {"data.limit": 16})
    assert "mechanism" in doctor.dims
    search = {"keys": ["rpu_config.pre_post.periph_quant.n_bits"], "bits": [6, 4], "layers": ["fc1"], "budget": 50}
    found = tessera.search(quickstart, {"data.limit": 24, "search": search})
    assert "rpu_config" in found.attrs["configuration"]
    model = tmp_path / "m.h5"
    calibration = tessera.calibrate(quickstart, model, {"data.limit": 24})
    assert "samples" in calibration.attrs["source"]
    assert float(calibration["conv1"].input_range[0]) > 0
    xr.testing.assert_identical(calibration, tessera.calibrate(quickstart, overrides={"data.limit": 24}))
    assert tessera.run(quickstart, {"data.limit": 8, "model.file": str(model)}).accuracy.size == 1
    training = {"digital_epochs": 1, "analog_epochs": 0, "data": {"format": "glyphs", "scale": 0.0039, "limit": 32}}
    curves = tessera.train(quickstart, tmp_path / "t.h5", {"data.limit": 16, "training": training})
    assert curves.loss.dims == ("epoch",)


def test_exported_codes_replay(tmp_path: Path) -> None:
    """Products and accumulators of the exported files, in whole numbers."""
    simulation = tessera.load(
        {
            "base": str(ROOT / "configs" / "fixed_point.yaml"),
            "data": {"limit": 32},
            "rpu_config": {"mapping": {"max_input_size": 100}},
        }
    )
    written = simulation.export(tmp_path / "codes", vectors=5, threads=1, progress=False)
    description = json.loads((tmp_path / "codes" / "codes.json").read_text())
    assert [layer["layer"] for layer in description["layers"]] == written["layers"]
    assert written["skipped"] == []
    assert written["files"] == len(list((tmp_path / "codes").iterdir()))

    def array(name: str) -> np.ndarray:
        return np.load(tmp_path / "codes" / name)

    compared = 0
    for layer in description["layers"]:
        for part in layer["parts"]:
            low, high = (bound * 2 ** (part["formats"]["accumulator_bits"] - 1) for bound in (-1, 1))
            total = np.zeros_like(array(part["accumulator"]))
            bias = np.zeros(total.shape[1], dtype=np.int64)
            for tile in part["tiles"]:
                columns = slice(tile["first_output"], tile["first_output"] + tile["outputs"])
                product = array(tile["adc"]) * array(tile["scale_code"])
                np.testing.assert_array_equal(product, array(tile["product"]))
                shift = array(tile["shift"])
                total[:, columns] += np.where(shift > 0, product >> np.maximum(shift, 0), product << np.maximum(-shift, 0))
                bias[columns] = array(tile["bias_aligned"])
            expected = np.clip(total + bias, low, high - 1)
            if part["formats"]["relu"]:
                expected = np.maximum(expected, 0)
            seen = np.maximum(array(part["accumulator"]), 0 if part["formats"]["relu"] else low)
            np.testing.assert_array_equal(expected, seen)
            compared += seen.size
    assert compared > 100
    with pytest.raises(tessera.InputError, match="no layer has a fixed-point periphery"):
        tessera.load(str(ROOT / "configs" / "calibrate.yaml"), {"data.limit": 16}).export(tmp_path / "none", progress=False)


def test_the_command_is_there() -> None:
    assert "tessera " + tessera.__version__ in command("--version").stdout
    assert command("run").returncode == 2
