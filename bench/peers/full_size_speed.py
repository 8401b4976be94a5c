"""Networks of full size: time per image (or text) of ONNX Runtime, of this project in float32 and on tiles of
StandardHWATrainingPreset, in turns, and the memory of the runs.

    python bench/peers/full_size_speed.py build/default/bin/tessera [--only vit_b16 ...] [--threads 1 2] [--rounds 3]
                                          [--samples 8] [--statistics]

Needs onnx, onnxruntime, numpy and h5py; the networks are those of scripts/make_full_size_networks.py. All samples are one
batch. Every time is the median of the rounds; a ratio is the median of the ratios to ONNX Runtime in the same round. What
`tessera run` does before and after its passes is left out, but for memory.
"""
import argparse
import pathlib
import statistics
import sys
import tempfile

import h5py
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "python"))
import full_size_runs as runs  # noqa: E402
import make_full_size_networks as networks  # noqa: E402


def own(binary, configuration, threads, settings):
    """Seconds per sample behind the float32 pass, which packs the weights; and the memory of the run."""
    results = configuration.with_suffix(".h5")
    peak = runs.tessera_run(binary, configuration, results, threads, settings=settings)
    with h5py.File(results, "r") as file:
        runtime = file["runtime"]
        return runtime["analog_time"][()] / runtime["analog_samples"][()], peak


def compare(name, folder, binaries, threads, rounds, settings):
    weights = runs.weight_bytes(folder / "model.onnx")
    inputs = np.load(folder / "inputs.npy")
    peer = runs.peer(folder / "model.onnx", threads)
    peers, plain, tiles = [], {b: [] for b in binaries}, {b: [] for b in binaries}
    for _ in range(rounds):
        peers.append(runs.peer_seconds(peer, inputs))
        for binary in binaries:
            plain[binary].append(own(binary, folder / "float32.yaml", threads, settings))
            tiles[binary].append(own(binary, folder / "tiles.yaml", threads, settings))
    for binary in binaries:
        line = f"{name:12} {threads:7} {1e3 * statistics.median(peers):9.1f}"
        for found in (plain[binary], tiles[binary]):
            ratio = statistics.median(seconds / other for (seconds, _), other in zip(found, peers))
            line += f" {1e3 * statistics.median(s for s, _ in found):9.1f} {ratio:6.2f} {max(p for _, p in found) / weights:8.2f}"
        print(line + (f"   {binary}" if len(binaries) > 1 else ""), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", nargs="+", help="several are compared in turns")
    parser.add_argument("--only", nargs="+", choices=networks.NETWORKS, default=list(networks.NETWORKS))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--statistics", action="store_true")
    arguments = parser.parse_args()
    settings = [f"output.record.statistics={str(arguments.statistics).lower()}"]
    print(f"{'ms a sample':12} {'threads':>7} {'ONNX R.':>9} {'float32':>9} {'ratio':>6} {'memory':>8} {'tiles':>9} {'ratio':>6} "
          f"{'memory':>8}   memory: of the whole run, over the weights")
    for name in arguments.only:
        with tempfile.TemporaryDirectory() as scratch:
            folder = networks.write(scratch, name, arguments.samples)
            for threads in arguments.threads:
                compare(name, folder, arguments.binary, threads, arguments.rounds, settings)


if __name__ == "__main__":
    main()
