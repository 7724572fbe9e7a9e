"""What LZMA makes of the multiples that `--lossy quantised:EPS` rounds differences to.

    python3 benches/lossy-lzma.py BASE.safetensors CHILD.safetensors [EPS]

Every F32 tensor that both have in the same length: floor(d / step + 1/2) as 32-bit integers, through
LZMA at preset 6, as MGit stores them. Prints the bytes and the processor seconds of LZMA alone.
"""

import array
import json
import lzma
import math
import struct
import sys
import time


def tensors(path):
    with open(path, "rb") as file:
        data = file.read()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            yield name, array.array("f", data[start + begin : start + end])


base = dict(tensors(sys.argv[1]))
eps = float(sys.argv[3]) if len(sys.argv) > 3 else 1e-4
step = 2 * math.log1p(eps)
bytes_out, seconds = 0, 0.0
for name, own in tensors(sys.argv[2]):
    if len(base.get(name, ())) != len(own):
        continue
    numbers = (math.floor((b - a) / step + 0.5) for a, b in zip(base[name], own))
    multiples = array.array("i", numbers).tobytes()
    before = time.process_time()
    bytes_out += len(lzma.compress(multiples, preset=6))
    seconds += time.process_time() - before
print(f"{bytes_out} bytes, {seconds:.2f} processor seconds")
