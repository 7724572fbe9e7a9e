"""Arrays of numpy and torch out of the store's bytes, and the store's tensors out of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _dtypes
from ._errors import make

if TYPE_CHECKING:
    import torch

    from ._engine import Buffer

Array = npt.NDArray[Any]


def is_torch_framework(framework: str) -> bool:
    """Whether the framework is torch, as against numpy."""
    if framework in ("pt", "torch", "pytorch"):
        return True
    if framework in ("np", "numpy"):
        return False
    raise make("bad-value", f'framework is "np" or "pt", not {framework!r}')


def numpy_array(buffer: Buffer, dtype: str, shape: tuple[int, ...]) -> Array:
    """The bytes as an array of their type and shape; where numpy has no such type, in a row."""
    known = _dtypes.numpy_dtype(dtype)
    if known is None:
        return np.frombuffer(memoryview(buffer), np.uint8)
    array: Array = np.frombuffer(memoryview(buffer), known).reshape(shape)
    return array


def torch_tensor(buffer: Buffer | bytearray, dtype: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The bytes as a torch tensor. The buffer must be writable: torch knows no other."""
    module = _dtypes.torch_module()
    known = _dtypes.torch_dtype(dtype)
    packed = known or _dtypes.packed_torch_dtype(dtype) or module.uint8
    if known is None and shape and shape[-1] % 2 == 0 and packed is not module.uint8:
        shape = (*shape[:-1], shape[-1] // 2)
    elif known is None:
        shape = (len(buffer),)
    tensor: torch.Tensor
    if len(buffer) == 0:
        tensor = module.empty(shape, dtype=packed)
    else:
        tensor = module.frombuffer(buffer, dtype=packed).reshape(shape)
    return tensor


class NewTensor(NamedTuple):
    """A tensor as the engine takes it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: Any


class StateDict(NamedTuple):
    """What is to be stored of a state dict."""

    tensors: list[NewTensor]
    #: Names of whole tensors that have another name already: the name, and the tensor's place.
    ties: list[tuple[str, int]]
    is_torch: bool


def _of_torch(name: str, dtype: str, tensor: torch.Tensor) -> NewTensor:
    torch = _dtypes.torch_module()
    flat = tensor.detach().resolve_conj().resolve_neg().to("cpu").contiguous().reshape(-1)
    if flat.numel() == 1 and flat.stride() != (1,):
        # A single element may have any stride, and then cannot be seen as bytes.
        flat = torch.cat([flat])
    shape = tuple(tensor.shape)
    if dtype == "F4" and not shape:
        raise make("bad-tensor", f"tensor {name!r}: two elements a byte need a dimension")
    if dtype == "F4":
        # torch counts bytes, of two elements each.
        shape = (*shape[:-1], 2 * shape[-1])
    try:
        content = flat.view(torch.uint8).numpy()
    except RuntimeError as error:
        raise make("bad-tensor", f"tensor {name!r} has no values: {error}") from error
    return NewTensor(name, dtype, shape, content)


def _of_numpy(name: str, dtype: str, array: Array) -> NewTensor:
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    shape = array.shape
    values = np.ascontiguousarray(array).reshape(-1)
    return NewTensor(name, dtype, shape, values.view(np.uint8))


def _place(value: Any) -> tuple[object, ...] | None:
    """What two names of one tensor have in common: the elements' place in memory."""
    if _dtypes.is_torch(value):
        if value.numel() == 0 or value.device.type == "meta":
            return None
        how = (value.dtype, value.is_conj(), value.is_neg())
        at = (value.data_ptr(), str(value.device))
        return (*at, *how, tuple(value.shape), tuple(value.stride()))
    if isinstance(value, np.ndarray) and value.size:
        return (value.ctypes.data, value.dtype, value.shape, value.strides)
    return None


def state_dict(values: Mapping[str, Any]) -> StateDict:
    """The tensors of a state dict: each place in memory once, whatever number of names it has."""
    if not isinstance(values, Mapping):
        kind = type(values).__name__
        raise make("bad-value", f"a state dict is a mapping of names to arrays, not {kind}")
    # Each is asked for once, and held: else a place in memory could be used by two of them.
    held = {name: _checked(name, values[name]) for name in values}
    # The first name of a place is the tensor's, the others are tied to it.
    first: dict[tuple[object, ...], str] = {}
    own: dict[str, str] = {}
    tied: dict[str, str] = {}
    for name, value in held.items():
        place = _place(value)
        if place is not None and first.setdefault(place, name) != name:
            tied[name] = first[place]
        else:
            own[name] = _dtype_name(name, value)
    # As safetensors has them in its files.
    names = sorted(own, key=lambda name: (-_dtypes.ORDER.index(own[name]), name))
    tensors = [
        (_of_torch if _dtypes.is_torch(held[name]) else _of_numpy)(name, own[name], held[name])
        for name in names
    ]
    places = {name: at for at, name in enumerate(names)}
    ties = [(name, places[holder]) for name, holder in tied.items()]
    return StateDict(tensors, ties, any(map(_dtypes.is_torch, held.values())))


def _checked(name: object, value: Any) -> Any:
    if not isinstance(name, str):
        raise make("bad-tensor", f"the name of a tensor is a text, not {name!r}")
    if _dtypes.is_torch(value):
        _check_torch(name, value)
        return value
    if np.ma.is_masked(value):
        raise make("bad-tensor", f"tensor {name!r}: a mask cannot be stored; filled() first")
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise make("bad-tensor", f"tensor {name!r}: {error}") from error


def _check_torch(name: str, value: Any) -> None:
    """Refuses a tensor that has no values in a row of memory."""
    reason = None
    try:
        if value.layout is not _dtypes.torch_module().strided:
            reason = f"its layout is {value.layout}: make it dense first"
        elif value.device.type == "meta":
            reason = "on the meta device it has no values"
        elif value.numel():
            steps = zip(value.shape, value.stride(), strict=True)
            last = value.storage_offset() + sum((dim - 1) * step for dim, step in steps)
            value.data_ptr()
            if (last + 1) * value.element_size() > value.untyped_storage().nbytes():
                reason = "its storage was freed: it has no values"
    except (RuntimeError, NotImplementedError) as error:
        raise make("bad-tensor", f"tensor {name!r} has no values: {error}") from error
    if reason is not None:
        raise make("bad-tensor", f"tensor {name!r}: {reason}")


def _dtype_name(name: str, value: Any) -> str:
    of = _dtypes.name_of_torch if _dtypes.is_torch(value) else _dtypes.name_of_numpy
    return of(value, name)
