"""Does the package live with others that bring the same libraries along (protobuf, HDF5, OpenMP), in any order?"""

from __future__ import annotations

import subprocess
import sys

import pytest

from conftest import ROOT, require

WORK = {
    "tessera": (
        "import tessera; assert tessera.run('{root}/configs/quickstart.yaml', {{'data.limit': 4}}).accuracy.size == 1; "
        "tessera.from_onnx('{root}/configs/models/glyphs_cnn.onnx')"
    ),
    "torch": "import torch; assert (torch.ones(300, 300) @ torch.ones(300, 300)).sum() == 27e6",
    "onnx": "import onnx; onnx.load('{root}/configs/models/glyphs_cnn.onnx')",
    "onnxruntime": "import onnxruntime; onnxruntime.InferenceSession('{root}/configs/models/glyphs_cnn.onnx')",
    "h5py": "import h5py; f = h5py.File('x', 'w', driver='core', backing_store=False); f['x'] = [1, 2]; f.close()",
    "netCDF4": "import netCDF4; d = netCDF4.Dataset('x.nc', 'w', memory=1000); d.createDimension('n', 2); d.close()",
}


@pytest.mark.parametrize("other", [name for name in WORK if name != "tessera"])
@pytest.mark.parametrize("first", [True, False])
def test_both_work(other: str, first: bool) -> None:
    require(other)
    pair = ["tessera", other] if first else [other, "tessera"]
    imports = "; ".join(f"import {name}" for name in pair)
    program = "; ".join([imports, *(WORK[name].format(root=ROOT) for name in pair), WORK[pair[0]].format(root=ROOT)])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
