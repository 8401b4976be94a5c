"""Float32 images per second of this project's executor and of ONNX Runtime: same network, batch and threads, in turns.

    python bench/peers/onnxruntime_speed.py build/default/bin/nn_bench ../shared/data [--threads 1 2] [--rounds 3]

Needs onnxruntime and numpy. The best of the rounds of each side counts; a ratio above 1 means that ONNX Runtime is faster.
"""
import argparse
import json
import os
import subprocess
import time

import numpy
import onnxruntime

NETWORKS = {
    "lenet5": ("mnist/lenet5-relu.onnx", (1, 28, 28)),
    "mlp128": ("mnist/mlp128.onnx", (784,)),
    "resnet20": ("cifar10/resnet20.onnx", (3, 32, 32)),
}
BATCH = 128


def peer_rate(path, shape, threads, seconds=1.0):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: numpy.random.default_rng(0).standard_normal((BATCH, *shape), dtype=numpy.float32)}
    session.run(None, feed)
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        session.run(None, feed)
        best = max(best, BATCH / (time.perf_counter() - start))
    return best


def own_rate(binary, data, name, threads):
    pattern = f"^network/{name}/threads:{threads}/batch:{BATCH}/folded:1/"
    command = [binary, f"--benchmark_filter={pattern}", "--benchmark_format=json", "--benchmark_repetitions=60",
               "--benchmark_min_time=0.001"]
    text = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "TESSERA_DATA_DIR": data}).stdout
    rates = [b["images/s"] for b in json.loads(text)["benchmarks"] if b.get("run_type") == "iteration"]
    return max(rates)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("data")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{'network':10} {'threads':>7} {'ONNX Runtime':>13} {'this':>10} {'ratio':>6}   images per second, batch {BATCH}")
    for threads in arguments.threads:
        for name, (file, shape) in NETWORKS.items():
            peer = own = 0.0
            for _ in range(arguments.rounds):
                peer = max(peer, peer_rate(os.path.join(arguments.data, file), shape, threads))
                own = max(own, own_rate(arguments.binary, arguments.data, name, threads))
            print(f"{name:10} {threads:7} {peer:13.0f} {own:10.0f} {peer / own:6.2f}")


if __name__ == "__main__":
    main()
