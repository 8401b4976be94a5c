"""Accuracy of a network: counts of deterministic runs, distributions over chips, curves over time.

[[case]]    name, config, set = {key = value}, calibrate = true (ranges are found first), chips, limit, times,
            reference = true (float32 instead of tiles)
[[case.against]]    what, kind: "count" (value, ties), "chips" (mean, sd, n; in %), "chip" (value in %), "file" (peer file of
                    validation/peers: the same times, chips one by one), "case" (name of an earlier case, same chips: differences in
                    pairs), "loss" (points lost against the earlier case `of`, sample by sample; needs output.record.predictions), "drop" (the
                    same, chip by chip)
                    at = seconds after programming, where there are several times
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ..command import Tessera, configuration, filled
from ..report import Report
from ..statistics import Sample, paired
from ..target import Target, TargetError

SPANS = ((1.0, "s"), (60.0, "min"), (3600.0, "h"), (86400.0, "d"), (31536000.0, "a"))


def span(seconds: float) -> str:
    """"1 h": a time in the largest unit of which it has at least one."""
    unit, name = [s for s in SPANS if s[0] <= max(seconds, 1.0)][-1]
    return f"{seconds / unit:.3g} {name}"


def _run(target: Target, tessera: Tessera, case: dict[str, Any]) -> dict[str, Any]:
    config = configuration(target, case["config"], tessera.scratch)
    settings = dict(case.get("set", {}))
    for layer, largest in target.about.get("peer", {}).get("input_ranges", {}).items():
        settings[f'layers."{layer}".rpu_config.pre_post.input_range.init_value'] = largest
    settings = {key: filled(target, v, tessera.scratch) if isinstance(v, str) else v for key, v in settings.items()}
    if case.get("calibrate"):
        settings["model.file"] = str(tessera.calibrate(config, settings))
    settings["evaluation.repeats"] = case.get("chips", 1)
    if "limit" in case:
        settings["data.limit"] = case["limit"]
    if "times" in case:
        settings["evaluation.times"] = case["times"]
    with tessera.run(config, settings) as file:
        if case.get("reference"):
            return {"correct": [[int(file["reference/correct"][()])]], "count": int(file["reference/count"][()]), "times": [0.0]}
        found = {
            "correct": np.asarray(file["correct"]).tolist(),
            "count": int(np.asarray(file["count"]).max()),
            "times": [float(t) for t in file["time"]],
        }
        if "predictions" in file:
            found["right"] = np.asarray(file["predictions"])[0, 0] == np.asarray(file["label"])
        return found


def _at(case: dict[str, Any], found: dict[str, Any], against: dict[str, Any]) -> int:
    times = found["times"]
    if "at" not in against:
        if len(times) > 1:
            raise TargetError(f"case {case['name']}: several times: `at` of {against['what']} says which")
        return 0
    return int(np.argmin(np.abs(np.array(times) - against["at"])))


def _percent(found: dict[str, Any], time: int) -> list[float]:
    return [100.0 * c / found["count"] for c in found["correct"][time]]


def _compare(target: Target, case: dict[str, Any], against: dict[str, Any], all_found: dict[str, Any], report: Report) -> None:
    found = all_found[case["name"]]
    name, what, kind = case["name"], against["what"], against["kind"]
    if kind == "cannot":
        report.cannot(name, what, against["why"], against.get("theirs", ""))
        return
    if kind == "file":
        peer = json.loads(target.resolve(against["file"]).read_text(encoding="utf-8"))["cases"][against["case"]]
        for t, seconds in enumerate(peer["times"]):
            ours = _percent(found, _at(case, found, {**against, "at": seconds}))
            theirs = [100.0 * c / peer["count"] for c in peer["correct"][t]]
            at = f", {span(seconds)}" if len(peer["times"]) > 1 else ""
            report.chips(name + at, f"{what}{at}", Sample.of(ours), Sample.of(theirs))
        return
    time = _at(case, found, against)
    percent = _percent(found, time)
    if kind == "count":
        report.bound(name, what, found["correct"][time][0], against["value"], against.get("ties", 0),
                     f"of {found['count']}", why=against.get("why", ""))  # fmt: skip
    elif kind == "chips":
        report.chips(name, what, Sample.of(percent), Sample(against["mean"], against["sd"], against["n"]))
    elif kind == "chip":
        report.one_chip(name, what, Sample.of(percent), against["value"])
    elif kind == "loss":
        lost = all_found[against["of"]]["right"].astype(float) - found["right"].astype(float)
        report.loss(name, what, Sample.of((100.0 * lost).tolist()), against["points"])
    elif kind == "drop":
        other = _percent(all_found[against["of"]], time)
        report.loss(name, what, Sample.of([b - a for a, b in zip(percent, other, strict=True)]), against["points"], "chips")
    elif kind == "case":
        other = _percent(all_found[against["case"]], time)
        if len(other) == len(percent) and against.get("pairs", True):
            difference = paired([a - b for a, b in zip(percent, other)])
            report.paired(name, what, Sample.of(percent), Sample.of(other), difference)
        else:
            report.chips(name, what, Sample.of(percent), Sample.of(other))
    else:
        raise TargetError(f"case {name}: kind = \"{kind}\" of {what}; known: count, chips, chip, file, case, loss, drop, cannot")


def _figures(target: Target, all_found: dict[str, Any], report: Report) -> None:
    strips, lines = [], []
    for case in target.about["case"]:
        found = all_found[case["name"]]
        peers = [a for a in case.get("against", []) if a["kind"] == "file"]
        if len(found["times"]) > 1:
            lines.append(_line(case["name"], found, True))
            for a in peers:
                if any(line["label"] == a["what"] for line in lines):
                    continue
                peer = json.loads(target.resolve(a["file"]).read_text(encoding="utf-8"))["cases"][a["case"]]
                lines.append(_line(a["what"], peer, False))
        elif len(found["correct"][0]) > 1:
            strips.append({"label": case["name"], "values": _percent(found, 0), "ours": True})
            for a in case.get("against", []):
                if a["kind"] == "chips":
                    strips.append({"label": a["what"], "mean": a["mean"], "sd": a["sd"], "n": a["n"]})
                elif a["kind"] == "chip":
                    strips.append({"label": a["what"], "values": [a["value"]]})
                elif a["kind"] == "file":
                    peer = json.loads(target.resolve(a["file"]).read_text(encoding="utf-8"))["cases"][a["case"]]
                    strips.append({"label": a["what"], "values": [100.0 * c / peer["count"] for c in peer["correct"][0]]})
    if strips:
        report.figure("strips", title="One point for each chip; bars: mean and its 95 % interval", unit="accuracy (%)", strips=strips)
    if lines:
        report.figure("lines", title="Mean over chips and its 95 % interval", x="time after programming (s)", y="accuracy (%)",
                      log_x=True, series=lines)  # fmt: skip


def _line(label: str, found: dict[str, Any], ours: bool) -> dict[str, Any]:
    samples = [Sample.of([100.0 * c / found["count"] for c in row]) for row in found["correct"]]
    return {
        "label": label,
        "ours": ours,
        "x": [max(t, 1.0) for t in found["times"]],
        "y": [s.mean for s in samples],
        "half": [s.half_width() for s in samples],
    }


def measure(target: Target, tessera: Tessera, report: Report) -> None:
    """Runs every case in order, then compares."""
    all_found: dict[str, Any] = {}
    for case in target.about["case"]:
        found = _run(target, tessera, case)
        all_found[case["name"]] = found
        report.values[case["name"]] = {key: v for key, v in found.items() if key != "right"}
        for against in case.get("against", []):
            _compare(target, case, against, all_found, report)
    rows = []
    for name, found in all_found.items():
        for t, seconds in enumerate(found["times"]):
            sample = Sample.of(_percent(found, t))
            label = name + (f", {span(seconds)}" if len(found["times"]) > 1 else "")
            interval = f"{sample.mean:.2f} ± {sample.half_width():.2f}" if sample.n > 1 else f"{sample.mean:.2f}"
            rows.append([label, f"{found['count']:,}", sample.n, interval, f"{sample.sd:.2f}" if sample.n > 1 else ""])
    report.table("Tessera: accuracy, mean over chips and its 95 % interval", ["case", "samples", "chips", "accuracy (%)", "sd"], rows)
    _figures(target, all_found, report)
