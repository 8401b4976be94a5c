#!/usr/bin/env python3
"""Exports a small random transformer encoder and what ONNX Runtime computes with it: tests/data/onnx/tiny_transformer.onnx
(about 40 KB), and input and output as .npy. Needs torch, onnx and onnxruntime.

Usage: make_tiny_transformer.py [FOLDER]
"""
import math
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

TOKENS, WIDTH, HEADS, CLASSES = 12, 16, 2, 5


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x):
        batch, tokens, _ = x.shape
        heads = lambda t: t.reshape(batch, tokens, HEADS, WIDTH // HEADS).transpose(1, 2)
        q, k, v = heads(self.query(x)), heads(self.key(x)), heads(self.value(x))
        weights = torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(WIDTH // HEADS), dim=-1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, tokens, WIDTH))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2, self.attention = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH), Attention()
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.down(torch.nn.functional.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(8, WIDTH)
        self.position = nn.Parameter(0.1 * torch.randn(TOKENS, WIDTH))
        self.block1, self.block2 = Block(), Block()
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        x = self.block2(self.block1(self.embed(x) + self.position))
        return self.head(self.norm(x).mean(dim=1))


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "tests/data/onnx"
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    model = Transformer().eval()
    x = torch.randn(7, TOKENS, 8)
    path = folder / "tiny_transformer.onnx"
    torch.onnx.export(model, (x,), str(path), input_names=["tokens"], output_names=["logits"], opset_version=17,
                      dynamic_axes={"tokens": {0: "N"}, "logits": {0: "N"}}, dynamo=False)
    exported = onnx.load(str(path))
    for node in exported.graph.node:
        node.doc_string = ""
    onnx.save(exported, str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"tokens": x.numpy()})
    np.save(folder / "tiny_transformer_input.npy", x.numpy())
    np.save(folder / "tiny_transformer_output.npy", logits)
    print(path, path.stat().st_size, "bytes;", len(exported.graph.node), "nodes")


if __name__ == "__main__":
    main()
