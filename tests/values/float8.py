"""Writes float8.txt: what ml_dtypes reads from every code of the eight-bit floats.

Usage: float8.py > float8.txt (ml_dtypes 0.6.0, numpy). A line is a type and its 256 values, in the
order of the codes, each as the shortest decimal that reads back as the same double.
"""
import ml_dtypes
import numpy

TYPES = {
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "F8_E4M3FNUZ": ml_dtypes.float8_e4m3fnuz,
    "F8_E5M2FNUZ": ml_dtypes.float8_e5m2fnuz,
    "F8_E8M0": ml_dtypes.float8_e8m0fnu,
}
codes = numpy.arange(256, dtype=numpy.uint8)
for name, dtype in TYPES.items():
    print(name, *(repr(float(value)) for value in codes.view(dtype).astype(numpy.float64)))
