"""Element types: the store's names, numpy's and torch's."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from ._errors import make

if TYPE_CHECKING:
    import torch

try:
    import ml_dtypes
except ImportError:  # bf16 and fp8 then are unsigned integers in numpy
    ml_dtypes = None  # type: ignore[assignment]

_NUMPY: dict[str, str] = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "I16": "<i2",
    "U16": "<u2",
    "F16": "<f2",
    "I32": "<i4",
    "U32": "<u4",
    "F32": "<f4",
    "C64": "<c8",
    "F64": "<f8",
    "I64": "<i8",
    "U64": "<u8",
}
# Types that numpy knows through ml_dtypes only, and the unsigned integers in their place.
_EXTRA: dict[str, tuple[str, str]] = {
    "BF16": ("bfloat16", "<u2"),
    "F8_E4M3": ("float8_e4m3fn", "u1"),
    "F8_E5M2": ("float8_e5m2", "u1"),
    "F8_E8M0": ("float8_e8m0fnu", "u1"),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", "u1"),
    "F8_E5M2FNUZ": ("float8_e5m2fnuz", "u1"),
}
_TORCH: dict[str, str] = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "BF16": "bfloat16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "C64": "complex64",
    "F64": "float64",
    "I64": "int64",
    "U64": "uint64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}
# safetensors' order of the types; its files have the last of them first.
ORDER = (
    "BOOL",
    "F4",
    "F6_E2M3",
    "F6_E3M2",
    "U8",
    "I8",
    "F8_E5M2",
    "F8_E4M3",
    "F8_E8M0",
    "F8_E4M3FNUZ",
    "F8_E5M2FNUZ",
    "I16",
    "U16",
    "F16",
    "BF16",
    "I32",
    "U32",
    "F32",
    "C64",
    "F64",
    "I64",
    "U64",
)
# Four-bit floats, two to a byte: torch counts the bytes.
_PACKED_TORCH = {"F4": "float4_e2m1fn_x2"}

_NUMPY_TYPES: dict[str, np.dtype[Any]] = {name: np.dtype(text) for name, text in _NUMPY.items()}
for _name, (_extra, _raw) in _EXTRA.items():
    _NUMPY_TYPES[_name] = np.dtype(getattr(ml_dtypes, _extra, _raw))

_NAMES: dict[np.dtype[Any], str] = {np.dtype(text): name for name, text in _NUMPY.items()}
if ml_dtypes is not None:
    for _name, (_extra, _raw) in _EXTRA.items():
        if hasattr(ml_dtypes, _extra):
            _NAMES[np.dtype(getattr(ml_dtypes, _extra))] = _name


def numpy_dtype(name: str) -> np.dtype[Any] | None:
    """The numpy type of a type of the store; none where numpy counts bytes (types of less than a
    byte, and types that this version does not know)."""
    return _NUMPY_TYPES.get(name)


def name_of_numpy(array: np.ndarray[Any, np.dtype[Any]], tensor: str) -> str:
    """The store's name of an array's type."""
    name = _NAMES.get(
        array.dtype.newbyteorder("<") if array.dtype.byteorder == ">" else array.dtype
    )
    if name is None:
        raise make("bad-tensor", f"tensor {tensor!r}: arrays of {array.dtype} cannot be stored")
    return name


def torch_module() -> Any:
    """torch, which is found when it is asked for."""
    try:
        import torch
    except ImportError:
        raise ImportError("framework='pt' needs torch: pip install torch") from None
    return torch


def torch_device(device: Any) -> torch.device:
    """The device that is meant: ``tensor.to`` takes a type for one, too."""
    if isinstance(device, bool):
        raise TypeError("a device is a text, a number or a torch.device, not bool")
    named: torch.device = torch_module().device(device)
    return named


def torch_dtype(name: str) -> torch.dtype | None:
    """The torch type of a type of the store; none where torch has none."""
    known: torch.dtype | None = getattr(torch_module(), _TORCH.get(name, ""), None)
    return known


def packed_torch_dtype(name: str) -> torch.dtype | None:
    """The torch type whose elements are bytes that hold several."""
    packed: torch.dtype | None = getattr(torch_module(), _PACKED_TORCH.get(name, ""), None)
    return packed


def name_of_torch(tensor: torch.Tensor, called: str) -> str:
    """The store's name of a torch tensor's type."""
    text = str(tensor.dtype).removeprefix("torch.")
    for name, known in _TORCH.items():
        if known == text:
            return name
    if tensor.dtype is getattr(torch_module(), _PACKED_TORCH["F4"], None):
        return "F4"
    raise make("bad-tensor", f"tensor {called!r}: torch tensors of {tensor.dtype} cannot be stored")


def is_torch(value: object) -> bool:
    """Whether a value is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
