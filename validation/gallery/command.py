"""Runs `tessera` and reads its results."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .target import ROOT, Target, TargetError


class RunFailed(Exception):
    """The command ended with an error; the message is its own."""


@dataclass
class Tessera:
    """The command and a folder for its files."""

    program: Path
    scratch: Path
    threads: int = 1
    verbose: bool = False

    def version(self) -> str:
        """As `tessera --version` says."""
        out = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=True)
        return out.stdout.strip()

    def _call(self, arguments: list[str]) -> None:
        command = [str(self.program), *arguments]
        if self.verbose:
            print("  " + " ".join(command), flush=True)
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RunFailed(f"{' '.join(command)}\n{done.stderr.strip()}")

    def run(self, config: Path, settings: dict[str, Any] | None = None) -> "Results":
        """`tessera run` with `settings` as --set; the result file is removed when the object is closed."""
        output = self.scratch / "results.h5"
        flags = [f"--set={key}={yaml(value)}" for key, value in (settings or {}).items()]
        self._call(["run", str(config), "-o", str(output), "--quiet", "--no-progress", f"--threads={self.threads}", *flags])
        return Results(output)

    def calibrate(self, config: Path, settings: dict[str, Any] | None = None) -> Path:
        """The network with the ranges that `tessera calibrate` finds, kept until the next call."""
        output = self.scratch / "calibrated.h5"
        flags = [f"--set={key}={yaml(value)}" for key, value in (settings or {}).items()]
        self._call(["calibrate", str(config), "-o", str(output), "--quiet", "--no-progress", f"--threads={self.threads}", *flags])
        return output

    def convert(self, model: Path) -> Path:
        """A network as HDF5 file of `tessera import`, kept until the end."""
        output = self.scratch / (model.stem + ".h5")
        self._call(["import", str(model), "-o", str(output), "--quiet"])
        return output


def yaml(value: Any) -> str:
    """A value as YAML on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {yaml(v)}" for key, v in value.items()) + "}"
    if isinstance(value, (list, tuple, np.ndarray)):
        return "[" + ", ".join(yaml(v) for v in value) + "]"
    return str(value)


class Results:
    """A result file; use as context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = h5py.File(path, "r")

    def __enter__(self) -> h5py.File:
        return self.file

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.path.unlink()


def filled(target: Target, text: str, scratch: Path) -> str:
    """`text` with the folders that ${published}, ${data}, ${repository}, ${target} and ${scratch} stand for."""
    places = {"published": target.published, "data": target.data, "repository": ROOT, "target": target.folder, "scratch": scratch}
    unknown = set(re.findall(r"\$\{(\w+)\}", text)) - set(places)
    if unknown:
        raise TargetError(f"{target.folder}: unknown ${{{unknown.pop()}}}; known: {', '.join(places)}")
    for key, folder in places.items():
        text = text.replace(f"${{{key}}}", str(folder))
    return text


def configuration(target: Target, name: str, scratch: Path) -> Path:
    """The target's YAML, filled, written to the scratch folder."""
    file = scratch / Path(name).name
    file.write_text(filled(target, target.resolve(name).read_text(encoding="utf-8"), scratch), encoding="utf-8")
    return file


def find_program(given: str | None, name: str = "tessera") -> Path:
    """--tessera, $TESSERA, a build folder of the repository, or the path."""
    folder = Path(given).parent if given else None
    candidates = [given if name == "tessera" else None, folder and folder / name, os.environ.get("TESSERA") if name == "tessera" else None]
    candidates += [str(p) for p in sorted(ROOT.glob(f"build/*/bin/{name}"))] + [shutil.which(name)]
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return Path(candidate).resolve()
    raise TargetError(f"no `{name}` found: build it (scripts/demo) or name the command with --tessera or $TESSERA")


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that goes away."""
    return tempfile.TemporaryDirectory(prefix="tessera_validation_")
