"""Pages of the gallery from target.toml and results.json alone: what a page says, a measurement wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from . import svg
from .report import AGREE, CANNOT, DIFFER, Report, alpha_text
from .target import ROOT, Target

FOLDER = ROOT / "docs" / "validation"
WORDS = {AGREE: "agrees", DIFFER: "**differs**", CANNOT: "cannot be compared"}
TESTS = {"means": "difference of means", "pairs": "mean of differences, same chips", "one chip": "one more chip of ours?", "none": ""}
NOTICE = "<!-- Written by scripts/validate from validation/{}; a test compares. Do not edit. -->"


def verdict(report: Report) -> str:
    """Of a target: what its comparisons say together."""
    found = [c["verdict"] for c in report.comparisons]
    counts = [(found.count(DIFFER), "differ"), (found.count(AGREE), "agree"), (found.count(CANNOT), "cannot")]
    if not found:
        return CANNOT
    said = [f"{n} {word}" for n, word in counts if n]
    return ", ".join(said)


def number(value: Any, digits: Optional[int] = None) -> str:
    """With thousands separators; small and large ones in powers of ten."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if digits is not None:
        return f"{value:,.{digits}f}"
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.1e}"
    return f"{value:.4g}"


def _sample(sample: dict[str, Any], comparison: dict[str, Any]) -> str:
    if "text" in sample:
        return sample["text"]
    if not sample:
        return ""
    digits, unit = comparison["digits"], comparison["unit"]
    end = f" {unit}" if unit else ""
    if sample.get("n", 1) < 2:
        return number(float(sample["mean"]), digits) + end
    return f"{number(float(sample['mean']), digits)}{end}, sd {number(float(sample['sd']), digits)}, {sample['n']} chips"


def _difference(c: dict[str, Any]) -> str:
    if c["test"] == "none":
        return ""
    if c["test"] == "largest deviation":
        return f"{number(c['difference'])} (allowed {number(c['half_width'])} {c['unit']})"
    unit = f" {c['unit']}" if c["test"] in ("means", "one chip", "pairs") and c["unit"] == "%" else ""
    digits = c["digits"]
    sign = "+" if c["difference"] > 0 else ""
    return f"{sign}{number(float(c['difference']), digits)} ± {number(float(c['half_width']), digits)}{unit.replace('%', 'points')}"


def _test(c: dict[str, Any]) -> str:
    why = c.get("why", "")
    return "; ".join(x for x in (TESTS.get(c["test"], c["test"]), why) if x)


def _cells(c: dict[str, Any]) -> list[str]:
    return [c["quantity"], c["against"], _sample(c.get("ours", {}), c), _sample(c.get("theirs", {}), c), _difference(c)]


def comparisons(report: Report) -> list[str]:
    """The table of a page."""
    lines = ["| quantity | against | Tessera | theirs | ours - theirs | test | verdict |", "|---|---|---|---|---|---|---|"]
    for c in report.comparisons:
        lines.append("| " + " | ".join([*_cells(c), _test(c), WORDS[c["verdict"]]]) + " |")
    return lines


def page(target: Target, report: Report) -> dict[Path, str]:
    """The target's page and its pictures, by file."""
    about = target.about
    files: dict[Path, str] = {}
    lines = [f"# {about['title']}", "", NOTICE.format(target.name), "", about["text"].strip(), ""]
    lines += [f"- Source: {about['source']}", f"- Licence: {about['licence']}"]
    made = report.made
    lines += [f"- Measured {made['date']} with {made['tessera']}, {made['seconds']:,.0f} s: `{made['command']}`", ""]
    lines += comparisons(report)
    lines += ["", "Behind ± is half of the interval outside of which agreement is rejected; a test rejects agreement wrongly in "
              f"{alpha_text()} of cases ([all targets](index.md)).", ""]  # fmt: skip
    for n, figure in enumerate(report.figures):
        name = f"{target.name}{'' if n == 0 else f'_{n + 1}'}.svg"
        files[FOLDER / name] = svg.draw(figure) or ""
        lines += [f"![{figure['title']}]({name})", ""]
    for table in report.tables:
        lines += [f"{table['title']}:", "", "| " + " | ".join(table["columns"]) + " |", "|" + "---|" * len(table["columns"])]
        lines += ["| " + " | ".join(number(cell) for cell in row) + " |" for row in table["rows"]]
        lines.append("")
    if "conclusion" in about:
        lines += ["## What it says", "", about["conclusion"].strip().format(**made, **report.values), ""]
    files[FOLDER / f"{target.name}.md"] = "\n".join(lines).rstrip() + "\n"
    return files


def index(all_targets: list[tuple[Target, Optional[Report]]]) -> str:
    """The gallery."""
    total = [c["verdict"] for _, report in all_targets if report for c in report.comparisons]
    lines = ["# Published results, reproduced", "", NOTICE.format("*"), ""]
    lines += [(ROOT / "validation" / "gallery" / "index.txt").read_text(encoding="utf-8").strip().format(
        targets=len(all_targets), comparisons=len(total), agree=total.count(AGREE), differ=total.count(DIFFER),
        cannot=total.count(CANNOT), alpha=alpha_text(), expected=f"{0.01 * (len(total) - total.count(CANNOT)):.1f}"), ""]  # fmt: skip
    for target, report in all_targets:
        if report is None:
            lines += [f"## {target.about['title']}", "", "Not measured yet.", ""]
            continue
        lines += [f"## [{target.about['title']}]({target.name}.md)", "", f"{verdict(report)}.", ""]
        lines += ["| quantity | against | Tessera | theirs | ours - theirs | verdict |", "|---|---|---|---|---|---|"]
        for c in report.comparisons:
            lines.append("| " + " | ".join([*_cells(c), WORDS[c["verdict"]]]) + " |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"
