#!/usr/bin/env python3
"""Trains the networks of docs/guide/transformers.md and streaming.md, and writes them with data into configs/models.

    make_sequence_networks.py [FOLDER]        (needs numpy, torch, onnx and onnxscript; a few minutes on one core)

brackets.onnx   a decoder of two layers that continues a text of brackets and letters; brackets.npy: 200 texts of 32 tokens
tone.onnx       one step of a recurrent tone detector, with its state as an input and an output; tone_frames.npy and
                tone_labels.npy: 24 recordings of 50 frames of 12 bands
"""
import pathlib
import sys
import warnings

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F

LENGTH, TOKENS = 32, 13  # 0 begins a text; 1 to 6 letters; 7 to 9 open and 10 to 12 close a bracket


def text(rng):
    """Brackets close in the order in which they opened; which letters there are depends on the innermost bracket."""
    tokens, stack = [0], []
    while len(tokens) < LENGTH:
        u = rng.random()
        if stack and (u < 0.3 or len(stack) > 5):
            tokens.append(10 + stack.pop())
        elif u < 0.6:
            stack.append(int(rng.integers(3)))
            tokens.append(7 + stack[-1])
        else:
            tokens.append(int(1 + 2 * stack[-1] + rng.integers(2) if stack else 1 + rng.integers(6)))
    return tokens


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        h = self.norm1(x)
        q, k, v = (f(h).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(y.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Decoder(nn.Module):
    def __init__(self, width=32, heads=4, layers=2):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(TOKENS, width), nn.Parameter(torch.randn(LENGTH, width) / 10)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, TOKENS)

    def forward(self, input_ids):
        x = self.tokens(input_ids) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


def recording(rng, frames=50, bands=12):
    """Band energies of noise that drifts, with tones of one band now and then; the label says whether there is one."""
    noise = 0.5 * rng.standard_normal(bands) + 0.15 * rng.standard_normal((frames, bands)).cumsum(0)
    x, label = noise + 0.8 * rng.standard_normal((frames, bands)), np.zeros(frames, np.uint8)
    at = int(rng.integers(3, 12))
    while at < frames:
        length, band = int(rng.integers(5, 15)), int(rng.integers(bands))
        label[at:at + length] = 1
        x[at:at + length, band] += 2.5
        at += length + int(rng.integers(5, 15))
    return x.astype(np.float32), label


class Detector(nn.Module):
    def __init__(self, bands=12, units=24):
        super().__init__()
        self.front, self.cell, self.head = nn.Linear(bands, 24), nn.GRU(24, units), nn.Linear(units, 2)

    def forward(self, frame, state):
        y, state = self.cell(F.relu(self.front(frame))[None], state[None])
        return self.head(y[0]), state[0]


def train(loss, parameters, steps, rate):
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps)
    for step in range(steps):
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"  step {step + 1}: loss {value.item():.4f}", flush=True)


def export(model, inputs, path, names, outputs, dynamic):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model.eval(), inputs, path, input_names=names, output_names=outputs, dynamic_shapes=dynamic,
                          dynamo=True, external_data=False, verbose=False)
    # Modules of nodes are kept, since they name the layers; where in which file each was written is not.
    network = onnx.load(path)
    for node in network.graph.node:
        kept = [entry for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
        node.doc_string = ""
    for value in list(network.graph.input) + list(network.graph.output) + list(network.graph.value_info):
        del value.metadata_props[:]
    del network.graph.value_info[:], network.graph.metadata_props[:], network.metadata_props[:]
    onnx.save(network, path)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent / "configs/models")
    torch.manual_seed(1)
    torch.set_num_threads(1)
    rng = np.random.default_rng(1)

    decoder = Decoder()

    def next_token():
        tokens = torch.tensor([text(rng) for _ in range(32)])
        return F.cross_entropy(decoder(tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())

    train(next_token, decoder.parameters(), 1000, 3e-3)
    held_out = np.random.default_rng(2)
    tokens = np.array([text(held_out) for _ in range(200)], np.uint8)
    np.save(folder / "brackets.npy", tokens)
    batch = torch.export.Dim("batch")
    export(decoder, (torch.tensor(tokens[:2].astype(np.int64)),), folder / "brackets.onnx", ["input_ids"], ["logits"],
           ({0: batch},))

    detector = Detector()

    def frames_right():
        x, y = (np.stack(part) for part in zip(*(recording(rng) for _ in range(32))))
        x, y = torch.tensor(x).transpose(0, 1), torch.tensor(y.astype(np.int64)).transpose(0, 1)
        state, total = torch.zeros(32, 24), 0.0
        for step in range(len(x)):
            logits, state = detector(x[step], state)
            total = total + F.cross_entropy(logits, y[step])
        return total / len(x)

    train(frames_right, detector.parameters(), 400, 5e-3)
    held_out = np.random.default_rng(3)
    recordings = [recording(held_out) for _ in range(24)]
    np.save(folder / "tone_frames.npy", np.concatenate([x for x, _ in recordings]).astype(np.float16))
    np.save(folder / "tone_labels.npy", np.concatenate([y for _, y in recordings]))
    export(detector, (torch.zeros(1, 12), torch.zeros(1, 24)), folder / "tone.onnx", ["frame", "state"],
           ["logits", "state_out"], None)


main()
