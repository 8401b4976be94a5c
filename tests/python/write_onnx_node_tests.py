#!/usr/bin/env python3
"""Writes the node tests of the installed `onnx` package as files: write_onnx_node_tests.py FOLDER

The C++ test OnnxBackend then runs them: TESSERA_ONNX_TESTS=FOLDER build/.../bin/io_test --gtest_filter='OnnxBackend*'
Debian's libonnx-testdata is such a folder for opsets up to 17; newer packages of onnx have operators up to today's.
"""
import pathlib
import sys

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases


def serialized(value, info):
    """A tensor, sequence, map or optional value as the bytes that ONNX keeps beside a test."""
    kind = info.type.WhichOneof("value")
    if isinstance(value, onnx.TensorProto):
        proto = value
    elif kind == "map_type":
        proto = numpy_helper.from_dict(value, info.name)
    elif kind == "sequence_type":
        proto = numpy_helper.from_list(value, info.name)
    elif kind == "optional_type":
        proto = numpy_helper.from_optional(value, info.name)
    else:
        proto = numpy_helper.from_array(np.asarray(value), info.name)
    return proto.SerializeToString()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = pathlib.Path(sys.argv[1])
    cases = collect_testcases(None)
    for case in cases:
        folder = root / case.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_bytes(case.model.SerializeToString())
        for i, (inputs, outputs) in enumerate(case.data_sets):
            data = folder / f"test_data_set_{i}"
            data.mkdir(exist_ok=True)
            for kind, values, infos in (("input", inputs, case.model.graph.input),
                                        ("output", outputs, case.model.graph.output)):
                for k, value in enumerate(values):
                    (data / f"{kind}_{k}.pb").write_bytes(serialized(value, infos[k]))
    print(f"{len(cases)} cases of onnx {onnx.__version__} in {root}")


if __name__ == "__main__":
    main()
