"""Writes float8_cast.txt: what torch makes of floats when it casts them to those of eight bits.

Usage: float8_cast.py > float8_cast.txt (torch 2.15, numpy). A line is a type, and for every code that
the magnitudes from zero to infinity become, in their order, the bits of the smallest F32 that becomes
it; then what becomes of negative zero, of 1 and -1, and of a NaN of either sign. That the lines say
all is checked on every F16 and BF16 and on five million F32.
"""
import numpy
import torch

TYPES = {
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
}
INFINITY = 0x7F80_0000


def floats(bits):
    return torch.from_numpy(numpy.asarray(bits, numpy.uint32).view(numpy.float32).copy())


def cast(values, dtype):
    return values.to(dtype).view(torch.uint8).numpy()


def steps(dtype):
    """The smallest F32 of every code, by bisection: casts are monotonic."""
    of = lambda bits: int(cast(floats([bits]), dtype)[0])
    found = [(0, of(0))]
    while found[-1][1] != of(INFINITY):
        low, high = found[-1][0], INFINITY
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if of(middle) == found[-1][1] else (low, middle)
        found.append((high, of(high)))
    return found


random = numpy.random.default_rng(1)
all_bits = numpy.arange(1 << 16, dtype=numpy.uint16).view(numpy.int16)
sampled = random.integers(0, 1 << 32, 4_000_000, dtype=numpy.uint64).astype(numpy.uint32)
weights = (random.standard_normal(1_000_000) * 0.05).astype(numpy.float32).view(numpy.uint32)
for name, dtype in TYPES.items():
    found = steps(dtype)
    starts = numpy.array([start for start, _ in found])
    codes = numpy.array([code for _, code in found])
    others = cast(floats([1 << 31, 0x3F80_0000, 0xBF80_0000, 0x7FC0_0000, 0xFFC0_0000]), dtype)
    for values in [
        torch.from_numpy(all_bits.copy()).view(torch.float16),
        torch.from_numpy(all_bits.copy()).view(torch.bfloat16),
        floats(sampled),
        floats(weights),
    ]:
        bits = values.float().numpy().view(numpy.uint32)
        magnitude, sign = bits & 0x7FFF_FFFF, bits >> 31
        code = codes[numpy.searchsorted(starts, magnitude, side="right") - 1]
        negative = (code > 0) | (others[0] == 0x80)
        wanted = code | numpy.where(negative & (code < 0x80), sign << 7, 0)
        wanted = numpy.where(magnitude > INFINITY, numpy.where(sign == 1, others[4], others[3]), wanted)
        assert (cast(values, dtype) == wanted).all(), name
    print(name, *(f"{start:08x}:{code:02x}" for start, code in found), *(f"{it:02x}" for it in others))
