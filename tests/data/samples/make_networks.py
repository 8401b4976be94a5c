"""Writes the small networks of tests/cli/samples_test.cpp, their data, and what the ONNX reference evaluator makes of it.

python make_networks.py        (needs onnx and numpy; writes into the folder of this file)
"""
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

FOLDER = pathlib.Path(__file__).parent
RANDOM = np.random.default_rng(20)


def weight(*shape, scale=0.4):
    return (RANDOM.standard_normal(shape) * scale).astype(np.float32)


def save(name, nodes, input_shape, outputs, constants):
    graph = helper.make_graph(
        nodes, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, s) for o, s in outputs.items()],
        [numpy_helper.from_array(value, key) for key, value in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="")
    onnx.checker.check_model(model, full_check=True)
    (FOLDER / f"{name}.onnx").write_bytes(model.SerializeToString())
    return ReferenceEvaluator(model)


def node(op, inputs, outputs, **attributes):
    inputs, outputs = inputs.split(), outputs.split()
    return helper.make_node(op, inputs, outputs, name=outputs[0], **attributes)


def write(name, array):
    np.save(FOLDER / f"{name}.npy", array)


def main():
    rows, sequences = weight(11, 5, scale=1.0), weight(7, 5, 4, scale=1.0)
    write("rows", rows)
    write("sequences", sequences)

    # A fixed batch of 4, with a state and a constant that have its extent.
    fixed = save("fixed", [node("Gemm", "x w1 b1", "hidden", transB=1), node("Add", "hidden token", "moved"),
                           node("Tanh", "moved", "act"), node("Reshape", "act four", "shaped"),
                           node("MatMul", "shaped w2", "y")],
                 [4, 5], {"y": [4, 3]},
                 {"w1": weight(6, 5), "b1": weight(6), "token": np.repeat(weight(1, 6), 4, axis=0),
                  "four": np.array([4, 6]), "w2": weight(6, 3)})
    padded = np.concatenate([rows, rows[-1:]])
    write("fixed_y", np.concatenate([fixed.run(None, {"x": padded[i:i + 4]})[0] for i in (0, 4, 8)])[:11])

    # Layers whose samples lie elsewhere: sequence-first, merged, behind both.
    moving = save("moving", [node("Transpose", "x", "first", perm=[1, 0, 2]), node("MatMul", "first w1", "sequence"),
                             node("GRU", "sequence gw gr", "states", hidden_size=3, direction="bidirectional"),
                             node("Transpose", "states", "back", perm=[2, 0, 1, 3]),
                             node("Reshape", "back flat", "merged_in"), node("MatMul", "merged_in w2", "merged"),
                             node("Reshape", "merged apart", "steps"), node("ReduceMean", "steps", "mean", axes=[1], keepdims=0),
                             node("MatMul", "mean w3", "y")],
                  ["N", 5, 4], {"y": ["N", 3]},
                  {"w1": weight(4, 4), "gw": weight(2, 9, 4), "gr": weight(2, 9, 3), "flat": np.array([-1, 6]),
                   "w2": weight(6, 4), "apart": np.array([-1, 5, 4]), "w3": weight(4, 3)})
    write("moving_y", moving.run(None, {"x": sequences})[0])

    # A sequence-first input.
    first = save("sequence_first", [node("LSTM", "x w r", "states last", hidden_size=3),
                                    node("Squeeze", "last zero", "state"), node("MatMul", "state w2", "y")],
                 ["T", "N", 4], {"y": ["N", 2]},
                 {"w": weight(1, 12, 4), "r": weight(1, 12, 3), "zero": np.array([0]), "w2": weight(3, 2)})
    write("sequence_first_y", first.run(None, {"x": np.swapaxes(sequences, 0, 1).copy()})[0])

    # What mixes the samples of a batch.
    w = weight(5, 3)
    save("mean_of_batch", [node("ReduceMean", "x", "mean", axes=[0]), node("Sub", "x mean", "centred"),
                           node("MatMul", "centred w", "y")], ["N", 5], {"y": ["N", 3]}, {"w": w})
    save("row_constant", [node("MatMul", "x w", "h"), node("Add", "h rows", "y")], ["N", 5], {"y": ["M", 3]},
         {"w": w, "rows": weight(11, 3)})
    save("row_bias", [node("Gemm", "x w rows", "y")], ["N", 5], {"y": ["M", 3]}, {"w": w, "rows": weight(11, 3)})
    save("softmax_of_batch", [node("MatMul", "x w", "h"), node("Softmax", "h", "y", axis=0)], ["N", 5], {"y": ["N", 3]},
         {"w": w})
    save("next_sample", [node("MatMul", "x w", "h"), node("Slice", "h one end zero", "tail"),
                         node("Slice", "h zero one zero", "head"), node("Concat", "tail head", "rolled", axis=0),
                         node("Add", "h rolled", "y")], ["N", 5], {"y": ["N", 3]},
         {"w": w, "zero": np.array([0]), "one": np.array([1]), "end": np.array([2**62])})
    save("share_of_batch", [node("Shape", "x", "shape"), node("Gather", "shape zero", "count"),
                            node("Cast", "count", "samples", to=TensorProto.FLOAT), node("Div", "x samples", "part"),
                            node("MatMul", "part w", "y")], ["N", 5], {"y": ["N", 3]}, {"w": w, "zero": np.array([0])})

    # Two outputs; labels belong to the second.
    heads = save("two_heads", [node("MatMul", "x w", "features"), node("MatMul", "features a", "aux"),
                               node("MatMul", "features m", "main")], ["N", 5], {"aux": ["N", 2], "main": ["N", 3]},
                 {"w": w, "a": weight(3, 2), "m": weight(3, 3)})
    write("main_labels", np.argmax(heads.run(["main"], {"x": rows})[0], axis=1))

    # Channels last; classes for each position.
    images = weight(6, 3, 4, 5, scale=1.0)
    write("images", images)
    last = save("channels_last", [node("Transpose", "x", "chw", perm=[0, 3, 1, 2]), node("Conv", "chw k", "conv"),
                                  node("Flatten", "conv", "flat"), node("MatMul", "flat w", "y")],
                ["N", 4, 5, 3], {"y": ["N", 3]}, {"k": weight(2, 3, 3, 3), "w": weight(12, 3)})
    y = last.run(None, {"x": images.transpose(0, 2, 3, 1).copy()})[0]
    write("channels_last_y", y)
    write("images_last", images.transpose(0, 2, 3, 1).copy())
    save("positions", [node("MatMul", "x w", "y")], ["N", 5, 4], {"y": ["N", 5, 3]}, {"w": weight(4, 3)})
    write("sequence_labels", RANDOM.integers(0, 3, 7))


main()
