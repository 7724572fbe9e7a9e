"""What the tensors of a model take beside another's, kind by kind.

Usage: measure.py MGIT-DB BASE CHILD [PATTERN...] (numpy, the command zstd). A kind is the first of the
patterns that a tensor's name has (`re.search`), or "rest". A line is, in bits an element: alone
(`dense`, without a parent), as stored with the base as parent, zstd -19 of the byte planes, zstd -19 of the
byte planes of the XOR with the base (where type and length agree), and the bound: the entropy of the
steps between child and base, each to an eighth of an octave and the bits below that as they are,
where what a decoder knows is given: the exponent of the base's element beside the mean step of its
block of 128; of eight bits, the base's code. Tables cost it nothing. Tensors of fewer than 4,096
elements, and those that did not change, do not count.
"""
import json
import re
import struct
import subprocess
import sys
import tempfile

import numpy

MANTISSA = {"F32": 23, "BF16": 7, "F16": 10, "F8_E4M3": 3, "F8_E5M2": 2}
BITS = {"F64": 64, "F32": 32, "BF16": 16, "F16": 16}
BLOCK = 128


def tensors(path):
    data = open(path, "rb").read()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    for name, entry in header.items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        yield name, (entry["dtype"], data[start:end])


def zstd(data):
    made = subprocess.run(["zstd", "-19", "-c"], input=data, capture_output=True, check=True)
    return len(made.stdout)


def planes(data, width):
    return numpy.frombuffer(data, numpy.uint8).reshape(-1, width).T.tobytes()


def entropy(symbols):
    _, counts = numpy.unique(symbols, return_counts=True)
    return -(counts * numpy.log2(counts / counts.sum())).sum()


def given(symbols, contexts):
    order = numpy.argsort(contexts, kind="stable")
    cuts = numpy.flatnonzero(numpy.diff(contexts[order])) + 1
    return sum(entropy(part) for part in numpy.split(symbols[order], cuts))


def bound(dtype, base, child):
    """Bits that the steps take."""
    width, mantissa = BITS.get(dtype, 8) // 8, MANTISSA[dtype]
    codes = [numpy.frombuffer(it, f"<u{width}").astype(numpy.int64) for it in (base, child)]
    sign = 1 << (8 * width - 1)
    magnitudes = [code & (sign - 1) for code in codes]
    before, after = (numpy.where(c & sign, -m, m) for c, m in zip(codes, magnitudes))
    step = (after - before) * numpy.where(codes[0] & sign, -1, 1)
    if width == 1:
        return given(step, codes[0])
    exponent = [numpy.maximum(m >> mantissa, 1) for m in magnitudes]
    unit = numpy.maximum(exponent[0], exponent[1]).astype(float)
    moved = numpy.abs(step).astype(float)
    far = moved * numpy.exp2(unit - unit.max())
    starts = numpy.arange(0, len(far), BLOCK)
    lengths = numpy.diff(numpy.append(starts, len(far)))
    mean = numpy.add.reduceat(far, starts) / lengths
    with numpy.errstate(divide="ignore"):
        scale = numpy.where(mean > 0, numpy.round(2 * numpy.log2(mean)), -9999)
    scale = numpy.repeat(scale, lengths)
    contexts = numpy.where(scale > -9999, scale - 2 * exponent[0], -9999)
    eighth = numpy.floor(8 * numpy.log2(numpy.maximum(moved, 1)))
    is_open = moved >= 16
    symbols = numpy.where(is_open, 100 + eighth, moved) * 2 + (step < 0)
    size = numpy.exp2((eighth + 1) / 8) - numpy.exp2(eighth / 8)
    low = numpy.where(is_open, numpy.log2(numpy.maximum(size, 1)), 0).sum()
    return given(symbols, contexts) + low


def stored(tool, store, model):
    shown = subprocess.run([tool, "show", store, model, "--json"], capture_output=True, check=True)
    return {it["name"]: it for it in json.loads(shown.stdout)["tensors"]}


def imported(tool, folder, name, files, options):
    store = f"{folder}/{name}.mgit"
    run = lambda *words: subprocess.run([tool, *words], check=True, capture_output=True)
    run("init", store)
    for at, path in enumerate(files):
        parent = ["--parent", "m0"] if at > 0 else []
        run("import", *options, store, path, "--name", f"m{at}", *parent)
    return stored(tool, store, f"m{len(files) - 1}")


def main():
    tool, base, child, *patterns = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        alone = imported(tool, folder, "alone", [child], ["--profile", "dense"])
        ours = imported(tool, folder, "ours", [base, child], [])
    before, sums = dict(tensors(base)), {}
    for name, (dtype, data) in tensors(child):
        elements = len(data) * 8 // BITS.get(dtype, 8)
        other = before.get(name)
        if elements < 4096 or dtype not in MANTISSA or other == (dtype, data):
            continue
        kind = next((it for it in patterns if re.search(it, name)), "rest")
        row = sums.setdefault((kind, dtype), [0, 0, 0, 0, 0, 0, set()])
        row[0] += elements
        row[1] += alone[name]["stored_bytes"] * 8
        row[2] += ours[name]["stored_bytes"] * 8
        row[3] += zstd(planes(data, len(data) // elements)) * 8
        row[6].add(ours[name]["encoding"] or "same")
        if other and other[0] == dtype and len(other[1]) == len(data):
            xor = numpy.bitwise_xor(*(numpy.frombuffer(it, numpy.uint8) for it in (other[1], data)))
            row[4] += zstd(planes(xor.tobytes(), len(data) // elements)) * 8
            row[5] += bound(dtype, other[1], data)
    print("kind | type | elements | alone | stored | zstd-19 | XOR + zstd-19 | bound | as")
    for (kind, dtype), row in sums.items():
        bits = " | ".join(f"{it / row[0]:.2f}" for it in row[1:6])
        print(f"{kind} | {dtype} | {row[0]} | {bits} | {', '.join(sorted(row[6]))}")


main()
