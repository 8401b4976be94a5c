"""Runs of networks of full size, by Tessera and by ONNX Runtime, with the memory that they take; and the memory that they need."""
import pathlib
import subprocess
import sys
import time

import numpy as np
import onnx
import onnxruntime

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
sys.dont_write_bytecode = True

# A process that is started counts the memory of the one that starts it; this one has little.
STARTER = ("import resource, subprocess, sys\n"
           "code = subprocess.run(sys.argv[1:]).returncode\n"
           "print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)\n"
           "sys.exit(code)\n")


class RunFailed(Exception):
    pass


def measured(command):
    """What a command prints, and the largest resident memory that it had, in bytes."""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", STARTER, *map(str, command)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RunFailed(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    text, _, peak = done.stdout.rpartition("peak ")
    return text, int(peak)


def tessera_run(binary, configuration, results, threads, *, settings=()):
    """Most memory of a run, in bytes."""
    options = [part for setting in settings for part in ("--set", setting)]
    return measured([binary, "run", configuration, "-o", results, "--threads", threads, "-q", *options])[1]


def own_memory(binary, folder):
    """What import and run take for a network of one weight: the program, its libraries and its threads."""
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Gemm", ["x", "w"], ["y"])], "one", [onnx.helper.make_tensor_value_info("x", 1, ["n", 1])],
        [onnx.helper.make_tensor_value_info("y", 1, ["n", 1])], [onnx.numpy_helper.from_array(np.ones((1, 1), np.float32), "w")])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8
    folder = pathlib.Path(folder) / "one"
    folder.mkdir(exist_ok=True)
    onnx.save(model, str(folder / "one.onnx"))
    np.save(folder / "x.npy", np.ones((1, 1), np.float32))
    (folder / "one.yaml").write_text("model: {file: one.onnx}\ndata: {format: npy, inputs: x.npy}\n")
    return (measured([binary, "import", folder / "one.onnx", "-o", folder / "one.h5"])[1],
            tessera_run(binary, folder / "one.yaml", folder / "r.h5", 2))


def peer(path, threads, optimized=True):
    """A function of a batch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, {"x": batch})[0]


def peer_seconds(evaluate, batch, seconds=2.0):
    """The smallest time that one sample of a batch takes, over repetitions for so long, behind a first that is left out."""
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 2 or time.perf_counter() < end:
        start = time.perf_counter()
        evaluate(batch)
        times.append(time.perf_counter() - start)
    return min(times[1:]) / len(batch)


def weight_bytes(path):
    model = onnx.load(str(path), load_external_data=False)
    return sum(4 * int(np.prod(weight.dims)) for weight in model.graph.initializer)


def activation_bytes(path, samples):
    """The largest sum of values that exist at one time when the nodes are evaluated in the file's order: at every node its
    inputs and outputs and whatever a later one reads. Constants and what is computed from them are not counted."""
    model = onnx.load(str(path), load_external_data=False)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = samples
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    sizes = {}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        tensor = value.type.tensor_type
        extents = [dim.dim_value for dim in tensor.shape.dim]
        if not tensor.HasField("shape") or not all(extents):
            raise ValueError(f"{path}: the shape of '{value.name}' is not known; its extents must follow from the file's")
        sizes[value.name] = 4 * int(np.prod(extents))
    changing = {value.name for value in inferred.input}
    last_read = {}
    for place, node in enumerate(inferred.node):
        if any(name in changing for name in node.input):
            changing.update(node.output)
        last_read.update({name: place for name in node.input})
    alive, most = changing & {value.name for value in inferred.input}, 0
    for place, node in enumerate(inferred.node):
        alive |= changing & set(node.output)
        most = max(most, sum(sizes[name] for name in alive))
        alive = {name for name in alive if last_read.get(name, -1) > place}
    return most
