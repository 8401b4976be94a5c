"""Random configurations through aihwkit and through Tessera: are all differences explained by a listed defect?

    python bench/peers/aihwkit_differential.py SEED COUNT [--tessera build/default/bin/tessera] [--keep FOLDER]

Needs aihwkit 1.1 (with torch), onnx, h5py and numpy in a virtual environment; no part of CI.

Every case draws a dense layer, a batch (with a zero vector and vectors of one sign) and a configuration of aihwkit's compiled tile
(InferenceRPUConfig), torch tile (TorchInferenceRPUConfig) or quantized tile (QuantizedTorchInferenceRPUConfig), without noise: noise differs by its
draws. The configuration is dumped as docs/guide/from_aihwkit.md says and read back by `tessera run`. A difference counts as explained only if it
goes away when the peer's defects that the case has by its properties are taken out of the comparison: by the switch that restores them
(docs/models/peer_defects.md), by giving the peer one vector at a time, by leaving out the vectors concerned, or by what the
peer is known to return instead; or if the peer itself jumps to our result when its input moves by a few units in the last place (a tie of a
converter). What is left is UNEXPLAINED: printed with its number, kept in the folder, and the exit code is 1.
"""
import argparse
import collections
import enum
import json
import math
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import onnx
import torch
from aihwkit.nn import AnalogLinear
from aihwkit.simulator.configs import InferenceRPUConfig, TorchInferenceRPUConfig
from aihwkit.simulator.configs.configs import QuantizedTorchInferenceRPUConfig
from aihwkit.simulator.parameters.enums import AnalogMVType, BoundManagementType, NoiseManagementType
from onnx import TensorProto, helper, numpy_helper

ROUNDING = 4e-6  # relative to the largest output: products are summed in another order
VECTORS = 9


def plain(value):
    """The dump of docs/guide/from_aihwkit.md."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, dict):
        return {k if isinstance(k, (int, float)) else str(plain(k)): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    fields = {k: plain(v) for k, v in vars(value).items()}
    return fields if hasattr(value, "__dataclass_fields__") else {"type": type(value).__name__, **fields}


def yaml_text(value):
    """Flow-style YAML: JSON, but for infinity."""
    return json.dumps(value).replace("-Infinity", "-.inf").replace("Infinity", ".inf").replace("NaN", ".nan")


# --- drawing -----------------------------------------------------------------------------------------------------------


class Case:
    def __init__(self, seed, index):
        self.rng = np.random.default_rng([seed, index])
        self.index = index
        self.engine = self.pick(["C", "C", "T", "Q"])
        self.inputs, self.outputs = int(self.rng.integers(1, 40)), int(self.rng.integers(1, 24))
        self.has_bias = self.chance(0.6)
        self.draw_weights()
        self.draw_inputs()
        self.draw_config()

    def pick(self, choices):
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, p):
        return bool(self.rng.random() < p)

    def draw_weights(self):
        scale = self.pick([0.05, 0.3, 1.0])
        self.weight = (scale * self.rng.standard_normal((self.outputs, self.inputs))).astype(np.float32)
        if self.chance(0.2):
            self.weight *= self.rng.random(self.weight.shape) < 0.3
        if self.chance(0.15):
            self.weight[int(self.rng.integers(self.outputs))] = 0
        self.bias = (scale * self.rng.standard_normal(self.outputs)).astype(np.float32) if self.has_bias else None

    def draw_inputs(self):
        x = self.pick([0.1, 1.0, 4.0]) * self.rng.standard_normal((VECTORS, self.inputs))
        x[0] = 0
        x[1], x[2] = np.abs(x[1]), -np.abs(x[2])
        self.x = x.astype(np.float32)

    def draw_config(self):
        rng, pick, chance = self.rng, self.pick, self.chance
        kinds = {"C": InferenceRPUConfig, "T": TorchInferenceRPUConfig, "Q": QuantizedTorchInferenceRPUConfig}
        self.config = c = kinds[self.engine]()
        f, m, r = c.forward, c.mapping, c.pre_post.input_range
        f.out_noise = 0.0
        f.is_perfect = chance(0.08)
        f.inp_res = pick([-1, 1 / 126, 254, 1 / 30, 510, 62, 1 / 254])
        f.out_res = pick([-1, 1 / 510, 254, 1 / 62, 1022, 1 / 254])
        f.out_bound = pick([12.0, 20.0, 10.0, 1.0, 0.5, 3.7, -1.0])
        f.inp_asymmetry = pick([0.0, 0.0, 0.0, 0.1])
        f.out_asymmetry = pick([0.0, 0.0, 0.0, 0.2, -0.1])
        f.out_scale = pick([1.0, 1.0, 0.7, 2.5])
        f.bound_management = pick([BoundManagementType.NONE, BoundManagementType.NONE, BoundManagementType.ITERATIVE,
                                   BoundManagementType.ITERATIVE_WORST_CASE])
        kinds = [NoiseManagementType.NONE, NoiseManagementType.ABS_MAX, NoiseManagementType.ABS_MAX,
                 NoiseManagementType.MAX, NoiseManagementType.CONSTANT]
        if self.engine == "C":
            kinds += [NoiseManagementType.ABS_MAX_NP_SUM, NoiseManagementType.AVERAGE_ABS_MAX]
        f.noise_management = pick(kinds)
        f.nm_thres = pick([0.0, 0.0, 0.5, 2.0])
        f.max_bm_factor = pick([1000, 1000, 4, 0])
        f.max_bm_res = pick([0.25, 0.25, 1.0])
        f.bm_test_negative_bound = chance(0.85)
        if self.engine != "C" or f.noise_management == NoiseManagementType.NONE:
            f.inp_bound = pick([1.0, 1.0, 0.6, 2.0])
        if chance(0.06):
            f.out_bound = math.inf
        if self.engine == "C":
            f.mv_type = pick([AnalogMVType.ONE_PASS] * 4 + [AnalogMVType.POS_NEG_SEPARATE,
                                                            AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM])
            f.ir_drop, f.ir_drop_g_ratio = pick([(0.0, f.ir_drop_g_ratio)] * 3 + [(1.0, 200.0), (100.0, f.ir_drop_g_ratio)])
            f.r_series = pick([0.0, 0.0, 0.0, 0.05])
            f.v_offset_w_min = pick([-1.0, -1.0, 0.0, -0.4])
            f.out_nonlinearity = pick([0.0, 0.0, 0.0, 0.4])
            f.slope_calibration = pick([0.0, 0.5])
        m.weight_scaling_omega = pick([0.0, 1.0, 0.6])
        m.weight_scaling_columnwise = chance(0.5)
        m.learn_out_scaling, m.out_scaling_columnwise = chance(0.3), chance(0.5)
        m.digital_bias = self.engine != "C" or chance(0.6)
        m.max_input_size = pick([512, 512, 0, 7, 16])
        m.max_output_size = pick([512, 512, 0, 5])
        r.enable = chance(0.4)
        r.init_value = pick([3.0, 0.5, 1.3, 8.0]) if r.enable or chance(0.5) else 0.0
        if self.engine == "Q":
            c.pre_post.periph_quant.n_bits = pick([0, 4, 8])
            c.pre_post.periph_quant.symmetric = chance(0.6)

    # --- properties ----------------------------------------------------------------------------------------------------

    def tiles_along_inputs(self):
        most = self.config.mapping.max_input_size
        return 1 if most <= 0 else -(-self.inputs // most)

    def tiles(self):
        most = self.config.mapping.max_output_size
        return self.tiles_along_inputs() * (1 if most <= 0 else -(-self.outputs // most))

    def is_array(self):
        m = self.config.mapping
        if m.max_input_size <= 0 and m.max_output_size <= 0:
            return False
        return not (m.max_input_size >= self.inputs and m.max_output_size >= self.outputs)

    def analog_bias(self):
        return self.has_bias and not self.config.mapping.digital_bias and self.tiles() == 1

    def largest_on_dac_tie(self):
        """Is an input that noise management makes 1, reduced by a power of two, half way between two codes of the DAC?"""
        f = self.config.forward
        if f.inp_res <= 0 or f.inp_bound <= 0:
            return False
        step = 2 * f.inp_bound * (1 / f.inp_res if f.inp_res > 1 else f.inp_res)
        return any(abs(1 / 2**k / step % 1 - 0.5) < 1e-4 for k in range(11))

    def top_code_above_bound(self):
        """Fidelity of the peer's converters: is the step, rounded twice in float32, too large?"""
        f32, found = np.float32, False
        for bound, res in ((self.config.forward.inp_bound, self.config.forward.inp_res),
                           (self.config.forward.out_bound, self.config.forward.out_res)):
            if bound <= 0 or res <= 0 or not math.isfinite(bound):
                continue
            rho = 1 / f32(res) if res > 1 else f32(res)
            step = f32(2) * f32(bound) * rho
            found = found or f32(np.rint(f32(bound) / step)) * step > f32(bound)
        return found


# --- both sides --------------------------------------------------------------------------------------------------------


def peer(case, x, one_by_one=False):
    """aihwkit's outputs; one_by_one: a fresh layer for every vector, so that nothing couples them."""
    def layer():
        made = AnalogLinear(case.inputs, case.outputs, case.has_bias, case.config)
        made.set_weights(torch.from_numpy(case.weight), None if case.bias is None else torch.from_numpy(case.bias))
        return made.eval()

    with torch.no_grad():
        if not one_by_one:
            return layer()(torch.from_numpy(x)).numpy()
        return np.concatenate([layer()(torch.from_numpy(x[i:i + 1])).numpy() for i in range(len(x))])


class Tessera:
    def __init__(self, command, folder):
        self.command, self.folder = command, folder

    def __call__(self, case, x, **switches):
        dump = plain(case.config)
        dump["noise_model"] = None
        for key, value in switches.items():
            section = dump
            *path, last = key.split("__")
            for name in path:
                section = section[name]
            section[last] = value
        inputs = [numpy_helper.from_array(case.weight, "w")]
        if case.bias is not None:
            inputs.append(numpy_helper.from_array(case.bias, "b"))
        node = helper.make_node("Gemm", ["x"] + [i.name for i in inputs], ["y"], "fc", transB=1)
        graph = helper.make_graph([node], "case", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", case.inputs])],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", case.outputs])], inputs)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), self.path("m.onnx"))
        np.save(self.path("x.npy"), x)
        with open(self.path("run.yaml"), "w") as file:
            file.write(yaml_text({"model": {"file": "m.onnx"}, "data": {"format": "npy", "inputs": "x.npy"},
                                  "output": {"record": {"tensors": ["*"]}}, "rpu_config": dump}))
        done = subprocess.run([self.command, "run", self.path("run.yaml"), "-o", self.path("out.h5"), "-q", "--threads", "1"],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        with h5py.File(self.path("out.h5")) as file:
            return np.asarray(file["layers/fc/output"], np.float32).reshape(len(x), case.outputs)

    def path(self, name):
        return os.path.join(self.folder, name)


def agree(a, b):
    if not np.all(np.isfinite(a)) or not np.all(np.isfinite(b)):
        return False
    return bool(np.all(np.abs(a - b) <= ROUNDING * max(1.0, float(np.abs(b).max()))))


# --- explanations ------------------------------------------------------------------------------------------------------


def explain(case, x, tessera, ours, theirs):
    """The names of what, taken together, makes both sides equal; None if something is left."""
    f, m = case.config.forward, case.config.mapping
    if not np.all(np.isfinite(theirs)):
        infinite = [b == 0 or math.isinf(b) for b in (f.inp_bound, f.out_bound)]
        return ["S8 infinite bound with a resolution is NaN"] if any(infinite) else None
    names, switches, rows, expected = [], {}, np.ones(len(x), bool), theirs
    if case.engine != "C":
        unbounded = [(b, r) for b, r in (("inp_bound", "inp_res"), ("out_bound", "out_res"))
                     if getattr(f, b) < 0 and getattr(f, r) > 0]
        if unbounded:
            names.append("S8 torch quantizes without a bound")
            for _, resolution in unbounded:
                setattr(f, resolution, -1)
            expected = peer(case, x)
    # Vectors of which some tile sees no positive entry.
    rows_max = np.any([np.all(part <= 0, axis=1) for part in np.array_split(x, case.tiles_along_inputs(), axis=1)], axis=0)
    dead = np.any(np.all(case.weight == 0, axis=1)) and m.weight_scaling_omega > 0
    periphery = case.engine == "Q" and case.config.pre_post.periph_quant.n_bits > 0
    if dead and periphery:
        names.append("scale 1 of outputs without weights")
        switches["mapping__unit_scale_of_dead_outputs"] = True
    elif periphery and m.weight_scaling_omega > 0:  # a tile's part of an output may be dead
        switches["mapping__unit_scale_of_dead_outputs"] = True
    if case.has_bias and not m.digital_bias:
        if case.is_array() and case.tiles() == 1:
            names.append("S15 one size limit of 0: bias digital there")
            switches["mapping__digital_bias"] = True
        elif case.analog_bias():
            names.append("S16 line of an analog bias")
            switches["mapping__bias_line_as_input"] = True
    if case.engine != "C" and f.is_perfect and f.out_scale != 1:
        names.append("S7 out_scale of a perfect tile (torch)")
        switches["forward__out_scale"] = 1.0
    if case.engine == "C" and f.out_asymmetry < 0:
        names.append("S7 out_asymmetry < 0 (compiled)")
        switches["forward__out_asymmetry"] = 0.0
    if case.engine != "C" and f.bound_management != BoundManagementType.NONE:
        names.append("S3 bound management of the whole batch (torch)")
        expected = peer(case, x, one_by_one=True)
        if f.bound_management == BoundManagementType.ITERATIVE_WORST_CASE:
            names.append("torch: worst case is ITERATIVE")
            switches["forward__bound_management"] = "ITERATIVE"
        if not f.bm_test_negative_bound:
            names.append("torch: bm_test_negative_bound ignored")
            switches["forward__bm_test_negative_bound"] = True
    if case.engine == "C" and f.noise_management == NoiseManagementType.AVERAGE_ABS_MAX:
        names.append("AVERAGE_ABS_MAX moves in evaluation")
        expected = peer(case, x, one_by_one=True)
    if f.noise_management == NoiseManagementType.MAX and case.engine == "C":
        names.append("S4 MAX without a positive entry is 0")
        rows &= ~rows_max
    if case.engine == "C" and not f.bm_test_negative_bound and f.bound_management != BoundManagementType.NONE:
        names.append("S5 a negative clip resets a positive one")
        clipped = np.any(tessera(case, x, **switches, forward__bound_management="NONE") != ours, axis=1)
        rows &= ~clipped
    if not np.any(rows):
        return names
    restored = tessera(case, x, **switches) if switches else ours
    if agree(restored[rows], expected[rows]):
        return names or ["equal one by one"]
    # What remains: values on a tie. The peer reaches our result from inputs that differ in their last places, or we the
    # peer's; each input by its own amount, since a common factor is taken out again by the noise management.
    left = rows & ~np.array([agree(restored[i:i + 1], expected[i:i + 1]) for i in range(len(x))])
    open_outputs = np.repeat(left[:, None], case.outputs, axis=1)
    rng = np.random.default_rng(case.index)
    for shift in [1e-7, 1e-6, 1e-5] * 12:
        moved = (x * (1 + abs(shift) * rng.uniform(-1, 1, x.shape))).astype(np.float32)
        near_peer, near_us = peer(case, moved, one_by_one=True), tessera(case, moved, **switches)
        for i in np.flatnonzero(left):
            tolerance = (3 * abs(shift) + ROUNDING) * max(1.0, float(np.abs(expected[i]).max()))
            reached = np.minimum(np.abs(near_peer[i] - restored[i]), np.abs(near_us[i] - expected[i])) <= tolerance
            open_outputs[i] &= ~reached
            left[i] = np.any(open_outputs[i])
        if not np.any(left):
            break
    if not np.any(left):
        return names + ["tie of a converter"]
    # The largest input divided by itself does not move with the inputs: it lies on a tie of the DAC, or not. Both sides
    # agree without the DAC's steps then.
    if case.largest_on_dac_tie():
        kept, f.inp_res = f.inp_res, -1
        smooth = peer(case, x, one_by_one=True)
        f.inp_res = kept
        if agree(tessera(case, x, **switches, forward__inp_res=-1)[left], smooth[left]):
            return names + ["tie of a converter"]
    # A code that lies above the bound counts as clipped there, and the vector is repeated: both sides agree without the
    # converters' steps.
    if case.top_code_above_bound() and f.bound_management != BoundManagementType.NONE:
        kept, f.out_res = f.out_res, -1
        smooth = peer(case, x, one_by_one=True)
        f.out_res = kept
        if agree(tessera(case, x, **switches, forward__out_res=-1)[left], smooth[left]):
            return names + ["top code above the bound"]
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seed", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--tessera", default="build/default/bin/tessera")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--keep", default="differential", help="where unexplained cases are kept")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found, unexplained = collections.Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        tessera = Tessera(os.path.abspath(arguments.tessera), folder)
        for index in range(arguments.first, arguments.first + arguments.count):
            case = Case(arguments.seed, index)
            try:
                theirs = peer(case, case.x)
            except Exception as error:  # the peer refuses a configuration: nothing to compare with
                found[f"refused by the peer: {type(error).__name__}"] += 1
                continue
            try:
                ours = tessera(case, case.x)
                names = [] if agree(ours, theirs) else explain(case, case.x, tessera, ours, theirs)
                problem = "differs"
            except RuntimeError as error:
                names, problem = None, f"refused: {error}"
            if names is None:
                unexplained.append(index)
                target = os.path.join(arguments.keep, f"{arguments.seed}_{index}")
                os.makedirs(target, exist_ok=True)
                for name in ("m.onnx", "x.npy", "run.yaml"):
                    os.replace(tessera.path(name), os.path.join(target, name))
                np.save(os.path.join(target, "peer.npy"), theirs)
                print(f"UNEXPLAINED {index} ({case.engine}): {problem}; kept in {target}", flush=True)
            else:
                found["agree" if not names else "explained: " + " + ".join(names)] += 1
    for what, count in sorted(found.items(), key=lambda item: -item[1]):
        print(f"{count:6}  {what}")
    print(f"{len(unexplained):6}  unexplained")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
