"""What else weights are sent with from step to step: the methods that weight_sync.py is beside.

Each is a pair: what the sender makes of the weights before and after a step, and what the receiver
makes of that. The weights are one row of bf16 values, as 16-bit integers.
"""

import os
import tempfile
import time

import numpy as np
import zstandard

Bits = np.ndarray


def whole_file(old: Bits, new: Bits) -> bytes:
    with tempfile.TemporaryFile() as file:
        file.write(new)
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        return file.read()


def of_whole_file(old: Bits, sent: bytes) -> Bits:
    return np.frombuffer(sent, np.uint16).copy()


def sparse(old: Bits, new: Bits) -> bytes:
    """Indices of 32 bits, and the values."""
    at = np.flatnonzero(old != new).astype(np.uint32)
    return at.tobytes() + new[at].tobytes()


def of_sparse(old: Bits, sent: bytes) -> Bits:
    count = len(sent) // 6
    new = old.copy()
    new[np.frombuffer(sent, np.uint32, count)] = np.frombuffer(sent, np.uint16, offset=4 * count)
    return new


def sparse_gaps(old: Bits, new: Bits) -> bytes:
    """The gaps between the indices, seven bits to a byte, and the values."""
    at = np.flatnonzero(old != new)
    gaps = np.diff(at, prepend=0)
    widths = 1 + sum((gaps >= 1 << bits).astype(np.int64) for bits in (7, 14, 21, 28))
    begins = np.cumsum(widths) - widths
    row = np.zeros(widths.sum(), np.uint8)
    for byte in range(widths.max(initial=0)):
        some = widths > byte
        more = (widths[some] > byte + 1) << 7
        row[begins[some] + byte] = gaps[some] >> 7 * byte & 127 | more
    return len(at).to_bytes(4, "little") + new[at].tobytes() + row.tobytes()


def of_sparse_gaps(old: Bits, sent: bytes) -> Bits:
    count = int.from_bytes(sent[:4], "little")
    new = old.copy()
    if not count:
        return new
    values = np.frombuffer(sent, np.uint16, count, offset=4)
    row = np.frombuffer(sent, np.uint8, offset=4 + 2 * count).astype(np.int64)
    ends = np.flatnonzero(row < 128)
    begins = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(row)) - np.repeat(begins, ends - begins + 1)
    new[np.cumsum(np.add.reduceat((row & 127) << 7 * place, begins))] = values
    return new


def xor_zstd(old: Bits, new: Bits) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress((old ^ new).tobytes())


def of_xor_zstd(old: Bits, sent: bytes) -> Bits:
    return old ^ np.frombuffer(zstandard.ZstdDecompressor().decompress(sent), np.uint16)


METHODS = {
    "whole file": (whole_file, of_whole_file),
    "sparse, u32 index + value": (sparse, of_sparse),
    "sparse, varint gap + value": (sparse_gaps, of_sparse_gaps),
    "XOR + zstd-1": (xor_zstd, of_xor_zstd),
}


def measure(old: Bits, new: Bits) -> dict[str, tuple[int, float, float]]:
    """Of each method the bytes that are sent, and the seconds of the sender and the receiver, in
    memory: nothing is sent, kept or checked."""
    found = {}
    for name, (encode, decode) in METHODS.items():
        start = time.perf_counter()
        sent = encode(old, new)
        encoded = time.perf_counter()
        came = decode(old, sent)
        done = time.perf_counter()
        assert np.array_equal(came, new), name
        found[name] = (len(sent), encoded - start, done - encoded)
    return found
