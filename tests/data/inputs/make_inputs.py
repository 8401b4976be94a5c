"""Writes small networks of several inputs and with states, their data, and what ONNX Runtime makes of them.

    python make_inputs.py        (needs numpy, onnx, onnxruntime)
"""
import os

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(7)


def weights(*shape):
    return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)


class Net:
    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, name, values):
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, op, inputs, output, **attributes):
        outputs = [output] if isinstance(output, str) else output
        self.nodes.append(helper.make_node(op, inputs, outputs, name=outputs[0] or op, **attributes))
        return output

    def save(self, name, inputs, outputs):
        info = lambda entry: helper.make_tensor_value_info(*entry)
        graph = helper.make_graph(self.nodes, name, [info(i) for i in inputs], [info(o) for o in outputs],
                                  self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, os.path.join(HERE, name + ".onnx"))
        return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def save(name, values):
    np.save(os.path.join(HERE, name + ".npy"), values)


def encoder():
    """An attention layer as BERT has it: input_ids, attention_mask, token_type_ids [N, T] of a free length."""
    net, tokens, width, classes = Net(), 12, 8, 3
    for name, rows in (("word", tokens), ("type", 2)):
        net.constant(name + ".weight", weights(rows, width))
    net.node("Gather", ["word.weight", "input_ids"], "words")
    net.node("Gather", ["type.weight", "token_type_ids"], "types")
    net.node("Add", ["words", "types"], "embedded")
    for part in ("query", "key", "value"):
        net.node("MatMul", ["embedded", net.constant(part + ".weight", weights(width, width))], part)
    net.node("Transpose", ["key"], "keys", perm=[0, 2, 1])
    net.node("MatMul", ["query", "keys"], "scores")
    net.node("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
    net.node("Sub", [net.constant("one", np.float32(1)), "mask"], "hidden_ones")
    net.node("Mul", ["hidden_ones", net.constant("far", np.float32(-1e4))], "penalty")
    net.node("Unsqueeze", ["penalty", net.constant("axis", np.array([1]))], "penalties")
    net.node("Add", ["scores", "penalties"], "masked")
    net.node("Softmax", ["masked"], "attention", axis=-1)
    net.node("MatMul", ["attention", "value"], "mixed")
    net.node("MatMul", ["mixed", net.constant("dense.weight", weights(width, width))], "last_hidden_state")
    net.node("Gather", ["last_hidden_state", net.constant("first", np.int64(0))], "pooled", axis=1)
    net.node("Gemm", ["pooled", net.constant("classifier.weight", weights(classes, width)),
                      net.constant("classifier.bias", weights(classes))], "logits", transB=1)
    shape = ["batch", "sequence"]
    session = net.save("encoder", [(n, TensorProto.INT64, shape) for n in
                                   ("input_ids", "attention_mask", "token_type_ids")],
                       [("last_hidden_state", TensorProto.FLOAT, shape + [width]),
                        ("logits", TensorProto.FLOAT, ["batch", classes])])
    samples, length = 9, 6
    data = {"input_ids": rng.integers(0, tokens, (samples, length)),
            "attention_mask": (np.arange(length) < rng.integers(2, length + 1, (samples, 1))).astype(np.int64),
            "token_type_ids": rng.integers(0, 2, (samples, length))}
    for name, values in data.items():
        save("encoder_" + name, values)
    hidden, logits = session.run(None, data)
    save("encoder_hidden", hidden)
    save("encoder_logits", logits)
    save("encoder_short_mask", data["attention_mask"][:, :4])
    save("encoder_few_types", data["token_type_ids"][:5])
    data["token_type_ids"][:] = 0
    data["attention_mask"][:] = 1
    save("encoder_plain_logits", session.run(None, data)[1])


def detector():
    """Voice activity: x [N, 16], a state [2, N, 6] of an LSTM, and a sampling rate that a condition depends on."""
    net, features, units = Net(), 16, 6
    net.node("Equal", ["sr", net.constant("wide", np.int64(16000))], "is_wide")
    branches = {}
    for branch, gain in (("then_branch", 1.0), ("else_branch", 0.5)):
        gain_of = numpy_helper.from_array(np.float32(gain), "gain_" + branch)
        branches[branch] = helper.make_graph(
            [helper.make_node("Mul", ["input", gain_of.name], ["scaled_" + branch])], branch, [],
            [helper.make_tensor_value_info("scaled_" + branch, TensorProto.FLOAT, None)], [gain_of])
    net.node("If", ["is_wide"], "scaled", **branches)
    net.node("Unsqueeze", ["scaled", net.constant("time", np.array([0]))], "sequence")
    for i, name in enumerate(("h", "c")):
        net.node("Slice", ["state", net.constant(name + "_from", np.array([i])),
                           net.constant(name + "_to", np.array([i + 1])),
                           net.constant(name + "_axis", np.array([0]))], name)
    net.node("LSTM", ["sequence", net.constant("lstm.weight", weights(1, 4 * units, features)),
                      net.constant("lstm.recurrence", weights(1, 4 * units, units)),
                      net.constant("lstm.bias", weights(1, 8 * units)), "", "h", "c"],
             ["", "h_next", "c_next"], hidden_size=units)
    net.node("Concat", ["h_next", "c_next"], "stateN", axis=0)
    net.node("Squeeze", ["h_next", "time"], "last")
    net.node("Gemm", ["last", net.constant("head.weight", weights(1, units)), net.constant("head.bias", weights(1))],
             "score", transB=1)
    net.node("Sigmoid", ["score"], "output")
    session = net.save("detector", [("input", TensorProto.FLOAT, ["batch", features]),
                                    ("state", TensorProto.FLOAT, [2, "batch", units]),
                                    ("sr", TensorProto.INT64, [])],
                       [("output", TensorProto.FLOAT, ["batch", 1]),
                        ("stateN", TensorProto.FLOAT, [2, "batch", units])])
    frames = weights(12, features) * 4
    save("detector_frames", frames)
    save("detector_lengths", np.array([5, 4, 3]))
    initial = weights(2, 1, units)
    save("detector_initial", initial)
    for name, lengths, first, rate in (("detector_y", [4, 4, 4], 0 * initial, 16000),
                                       ("detector_ragged_y", [5, 4, 3], initial, 8000)):
        outputs, at = [], 0
        for length in lengths:
            state = first
            for step in range(at, at + length):
                y, state = session.run(None, {"input": frames[step:step + 1], "state": state,
                                              "sr": np.array(rate)})
                outputs.append(y[0])
            at += length
        save(name, np.array(outputs))


def enhancer():
    """Streaming speech enhancement: a frame [1, 8], a cache of past frames of a convolution, of a GRU, and a running mean."""
    net, features, channels, units = Net(), 8, 4, 5
    net.node("Unsqueeze", ["frame", net.constant("last_axis", np.array([2]))], "column")
    net.node("Concat", ["conv_cache", "column"], "columns", axis=2)
    net.node("Conv", ["columns", net.constant("conv.weight", weights(channels, features, 3)),
                      net.constant("conv.bias", weights(channels))], "convolved")
    net.node("Slice", ["columns", net.constant("from", np.array([1])), net.constant("to", np.array([9])),
                       net.constant("axis2", np.array([2]))], "conv_cache_out")
    net.node("Relu", ["convolved"], "active")
    net.node("Transpose", ["active"], "sequence", perm=[2, 0, 1])
    net.node("GRU", ["sequence", net.constant("gru.weight", weights(1, 3 * units, channels)),
                     net.constant("gru.recurrence", weights(1, 3 * units, units)),
                     net.constant("gru.bias", weights(1, 6 * units)), "", "gru_cache"], ["", "gru_cache_out"],
             hidden_size=units, linear_before_reset=1)
    net.node("Squeeze", ["gru_cache_out", net.constant("axis0", np.array([0]))], "features")
    net.node("Mul", ["mean_cache", net.constant("decay", np.float32(0.75))], "decayed")
    net.node("Mul", ["frame", net.constant("share", np.float32(0.25))], "fresh")
    net.node("Add", ["decayed", "fresh"], "mean_cache_out")
    net.node("Gemm", ["features", net.constant("mask.weight", weights(features, units)),
                      net.constant("mask.bias", weights(features))], "logit", transB=1)
    net.node("Sigmoid", ["logit"], "gain")
    net.node("Sub", ["frame", "mean_cache_out"], "centred")
    net.node("Mul", ["gain", "centred"], "enhanced")
    real = lambda name, *shape: (name, TensorProto.FLOAT, list(shape))
    session = net.save("enhancer", [real("frame", 1, features), real("conv_cache", 1, features, 2),
                                    real("gru_cache", 1, 1, units), real("mean_cache", 1, features)],
                       [real("enhanced", 1, features), real("conv_cache_out", 1, features, 2),
                        real("gru_cache_out", 1, 1, units), real("mean_cache_out", 1, features)])
    frames = weights(10, features) * 3
    save("enhancer_frames", frames)
    outputs = []
    for first in (0, 5):
        states = [np.zeros((1, features, 2), np.float32), np.zeros((1, 1, units), np.float32),
                  np.zeros((1, features), np.float32)]
        for step in range(first, first + 5):
            y, *states = session.run(None, dict(zip(("frame", "conv_cache", "gru_cache", "mean_cache"),
                                                    [frames[step:step + 1]] + states)))
            outputs.append(y[0])
    save("enhancer_y", np.array(outputs))


def cross_entropy(logits, labels, ignored):
    """Mean loss, accuracy and count over rows [n, classes] whose label counts, in double."""
    rows = logits.astype(np.float64)
    rows = rows - rows.max(axis=1, keepdims=True)
    log_p = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
    counts = labels != ignored
    loss = -log_p[np.arange(len(labels))[counts], labels[counts]].mean()
    return [loss, (logits.argmax(axis=1) == labels)[counts].mean(), counts.sum()]


def dense():
    """Labels for each position: a tagger [N, 4, 3], a segmenter [N, 3, 4, 5], a language model [N, 6, 12]."""
    tagger = Net()
    tagger.node("MatMul", ["x", tagger.constant("fc.weight", weights(5, 3))], "y")
    session = tagger.save("tagger", [("x", TensorProto.FLOAT, ["N", 4, 5])], [("y", TensorProto.FLOAT, ["N", 4, 3])])
    x, labels = weights(7, 4, 5) * 3, rng.integers(0, 3, (7, 4))
    labels[1, 2] = labels[4, 0] = -100
    save("tagger_x", x)
    save("tagger_labels", labels)
    expected = cross_entropy(session.run(None, {"x": x})[0].reshape(-1, 3), labels.reshape(-1), -100)

    segmenter = Net()
    segmenter.node("Conv", ["x", segmenter.constant("conv.weight", weights(3, 2, 3, 3))], "y", pads=[1, 1, 1, 1])
    session = segmenter.save("segmenter", [("x", TensorProto.FLOAT, ["N", 2, 4, 5])],
                             [("y", TensorProto.FLOAT, ["N", 3, 4, 5])])
    x, labels = weights(6, 2, 4, 5) * 3, rng.integers(0, 3, (6, 4, 5)).astype(np.uint8)
    labels[:, 0, 0] = 255
    save("segmenter_x", x)
    save("segmenter_labels", labels)
    y = session.run(None, {"x": x})[0].transpose(0, 2, 3, 1)
    expected += cross_entropy(y.reshape(-1, 3), labels.reshape(-1).astype(int), 255)

    tokens, width, length = 12, 8, 6
    model = Net()
    model.node("Gather", [model.constant("embedding.weight", weights(tokens, width)), "input_ids"], "embedded")
    for part in ("query", "key", "value"):
        model.node("MatMul", ["embedded", model.constant(part + ".weight", weights(width, width))], part)
    model.node("Transpose", ["key"], "keys", perm=[0, 2, 1])
    model.node("MatMul", ["query", "keys"], "scores")
    causal = np.where(np.tri(length) > 0, 0, -1e9).astype(np.float32)
    model.node("Add", ["scores", model.constant("causal", causal)], "masked")
    model.node("Softmax", ["masked"], "attention", axis=-1)
    model.node("MatMul", ["attention", "value"], "mixed")
    model.node("MatMul", ["mixed", model.constant("head.weight", weights(width, tokens) * 3)], "logits")
    session = model.save("decoder", [("input_ids", TensorProto.INT64, ["N", length])],
                         [("logits", TensorProto.FLOAT, ["N", length, tokens])])
    ids = rng.integers(0, tokens, (9, length))
    mask = (np.arange(length) < rng.integers(3, length + 1, (9, 1))).astype(np.int64)
    save("decoder_ids", ids)
    y = session.run(None, {"input_ids": ids})[0][:, :-1].reshape(-1, tokens)
    expected += cross_entropy(y, ids[:, 1:].reshape(-1), -100)
    labels = np.where(mask > 0, ids, -100)
    save("decoder_labels", labels)
    expected += cross_entropy(y, labels[:, 1:].reshape(-1), -100)
    save("dense_expected", np.array(expected))


def quantized():
    """A dynamically quantized dense layer, as onnxruntime's quantize_dynamic writes it."""
    net = Net()
    net.node("DynamicQuantizeLinear", ["x"], ["code", "scale", "zero"])
    codes = rng.integers(-127, 128, (8, 4)).astype(np.int8)
    net.node("MatMulInteger", ["code", net.constant("fc.weight", codes), "zero",
                               net.constant("fc.zero", np.int8(0))], "sums")
    net.node("Cast", ["sums"], "real", to=TensorProto.FLOAT)
    net.node("Mul", ["scale", net.constant("fc.scale", np.float32(0.01))], "factor")
    net.node("Mul", ["real", "factor"], "y")
    session = net.save("quantized", [("x", TensorProto.FLOAT, [1, 8])], [("y", TensorProto.FLOAT, [1, 4])])
    x = weights(6, 8) * 3
    save("quantized_x", x)
    save("quantized_y", np.concatenate([session.run(None, {"x": x[i:i + 1]})[0] for i in range(len(x))]))


def translator():
    """Sequence to sequence: the second LSTM begins with the states that the first ends with. x: [N, 5, 4]."""
    net, features, units = Net(), 4, 3
    net.node("Transpose", ["x"], "steps", perm=[1, 0, 2])
    for name, of, states in (("encoder", "steps", ["", ""]), ("decoder", "steps", ["encoder_h", "encoder_c"])):
        net.node("LSTM", [of, net.constant(name + ".weight", weights(1, 4 * units, features)),
                          net.constant(name + ".recurrence", weights(1, 4 * units, units)),
                          net.constant(name + ".bias", weights(1, 8 * units)), ""] + states,
                 [name + "_y", name + "_h", name + "_c"], hidden_size=units)
    net.node("Squeeze", ["decoder_h", net.constant("direction", np.array([0]))], "last")
    net.node("Gemm", ["last", net.constant("head.weight", weights(2, units)), net.constant("head.bias", weights(2))],
             "y", transB=1)
    session = net.save("translator", [("x", TensorProto.FLOAT, ["N", 5, features])],
                       [("y", TensorProto.FLOAT, ["N", 2])])
    x = weights(8, 5, features) * 2
    save("translator_x", x)
    save("translator_y", session.run(None, {"x": x})[0])


encoder()
detector()
enhancer()
dense()
quantized()
translator()
