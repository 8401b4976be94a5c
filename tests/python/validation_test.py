#!/usr/bin/env python3
"""The gallery of published results: its statistics against tables, its pages against the stored results, and both can fail."""

import contextlib
import importlib.machinery
import importlib.util
import io
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("validate", str(ROOT / "scripts" / "validate"))
spec = importlib.util.spec_from_loader("validate", loader)
validate = importlib.util.module_from_spec(spec)
loader.exec_module(validate)  # ends with 77 where numpy or h5py is missing

from gallery import onnx_writer, page, statistics  # noqa: E402
from gallery.target import TargetError, all_folders, load  # noqa: E402

import numpy as np  # noqa: E402


def run(*arguments):
    """Exit code and what was printed."""
    out = io.StringIO()
    old, sys.argv = sys.argv, ["validate", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            return validate.main(), out.getvalue()
    finally:
        sys.argv = old


class Pages(unittest.TestCase):
    def test_are_what_the_stored_results_say(self):
        code, text = run("--check")
        self.assertEqual(code, 0, text)

    def test_a_changed_number_is_noticed(self):
        kept = page.FOLDER
        with tempfile.TemporaryDirectory(dir=ROOT / "docs") as folder:
            page.FOLDER = Path(folder) / "validation"
            try:
                shutil.copytree(kept, page.FOLDER)
                self.assertEqual(run("--check")[0], 0)
                index = page.FOLDER / "index.md"
                text = index.read_text(encoding="utf-8")
                at = next(i for i in range(len(text) // 2, len(text)) if text[i].isdigit())
                index.write_text(text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :], encoding="utf-8")
                code, said = run("--check")
                self.assertEqual(code, 1)
                self.assertIn("index.md", said)
            finally:
                page.FOLDER = kept

    def test_at_least_ten_targets_each_with_a_comparison(self):
        folders = all_folders()
        self.assertGreaterEqual(len(folders), 10)
        for folder in folders:
            report = validate.stored(load(folder, []))
            self.assertIsNotNone(report, folder)
            self.assertTrue(report.comparisons, folder)

    def test_descriptions_are_changed_key_by_key(self):
        folder = ROOT / "validation" / "mnist_standard"
        self.assertEqual(load(folder, ["case.0.chips=3"]).about["case"][0]["chips"], 3)
        with self.assertRaises(TargetError):
            load(folder, ["case.9.chips=3"])
        with self.assertRaises(TargetError):
            load(ROOT / "docs", [])


class Statistics(unittest.TestCase):
    def test_quantiles_of_student(self):
        for p, degrees, value in ((0.975, 1, 12.7062), (0.975, 4, 2.77645), (0.995, 9, 3.24984), (0.995, 30, 2.75), (0.975, 1e6, 1.95997)):
            self.assertAlmostEqual(statistics.t_quantile(p, degrees) / value, 1.0, places=5)

    def test_false_alarms_come_as_often_as_stated(self):
        random = np.random.default_rng(1)
        trials, alpha = 1000, 0.05
        alarms = 0
        for _ in range(trials):
            a = statistics.Sample.of((1.0 * random.standard_normal(8)).tolist())
            b = statistics.Sample.of((3.0 * random.standard_normal(20)).tolist())
            alarms += not statistics.welch(a, b, alpha).agrees
        # five standard deviations of a binomial: a false alarm of this test in 6e-7
        self.assertLess(abs(alarms - alpha * trials), 5.0 * (alpha * (1 - alpha) * trials) ** 0.5)

    def test_a_difference_is_found(self):
        a, b = statistics.Sample(90.0, 1.0, 40), statistics.Sample(91.0, 1.0, 40)
        self.assertFalse(statistics.welch(a, b).agrees)
        self.assertTrue(statistics.one_chip(a, 91.0).agrees)
        self.assertFalse(statistics.one_chip(a, 94.0).agrees)


class Networks(unittest.TestCase):
    def test_what_is_written_is_read(self):
        random = np.random.default_rng(2)
        weight, bias = random.standard_normal((5, 3)).astype(np.float32), random.standard_normal(3).astype(np.float32)
        with tempfile.TemporaryDirectory() as folder:
            network = onnx_writer.Network([5])
            file = network.save(Path(folder) / "net.onnx", network.gemm("fc", "x", weight, bias), 3)
            ((w, b),) = onnx_writer.dense_layers(file)
        np.testing.assert_array_equal(w, weight)
        np.testing.assert_array_equal(b, bias)


if __name__ == "__main__":
    unittest.main()
