"""Small crossbar arrays against circuits that others solved, every current and voltage of every branch.

[arrays]    file: JSON list of {name, device_resistance, voltage, r_word_line, r_bit_line, i_out, i_device, i_word, i_bit, v_word,
            v_bit}; lines of words are inputs. allowed, allowed_ideal: largest deviation over the largest value of its kind, with
            wires and for arrays in which a line has 0 ohm
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

import numpy as np

from ..command import Tessera, find_program
from ..report import Report
from ..target import Target

KINDS = ("i_out", "i_device", "i_word", "i_bit", "v_word", "v_bit")


def _solve(arrays: list[dict[str, Any]], program: str) -> list[dict[str, np.ndarray]]:
    lines = [str(len(arrays))]
    for array in arrays:
        r = np.array(array["device_resistance"], float)
        lines.append(f"{r.shape[0]} {r.shape[1]} {array['r_word_line']!r} {array['r_bit_line']!r}")
        lines += [" ".join(repr(float(v)) for v in row) for row in r]
        lines.append(" ".join(repr(float(row[0])) for row in array["voltage"]))
    out = subprocess.run([program], input="\n".join(lines), capture_output=True, text=True, check=True).stdout.splitlines()
    solved = []
    for n, array in enumerate(arrays):
        r = np.array(array["device_resistance"], float)
        i_out, v_word, v_bit = (np.array(line.split(), float) for line in out[3 * n : 3 * n + 3])
        v_word, v_bit = v_word.reshape(r.shape), v_bit.reshape(r.shape)
        i_device = (v_word - v_bit) / r
        solved.append(
            {
                "i_out": i_out.reshape(1, -1),
                "i_device": i_device,
                "i_word": np.cumsum(i_device[:, ::-1], axis=1)[:, ::-1],
                "i_bit": np.cumsum(i_device, axis=0),
                "v_word": v_word,
                "v_bit": v_bit,
            }
        )
    return solved


def measure(target: Target, tessera: Tessera, report: Report) -> None:
    """One comparison for arrays with wires, one for arrays in which a line has none."""
    about = target.about["arrays"]
    arrays = json.loads(target.resolve(about["file"]).read_text(encoding="utf-8"))
    solved = _solve(arrays, str(find_program(str(tessera.program), "solve_arrays")))
    worst = {True: {k: 0.0 for k in KINDS}, False: {k: 0.0 for k in KINDS}}
    number = {True: 0, False: 0}
    for array, ours in zip(arrays, solved):
        wired = array["r_word_line"] > 0 and array["r_bit_line"] > 0
        number[wired] += 1
        for kind in KINDS:
            theirs = np.array(array[kind], float)
            scale = max(float(np.abs(theirs).max()), 1e-300)
            error = float(np.abs(ours[kind] - theirs).max())
            worst[wired][kind] = max(worst[wired][kind], error if scale == 1e-300 else error / scale)
    for wired, label, allowed in ((True, "wires on both lines", about["allowed"]), (False, "a line of 0 ohm", about["allowed_ideal"])):
        if number[wired]:
            report.largest(f"{number[wired]} arrays, {label}", about["what"], max(worst[wired].values()), allowed, why=about["why"])
    report.values["arrays"] = len(arrays)
    rows = [[kind, worst[True][kind], worst[False][kind]] for kind in KINDS]
    columns = ["quantity", "wires on both lines", "a line of 0 ohm"]
    report.table("Largest deviation over the largest value of its kind in the array", columns, rows)
