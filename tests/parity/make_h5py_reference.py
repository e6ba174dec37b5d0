#!/usr/bin/env python3
"""Writes tests/data/store/h5py.h5 with h5py, for tests/unit/store: what another writer leaves must be read alike."""
from pathlib import Path

import h5py
import numpy as np

folder = Path(__file__).parent.parent / "data" / "store"
with h5py.File(folder / "h5py.h5", "w") as f:
    for name in ("float32", "float64", "int32", "int64", "uint8"):
        f[name] = np.arange(12, dtype=name).reshape(3, 4) * 7 % 11
    f["big_endian"] = np.arange(5, dtype=">i4")
    f["float16"] = np.array([0.5, -2.0], np.float16)
    f["uint64"] = np.array([2**63], np.uint64)
    f["scalar"] = np.float64(2.5)
    f["bool"] = np.array([True, False])
    f["text"] = np.array(["(base)", "h\u00f6me", ""], h5py.string_dtype())
    f["fixed_text"] = np.array([b"abc"])
    f["empty"] = h5py.Empty("f8")
    f.create_dataset("chunked", data=np.arange(6.0), chunks=(2,), compression="gzip")
    f.create_dataset("unwritten", (1000,), "f8")
    f.attrs["fingerprint"] = "\u00e4b"
    f.attrs["number"] = 3
    layout = h5py.VirtualLayout((2, 3), "f4")
    layout[:, 0:2] = h5py.VirtualSource("h5py.h5", "float32", (3, 4))[0:2, 0:2]
    f.create_virtual_dataset("columns", layout)
