"""Where things are: the source tree, golden numbers, and small configurations."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# The same examples in every run; HYPOTHESIS_PROFILE=default draws new ones.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def quickstart() -> str:
    return str(ROOT / "configs" / "quickstart.yaml")


def golden(name: str) -> Path:
    return Path(os.environ.get("TESSERA_GOLDEN_DIR", ROOT / "tests" / "data" / "golden")) / name


def require(module: str):  # type: ignore[no-untyped-def]
    """The module; skips without it, fails where TESSERA_REQUIRE_ALL is set."""
    if os.environ.get("TESSERA_REQUIRE_ALL"):
        return __import__(module)
    return pytest.importorskip(module)
