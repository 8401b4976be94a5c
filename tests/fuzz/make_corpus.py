#!/usr/bin/env python3
"""Writes small valid inputs for the fuzz targets: make_corpus.py FOLDER [ONNX_TESTS]

FOLDER/data, hdf5, config, onnx are filled. ONNX_TESTS is a folder in the ONNX backend-test layout (docs/dev/fuzzing.md);
its models of at most 4 KB make the best seeds. Needs numpy; h5py for hdf5.
"""
import gzip
import pathlib
import struct
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def idx(array):
    kind = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}[array.dtype.name]
    return (bytes([0, 0, kind, array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape)
            + array.astype(array.dtype.newbyteorder(">")).tobytes())


def npy(array, version):
    import io
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def data_seeds():
    rng = np.random.default_rng(1)
    for name in ("uint8", "int16", "int32", "float32", "float64"):
        array = rng.integers(0, 9, (3, 4, 2)).astype(name)
        yield bytes([0]) + idx(array)
        yield bytes([0]) + gzip.compress(idx(array), mtime=0)
        yield bytes([1]) + npy(array, (1, 0))
        yield bytes([9]) + npy(np.asfortranarray(array), (2, 0))
        yield bytes([5]) + npy(rng.integers(0, 9, 5).astype(name), (1, 0))
    yield bytes([4]) + idx(rng.integers(0, 9, 6).astype("uint8"))
    yield bytes([2]) + bytes(rng.integers(0, 10, 3073).astype("uint8"))


def write(folder, seeds):
    folder.mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(seeds):
        (folder / f"seed{i}").write_bytes(seed)
    print(folder, len(list(folder.iterdir())), "files")


def hdf5_seeds(folder):
    try:
        import h5py
    except ImportError:
        return
    with h5py.File(folder / "data.h5", "w") as file:
        file["inputs"] = np.arange(24, dtype="f4").reshape(4, 6)
        file["labels"] = np.arange(4, dtype="i4")
    with h5py.File(folder / "chunked.h5", "w") as file:
        file.create_dataset("inputs", data=np.zeros((8, 3), "u1"), chunks=(2, 3), compression="gzip", fletcher32=True)


def main():
    target = pathlib.Path(sys.argv[1])
    write(target / "data", data_seeds())
    write(target / "config", [path.read_bytes() for path in sorted((ROOT / "configs").glob("*.yaml"))])
    write(target / "hdf5", [])
    hdf5_seeds(target / "hdf5")
    models = sorted(pathlib.Path(sys.argv[2]).rglob("model.onnx")) if len(sys.argv) > 2 else []
    models = [path.read_bytes() for path in models if path.stat().st_size <= 4096]
    write(target / "onnx", models + [(ROOT / "configs/models/glyphs_linear.onnx").read_bytes(),
                                     (ROOT / "tests/data/onnx/tiny_transformer.onnx").read_bytes()])


if __name__ == "__main__":
    main()
