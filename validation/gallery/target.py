"""Targets: what is published, what is run, what they are compared by. One folder each, described by target.toml."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class TargetError(Exception):
    """A description that cannot be used; the message says where and what to do."""


def data_folder(kind: str) -> Path:
    """Where data of others lie: "published" or "data".

    TESSERA_PUBLISHED_DIR and TESSERA_DATA_DIR, else ../shared/published and ../shared/data beside the repository.
    """
    variable = {"published": "TESSERA_PUBLISHED_DIR", "data": "TESSERA_DATA_DIR"}[kind]
    return Path(os.environ.get(variable) or ROOT.parent / "shared" / kind).resolve()


@dataclass
class Target:
    """One folder of validation/."""

    name: str
    folder: Path
    about: dict[str, Any]
    published: Path
    data: Path
    values: dict[str, Any] = field(default_factory=dict)

    def resolve(self, path: str) -> Path:
        """A path of a description: "published:...", "data:...", else beside target.toml."""
        kind, _, rest = path.partition(":")
        if rest and kind == "published":
            return self.published / rest
        if rest and kind == "data":
            return self.data / rest
        return self.folder / path

    def needed(self) -> list[str]:
        """Every "published:..." and "data:..." of the description, and what its YAML files name below ${published} and ${data}."""
        found: set[str] = set()

        def look(value: Any) -> None:
            if isinstance(value, dict):
                for part in value.values():
                    look(part)
            elif isinstance(value, list):
                for part in value:
                    look(part)
            elif isinstance(value, str):
                if value.startswith(("published:", "data:")):
                    found.add(value)
                elif value.endswith((".yaml", ".yml")) and (self.folder / value).is_file():
                    look((self.folder / value).read_text(encoding="utf-8"))
                found.update(f"{kind}:{rest}" for kind, rest in re.findall(r"\$\{(published|data)\}/([^\s\"',}]+)", value))

        look(self.about)
        return sorted(found)

    def missing(self) -> list[str]:
        """What is needed and is not there."""
        return [path for path in self.needed() if not self.resolve(path).exists()]


def _assign(about: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals:
        raise TargetError(f"--set {setting}: expected KEY=VALUE")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    at: Any = about
    *path, last = key.split(".")
    for name in path:
        at = at[int(name)] if isinstance(at, list) else at.setdefault(name, {})
    if isinstance(at, list):
        at[int(last)] = value
    else:
        at[last] = value


def load(folder: Path, settings: list[str], published: Path | None = None, data: Path | None = None) -> Target:
    """Reads folder/target.toml; `settings` ("case.0.chips=3") change it."""
    file = folder / "target.toml"
    if not file.is_file():
        raise TargetError(f"{folder}: no target.toml; targets are the folders of validation/ that have one")
    try:
        about = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise TargetError(f"{file}: {error}") from error
    for key in ("title", "measure", "source", "licence", "text"):
        if key not in about:
            raise TargetError(f"{file}: `{key}` is missing")
    for setting in settings:
        try:
            _assign(about, setting)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise TargetError(f"--set {setting}: no such place in {file}") from error
    return Target(
        folder.name,
        folder.resolve(),
        about,
        (published or data_folder("published")).resolve(),
        (data or data_folder("data")).resolve(),
    )


def all_folders() -> list[Path]:
    """Every target of the repository, in the order of the gallery."""
    folders = [file.parent for file in (ROOT / "validation").glob("*/target.toml")]
    return sorted(folders, key=lambda f: (tomllib.loads((f / "target.toml").read_text(encoding="utf-8"))["order"], f.name))
