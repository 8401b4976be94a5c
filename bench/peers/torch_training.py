"""Time per training epoch of 60,000 MNIST-sized images, of this project and of PyTorch: same network, batch, threads, in turns.

    python bench/peers/torch_training.py build/default/bin/training_bench ../shared/data [--threads 1 2] [--rounds 5]

Needs torch. A step is: forward, cross-entropy, backward, SGD with momentum. The best round of each side counts; a ratio
below 1 means that this project is faster.
"""
import argparse
import json
import os
import subprocess
import time

import torch

IMAGES = 60000


def lenet5():
    nn = torch.nn
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
                         nn.Linear(84, 10))


def mlp128():
    nn = torch.nn
    layers = [nn.Flatten(), nn.Linear(784, 128), nn.ReLU()]
    for _ in range(2):
        layers += [nn.Linear(128, 128), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, 10))


NETWORKS = {"lenet5": lenet5, "mlp128": mlp128}


def peer_seconds(network, batch, threads, seconds=1.0):
    torch.set_num_threads(threads)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    x, labels = torch.rand(batch, 1, 28, 28), torch.arange(batch) % 10
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(x), labels).backward()
        optimizer.step()
        best = min(best, time.perf_counter() - start)
    return best * IMAGES / batch


def own_seconds(binary, data, name, batch, threads):
    pattern = f"^training/{name}/threads:{threads}/batch:{batch}/"
    command = [binary, f"--benchmark_filter={pattern}", "--benchmark_format=json", "--benchmark_repetitions=100",
               "--benchmark_min_time=0.001"]
    text = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "TESSERA_DATA_DIR": data}).stdout
    rates = [b["images/s"] for b in json.loads(text)["benchmarks"] if b.get("run_type") == "iteration"]
    return IMAGES / max(rates)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("data")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--batch", type=int, default=64, choices=[64, 128])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{'network':10} {'threads':>7} {'PyTorch':>9} {'this':>9} {'ratio':>6}   seconds per epoch, batch {arguments.batch}")
    for threads in arguments.threads:
        for name, make in NETWORKS.items():
            peer = own = float("inf")
            network = make()
            for _ in range(arguments.rounds):
                peer = min(peer, peer_seconds(network, arguments.batch, threads))
                own = min(own, own_seconds(arguments.binary, arguments.data, name, arguments.batch, threads))
            print(f"{name:10} {threads:7} {peer:9.2f} {own:9.2f} {own / peer:6.2f}")


if __name__ == "__main__":
    main()
