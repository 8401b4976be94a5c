"""Pictures as SVG text: strips of chips and lines over an axis. The same numbers give the same bytes."""

from __future__ import annotations

import math
from html import escape
from typing import Any, Callable, Optional

from .statistics import Sample

OURS, THEIRS = "#1f6fb4", "#d1702a"
LINE_COLOURS = {True: ("#1f6fb4", "#2a9d6a", "#7a5bb5", "#c04a7a"), False: ("#d1702a", "#8c6d31", "#b0413e", "#777777")}
FONT = 'font-family="sans-serif" font-size="13"'


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _text(x: float, y: float, content: str, anchor: str = "start", extra: str = "") -> str:
    return f'<text x="{_number(x)}" y="{_number(y)}" text-anchor="{anchor}" {FONT} {extra}>{escape(content)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1.0, extra: str = "") -> str:
    return (
        f'<line x1="{_number(x1)}" y1="{_number(y1)}" x2="{_number(x2)}" y2="{_number(y2)}" '
        f'stroke="{colour}" stroke-width="{_number(width)}" {extra}/>'
    )


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Round values within [low, high]."""
    span = high - low
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _range(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _document(width: int, height: int, title: str, body: list[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">'
        f'<title>{escape(title)}</title><rect width="{width}" height="{height}" fill="white"/>'
    )
    return "\n".join([head, *body, "</svg>"]) + "\n"


def strips(figure: dict[str, Any]) -> str:
    """A row for each distribution: its chips as points, mean and interval as a bar; where only moments are known, mean ± sd."""
    rows = figure["strips"]
    left, right, top, row_height = 290, 24, 40, 38
    width, height = 820, top + row_height * len(rows) + 52
    extent: list[float] = []
    for row in rows:
        sample = Sample.of(row["values"]) if row.get("values") else Sample(row["mean"], row["sd"], row["n"])
        extent += row.get("values") or [sample.mean - sample.sd, sample.mean + sample.sd]
        extent += [sample.mean - sample.half_width(), sample.mean + sample.half_width()]
    low, high = _range(extent)
    at: Callable[[float], float] = lambda v: left + (v - low) / (high - low) * (width - left - right)
    body = [_text(12, 22, figure["title"], extra='font-weight="bold"')]
    bottom = top + row_height * len(rows)
    for tick in ticks(low, high):
        body += [_line(at(tick), top - 4, at(tick), bottom, "#dddddd"), _text(at(tick), bottom + 17, f"{tick:g}", "middle")]
    body.append(_text(0.5 * (left + width - right), bottom + 38, figure["unit"], "middle"))
    for n, row in enumerate(rows):
        y = top + row_height * (n + 0.5)
        colour = OURS if row.get("ours") else THEIRS
        label = row["label"] if len(row["label"]) <= 46 else row["label"][:45] + "…"
        body.append(_text(left - 10, y + 4, label, "end"))
        values = row.get("values")
        if not values:
            sample = Sample(row["mean"], row["sd"], row["n"])
            body.append(_line(at(sample.mean - sample.sd), y, at(sample.mean + sample.sd), y, colour, 9, 'stroke-opacity="0.3"'))
        else:
            sample = Sample.of(values)
            for k, value in enumerate(values):
                shift = ((k * 7) % 11 - 5) * 1.3 if len(values) > 1 else 0.0
                body.append(f'<circle cx="{_number(at(value))}" cy="{_number(y + shift)}" r="3" fill="{colour}" fill-opacity="0.45"/>')
        half = sample.half_width()
        if sample.n > 1:
            body += [_line(at(sample.mean - half), y, at(sample.mean + half), y, colour, 3),
                     _line(at(sample.mean), y - 9, at(sample.mean), y + 9, colour, 2.5)]  # fmt: skip
    return _document(width, height, figure["title"], body)


def lines(figure: dict[str, Any]) -> str:
    """Series over an axis, linear or logarithmic, with intervals where they are given."""
    distinct = {(s["label"], tuple(s["x"]), tuple(s["y"])): s for s in figure["series"]}
    series = sorted(distinct.values(), key=lambda s: not s.get("ours"))  # theirs on top, dashed, with open points
    left, right, top, plot = 66, 24, 40, 300
    width, height = 820, top + plot + 66 + 20 * ((len(series) + 1) // 2)
    logarithmic = figure.get("log_x", False)
    scale: Callable[[float], float] = (lambda v: math.log10(v)) if logarithmic else (lambda v: v)
    xs = sorted({x for s in series for x in s["x"]})
    x_low, x_high = _range([scale(x) for x in xs])
    ys = [y + k * h for s in series for y, h in zip(s["y"], s.get("half") or [0.0] * len(s["y"])) for k in (-1, 1)]
    y_low, y_high = _range(ys)
    at_x: Callable[[float], float] = lambda v: left + (scale(v) - x_low) / (x_high - x_low) * (width - left - right)
    at_y: Callable[[float], float] = lambda v: top + plot - (v - y_low) / (y_high - y_low) * plot
    body = [_text(12, 22, figure["title"], extra='font-weight="bold"')]
    for tick in ticks(y_low, y_high):
        body += [_line(left, at_y(tick), width - right, at_y(tick), "#dddddd"), _text(left - 8, at_y(tick) + 4, f"{tick:g}", "end")]
    for tick in xs if len(xs) <= 12 else ticks(x_low, x_high):
        body += [_line(at_x(tick), top, at_x(tick), top + plot, "#eeeeee"), _text(at_x(tick), top + plot + 18, _short(tick), "middle")]
    body.append(_text(0.5 * (left + width - right), top + plot + 40, figure["x"], "middle"))
    middle = _number(top + 0.5 * plot)
    body.append(_text(16, top + 0.5 * plot, figure["y"], "middle", f'transform="rotate(-90 16 {middle})"'))
    used = {True: 0, False: 0}
    for n, s in enumerate(series):
        ours = bool(s.get("ours"))
        palette = LINE_COLOURS[ours]
        colour = palette[used[ours] % len(palette)]
        used[ours] += 1
        points = list(zip(s["x"], s["y"], s.get("half") or [0.0] * len(s["y"])))
        dashes = "" if ours else 'stroke-dasharray="6 4"'
        path = " ".join(f"{_number(at_x(x))},{_number(at_y(y))}" for x, y, _ in points)
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{3 if ours else 2}" {dashes}/>')
        for x, y, half in points:
            shift = 3.0 * (n - 0.5 * (len(series) - 1)) if half else 0.0
            if half:
                body.append(_line(at_x(x) + shift, at_y(y - half), at_x(x) + shift, at_y(y + half), colour, 1.5))
            fill = colour if ours else "white"
            body.append(
                f'<circle cx="{_number(at_x(x) + shift)}" cy="{_number(at_y(y))}" r="{3.5 if ours else 2.5}" '
                f'fill="{fill}" stroke="{colour}" stroke-width="1.5"/>'
            )
        x0, y0 = left + (n % 2) * 0.5 * (width - left - right), top + plot + 62 + 20 * (n // 2)
        body += [_line(x0, y0 - 4, x0 + 28, y0 - 4, colour, 2, dashes), _text(x0 + 36, y0, s["label"])]
    return _document(width, height, figure["title"], body)


def _short(value: float) -> str:
    for unit, name in ((31536000.0, "1 a"), (86400.0, "1 d"), (3600.0, "1 h")):
        if value == unit:
            return name
    return f"{value:g}"


def draw(figure: dict[str, Any]) -> Optional[str]:
    """The picture of a stored figure."""
    kinds: dict[str, Callable[[dict[str, Any]], str]] = {"strips": strips, "lines": lines}
    return kinds[figure["kind"]](figure)
