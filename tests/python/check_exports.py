#!/usr/bin/env python3
"""Do networks as PyTorch exports them today give in Tessera what ONNX Runtime gives?

    check_exports.py IO_TEST [FOLDER] [--only NAME ...] [--keep]

Exports networks with random weights by both exporters of the installed torch, and once more as ONNX Runtime's
optimiser rewrites them; has ONNX Runtime compute them for three samples, each alone; and runs the test OnnxExports of
IO_TEST (build/.../bin/io_test) on them: every output within 1e-5 of the largest value of the output, the samples alone
and in one batch. Networks of torchvision and transformers are left out, with a word, where these are not installed.
Needs torch, onnx and onnxruntime; exits with 77 (skipped) without. Not part of the automatic tests.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

try:
    import numpy as np
    import onnx
    import onnxruntime
    import torch
    from onnx import numpy_helper
    from torch import nn
    from torch.nn import functional as F
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

SAMPLES = 3


# --- networks that need torch alone ----------------------------------------------------------------------------------

class MaskedEncoder(nn.Module):
    """Two layers of attention with a mask that is an input, and a causal one."""

    def __init__(self, width=32, heads=4):
        super().__init__()
        self.heads = heads
        self.qkv = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(2))
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.norm = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, x, mask):
        for layer, (qkv, out, norm) in enumerate(zip(self.qkv, self.out, self.norm)):
            q, k, v = (t.reshape(t.shape[0], t.shape[1], self.heads, -1).transpose(1, 2)
                       for t in qkv(norm(x)).chunk(3, dim=-1))
            if layer == 0:
                y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
            else:
                y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + out(y.transpose(1, 2).reshape(x.shape))
        return x


class Translator(nn.Module):
    """Encoder and decoder, which starts from the encoder's last state."""

    def __init__(self, kind, bidirectional):
        super().__init__()
        self.encoder = kind(12, 16, batch_first=True, bidirectional=bidirectional)
        self.decoder = kind(8, 16, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(32 if bidirectional else 16, 10)

    def forward(self, source, target):
        _, state = self.encoder(source)
        y, _ = self.decoder(target, state)
        return self.head(y)


class UNet(nn.Module):
    def __init__(self, widths=(8, 16, 32)):
        super().__init__()
        block = lambda i, o: nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(),
                                           nn.Conv2d(o, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU())
        self.down = nn.ModuleList([block(3, widths[0]), block(widths[0], widths[1]), block(widths[1], widths[2])])
        self.up = nn.ModuleList([nn.ConvTranspose2d(widths[2], widths[1], 2, stride=2)])
        self.merge = nn.ModuleList([block(2 * widths[1], widths[1]), block(widths[1] + widths[0], widths[0])])
        self.head = nn.Conv2d(widths[0], 4, 1)

    def forward(self, x):
        a = self.down[0](x)
        b = self.down[1](F.max_pool2d(a, 2))
        c = self.down[2](F.max_pool2d(b, 2))
        y = self.merge[0](torch.cat([self.up[0](c), b], 1))
        y = self.merge[1](torch.cat([F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False), a], 1))
        return self.head(y)


class Volumes(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv3d(2, 6, 3, padding=1), nn.BatchNorm3d(6), nn.ReLU(), nn.MaxPool3d(2),
                                    nn.Conv3d(6, 8, (2, 3, 3), stride=(1, 2, 2), groups=2), nn.ReLU(),
                                    nn.ConvTranspose3d(8, 4, 2, stride=2), nn.AvgPool3d((2, 2, 1)))

    def forward(self, x):
        return self.layers(x).flatten(2).mean(-1)


class Modern(nn.Module):
    """Grouped queries, rotary positions, RMS normalization, gated linear units: a decoder of today, written out."""

    def __init__(self, width=32, heads=4, kv_heads=2, tokens=11, vocabulary=50):
        super().__init__()
        self.heads, self.kv_heads, self.size = heads, kv_heads, width // heads
        self.embed = nn.Embedding(vocabulary, width)
        self.q, self.kv = nn.Linear(width, width, bias=False), nn.Linear(width, 2 * kv_heads * self.size, bias=False)
        self.o = nn.Linear(width, width, bias=False)
        self.gate, self.up = nn.Linear(width, 64, bias=False), nn.Linear(width, 64, bias=False)
        self.down, self.head = nn.Linear(64, width, bias=False), nn.Linear(width, vocabulary, bias=False)
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in range(3))
        angle = torch.arange(tokens)[:, None] / 1e4 ** (torch.arange(0, self.size, 2) / self.size)
        self.register_buffer("cos", torch.cat([angle, angle], -1).cos())
        self.register_buffer("sin", torch.cat([angle, angle], -1).sin())

    def turn(self, x):
        a, b = x.chunk(2, -1)
        return x * self.cos + torch.cat([-b, a], -1) * self.sin

    def forward(self, tokens):
        x = self.embed(tokens)
        h = self.norms[0](x)
        split = lambda t, n: t.reshape(t.shape[0], t.shape[1], n, self.size).transpose(1, 2)
        k, v = self.kv(h).chunk(2, -1)
        q, k, v = self.turn(split(self.q(h), self.heads)), self.turn(split(k, self.kv_heads)), split(v, self.kv_heads)
        k, v = (t.repeat_interleave(self.heads // self.kv_heads, 1) for t in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(y.transpose(1, 2).reshape(x.shape))
        h = self.norms[1](x)
        x = x + self.down(F.silu(self.gate(h)) * self.up(h))
        return self.head(self.norms[2](x))


class EinsumMixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 6, 20) / 5)

    def forward(self, x):
        heads = x.reshape(x.shape[0], x.shape[1], 4, 6)
        scores = torch.einsum("bihd,bjhd->bhij", heads, heads).softmax(-1)
        y = torch.einsum("bhij,bjhd->bihd", scores, heads)
        return torch.einsum("bihd,hdo->bio", y, self.w)


def reals(*shape):
    return lambda: (torch.randn(1, *shape),)


def with_mask(tokens, width):
    def make():
        mask = torch.rand(1, tokens) > 0.3
        mask[:, 0] = True
        return torch.randn(1, tokens, width), mask
    return make


def tokens_of(length, vocabulary):
    return lambda: (torch.randint(0, vocabulary, (1, length)),)


def own_networks():
    yield "masked_encoder", lambda: MaskedEncoder(), with_mask(9, 32)
    yield "lstm_translator", lambda: Translator(nn.LSTM, False), lambda: (torch.randn(1, 7, 12), torch.randn(1, 5, 8))
    yield "gru_translator", lambda: Translator(nn.GRU, True), lambda: (torch.randn(1, 7, 12), torch.randn(1, 5, 8))
    yield "unet", lambda: UNet(), reals(3, 32, 32)
    yield "volumes", lambda: Volumes(), reals(2, 8, 10, 10)
    yield "modern_decoder", lambda: Modern(), tokens_of(11, 50)
    yield "einsum", lambda: EinsumMixer(), reals(10, 24)
    encoder = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")
    yield "torch_encoder", lambda: nn.TransformerEncoder(encoder, 2, enable_nested_tensor=False), reals(9, 32)


def vision_networks():
    import torchvision.models as models

    yield "resnet18", lambda: models.resnet18(weights=None, num_classes=20), reals(3, 64, 64)
    yield "mobilenet_v2", lambda: models.mobilenet_v2(weights=None, num_classes=20), reals(3, 64, 64)
    yield "mobilenet_v3", lambda: models.mobilenet_v3_small(weights=None, num_classes=20), reals(3, 64, 64)
    yield "efficientnet_b0", lambda: models.efficientnet_b0(weights=None, num_classes=20), reals(3, 64, 64)
    yield "convnext_tiny", lambda: models.convnext_tiny(weights=None, num_classes=20), reals(3, 64, 64)
    yield "swin_t", lambda: models.swin_t(weights=None, num_classes=20), reals(3, 64, 64)
    yield "vit", lambda: models.VisionTransformer(32, 8, 3, 4, 64, 128, num_classes=20), reals(3, 32, 32)


def language_networks():
    from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel

    class Bert(nn.Module):
        def __init__(self):
            super().__init__()
            config = BertConfig(vocab_size=100, hidden_size=48, num_hidden_layers=2, num_attention_heads=4,
                                intermediate_size=96, max_position_embeddings=32)
            self.bert = BertModel(config)

        def forward(self, input_ids, attention_mask, token_type_ids):
            y = self.bert(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
            return y.last_hidden_state, y.pooler_output

    def bert_inputs():
        mask = torch.ones(1, 12, dtype=torch.int64)
        mask[:, int(torch.randint(6, 12, ())):] = 0
        return torch.randint(0, 100, (1, 12)), mask, torch.randint(0, 2, (1, 12))

    class Gpt(nn.Module):
        def __init__(self):
            super().__init__()
            config = GPT2Config(vocab_size=100, n_embd=48, n_layer=2, n_head=4, n_positions=32, use_cache=False)
            self.gpt = GPT2LMHeadModel(config)

        def forward(self, input_ids):
            return self.gpt(input_ids=input_ids).logits

    yield "bert", Bert, bert_inputs
    yield "gpt2", Gpt, tokens_of(12, 100)


# --- export and reference --------------------------------------------------------------------------------------------

def randomized(network):
    """Statistics of normalizations away from 0 and 1, so that nothing hides in them."""
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            nn.init.normal_(module.running_mean, 0.0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    # A weight of zeros (the head of a vision transformer) would let every output agree.
    for parameter in network.parameters():
        if parameter.dim() > 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network.eval()


def export(network, inputs, path, exporter):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "dynamo":
            torch.onnx.export(network, inputs, str(path), dynamo=True, external_data=False, verbose=False)
        else:
            torch.onnx.export(network, inputs, str(path), dynamo=False, opset_version=17)


def optimized(source, path):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def write_case(folder, model_path, samples):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(model_path), options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    for k, sample in enumerate(samples):
        data = folder / f"test_data_set_{k}"
        data.mkdir(parents=True, exist_ok=True)
        # An exporter drops inputs that do not matter.
        arrays = [t.numpy() for t in sample][:len(names)]
        for i, array in enumerate(arrays):
            (data / f"input_{i}.pb").write_bytes(numpy_helper.from_array(array, names[i]).SerializeToString())
        for o, array in enumerate(session.run(None, dict(zip(names, arrays)))):
            (data / f"output_{o}.pb").write_bytes(numpy_helper.from_array(np.asarray(array)).SerializeToString())


def make_cases(root, only):
    made, failed = 0, []
    for networks in (own_networks, vision_networks, language_networks):
        try:
            listed = list(networks())
        except ImportError as error:
            print(f"left out: {networks.__name__} ({error})")
            continue
        for name, make, inputs in listed:
            if only and name not in only:
                continue
            torch.manual_seed(1)
            network = randomized(make())
            samples = [inputs() for _ in range(SAMPLES)]
            # The older exporter knows neither RMSNorm nor repeat_interleave.
            for exporter in ("dynamo",) if name == "modern_decoder" else ("dynamo", "torchscript"):
                folder = root / f"{name}_{exporter}"
                folder.mkdir(parents=True, exist_ok=True)
                try:
                    export(network, samples[0], folder / "model.onnx", exporter)
                    write_case(folder, folder / "model.onnx", samples)
                    made += 1
                    again = root / f"{name}_{exporter}_optimized"
                    again.mkdir(parents=True, exist_ok=True)
                    optimized(folder / "model.onnx", again / "model.onnx")
                    write_case(again, again / "model.onnx", samples)
                    made += 1
                except Exception as error:  # the exporter's or the runtime's own limits
                    text = str(error).strip().splitlines()
                    failed.append(f"{name} ({exporter}): {type(error).__name__}: {text[0] if text else ''}")
    for line in failed:
        print(f"not exported: {line}")
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("io_test")
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--keep", action="store_true", help="use what is in FOLDER, export nothing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(arguments.folder or scratch)
        if not arguments.keep:
            print(f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}: "
                  f"{make_cases(root, arguments.only)} cases in {root}")
        environment = dict(os.environ, TESSERA_ONNX_EXPORTS=str(root))
        sys.exit(subprocess.run([arguments.io_test, "--gtest_filter=OnnxExports*"], env=environment).returncode)


if __name__ == "__main__":
    main()
