"""Writes eight.safetensors: rows of floats as numbers of eight bits, as numpy and ml_dtypes make them.

Usage: eight.py eight.safetensors (numpy 2.4.6, ml_dtypes 0.6.0 from PyPI)
"""
import json
import struct
import sys

import ml_dtypes
import numpy as np

E4M3 = ml_dtypes.float8_e4m3fn
COLUMNS = 64
rng = np.random.default_rng(7)
codes = np.arange(0, 0x7F, dtype=np.uint8).view(E4M3).astype(np.float32)
between = (codes[:-1] + codes[1:]) / 2  # Half-way from one float of eight bits to the next.
halves = np.arange(COLUMNS, dtype=np.float32) * 3 - 95.5  # Half-way between integers.
halves[0] = 127  # The scale is then 1.
rows = [rng.standard_normal(COLUMNS) * 0.05, np.exp(rng.standard_normal(COLUMNS) * 4), halves]
for part in (between[:63], between[63:126]):
    rows.append(np.append(part, 448) * np.resize([1, -1], COLUMNS))  # The scale is 1 again.
rows += [np.resize([0.0, -0.0], COLUMNS), -np.abs(rng.standard_normal(COLUMNS)) * 1e30]
tensors = {}
for name, dtype in (("f32", np.float32), ("bf16", ml_dtypes.bfloat16), ("f16", np.float16)):
    base = np.array(rows, dtype=np.float32)
    if dtype == np.float16:
        base = base[:-1]
    base = base.astype(dtype)
    values = base.astype(np.float32)
    most = np.abs(values).max(axis=1, keepdims=True)
    tensors[f"{name}.weight"] = base
    for kind, largest in (("int8", 127), ("fp8", 448)):
        scale = most / np.float32(largest)
        steps = values / np.where(scale == 0, np.float32(1), scale)
        made = np.clip(np.rint(steps), -127, 127).astype(np.int8) if kind == "int8" else steps.astype(E4M3)
        assert kind == "int8" or not np.isnan(made.astype(np.float32)).any()
        tensors[f"{name}.{kind}"] = made
        tensors[f"{name}.{kind}_scale"] = scale
        tensors[f"{name}.{kind}_back"] = made.astype(np.float32) * scale
NAMES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "int8": "I8", "float8_e4m3fn": "F8_E4M3"}
header, buffer = {}, b""
for name, tensor in sorted(tensors.items(), key=lambda it: -it[1].dtype.itemsize):
    offsets = [len(buffer), len(buffer) + tensor.nbytes]
    header[name] = {"dtype": NAMES[tensor.dtype.name], "shape": list(tensor.shape), "data_offsets": offsets}
    buffer += tensor.tobytes()
header = json.dumps(header).encode()
header += b" " * (-len(header) % 8)
with open(sys.argv[1], "wb") as file:
    file.write(struct.pack("<Q", len(header)) + header + buffer)
