"""What a measurement found: numbers, comparisons, tables and figures, as they are stored in results.json."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable

from .statistics import ALPHA, Difference, Sample, one_chip, welch

AGREE, DIFFER, CANNOT = "agree", "differ", "cannot"


@dataclass
class Report:
    """Results of one target. `values` are the numbers that the target's text may name in braces."""

    values: dict[str, Any] = field(default_factory=dict)
    comparisons: list[dict[str, Any]] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)
    figures: list[dict[str, Any]] = field(default_factory=list)
    made: dict[str, Any] = field(default_factory=dict)

    def chips(self, quantity: str, against: str, ours: Sample, theirs: Sample, unit: str = "%", digits: int = 2) -> Difference:
        """Two distributions over chips: difference of means, Welch's interval."""
        found = welch(ours, theirs)
        self._add(quantity, against, "means", unit, digits, found, ours=vars(ours), theirs=vars(theirs))
        return found

    def one_chip(self, quantity: str, against: str, ours: Sample, value: float, unit: str = "%", digits: int = 2) -> Difference:
        """A single published chip: does it lie where one more chip of ours would?"""
        found = one_chip(ours, value)
        self._add(quantity, against, "one chip", unit, digits, found, ours=vars(ours), theirs={"mean": value, "n": 1})
        return found

    def paired(self, quantity: str, against: str, ours: Sample, theirs: Sample, found: Difference) -> None:
        """The same chips twice: mean of the differences, in %."""
        self._add(quantity, against, "pairs", "%", 2, found, ours=vars(ours), theirs=vars(theirs))

    def loss(self, quantity: str, against: str, lost: Sample, published: float, unit: str = "samples") -> Difference:
        """Points lost against a reference, sample by sample (or chip by chip), beside a published loss without an interval."""
        found = Difference(lost.mean - published, lost.half_width(1.0 - ALPHA))
        self._add(quantity, against, "loss", "points", 2, found, ours={"mean": lost.mean}, theirs={"mean": published},
                  why=f"{lost.n:,} {unit} in pairs")  # fmt: skip
        return found

    def bound(
        self, quantity: str, against: str, ours: float, theirs: float, allowed: float, unit: str, digits: int = 0, why: str = ""
    ) -> Difference:
        """A deterministic number and how far it may be off; `why` says what the allowance stands for."""
        found = Difference(ours - theirs, allowed)
        self._add(quantity, against, "allowance", unit, digits, found, ours={"mean": ours}, theirs={"mean": theirs}, why=why)
        return found

    def largest(self, quantity: str, against: str, error: float, allowed: float, unit: str = "relative", why: str = "") -> None:
        """A largest deviation over many numbers."""
        self._add(quantity, against, "largest deviation", unit, 0, Difference(error, allowed), ours={}, theirs={}, why=why)

    def cannot(self, quantity: str, against: str, why: str, theirs: str = "") -> None:
        """What is published and cannot be held against anything here."""
        self.comparisons.append(
            {"quantity": quantity, "against": against, "test": "none", "verdict": CANNOT, "why": why, "theirs": {"text": theirs}}
        )

    def _add(self, quantity: str, against: str, test: str, unit: str, digits: int, found: Difference, **more: Any) -> None:
        self.comparisons.append(
            {
                "quantity": quantity,
                "against": against,
                "test": test,
                "unit": unit,
                "digits": digits,
                "difference": found.value,
                "half_width": found.half_width,
                "verdict": AGREE if found.agrees else DIFFER,
                **more,
            }
        )

    def table(self, title: str, columns: list[str], rows: Iterable[Iterable[Any]]) -> None:
        """Cells are text, or numbers shown with four digits."""
        self.tables.append({"title": title, "columns": columns, "rows": [list(row) for row in rows]})

    def figure(self, kind: str, **content: Any) -> None:
        """kind: "strips" or "lines" (svg.py)."""
        self.figures.append({"kind": kind, **content})

    def save(self, file: Path) -> None:
        """Written to a temporary name and renamed."""
        partial = file.with_suffix(".tmp")
        partial.write_text(json.dumps(rounded(vars(self)), indent=1) + "\n", encoding="utf-8")
        partial.rename(file)

    @staticmethod
    def load(file: Path) -> "Report":
        return Report(**json.loads(file.read_text(encoding="utf-8")))


def rounded(value: Any) -> Any:
    """Twelve significant digits, so that stored files do not differ by the last bit of another machine."""
    if isinstance(value, float):
        return float(f"{value:.12g}")
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    if hasattr(value, "item"):
        return rounded(value.item())
    return value


def alpha_text() -> str:
    """The false-alarm rate of every test, in per cent."""
    return f"{100 * ALPHA:g} %"
