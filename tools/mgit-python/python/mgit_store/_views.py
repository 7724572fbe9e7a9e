"""Names for elements of other tensors: tied weights, slices and transposed arrays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _dtypes
from ._arrays import Array
from ._tensor import Tensor

if TYPE_CHECKING:
    import torch

    from . import _engine


class PartOfTensor(Tensor):
    """Some elements of a tensor of the store, under a name of their own."""

    __slots__ = ("_view",)
    _is_whole = False

    def __init__(self, view: _engine.View) -> None:
        super().__init__(view.tensor, view.name)
        self._view = view

    @property
    def dtype(self) -> str:
        return self._view.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self._view.shape

    @property
    def nbytes(self) -> int:
        known = _dtypes.numpy_dtype(self.dtype)
        return math.prod(self.shape) * (1 if known is None else known.itemsize)

    def numpy(self, *, writable: bool = False) -> Array:
        return numpy_view(self._view, Tensor(self._engine).numpy(writable=writable))

    def torch(self, *, device: str | torch.device | None = None) -> torch.Tensor:
        whole = Tensor(self._engine).torch(device=device)
        part: torch.Tensor = torch_view(self._view, whole)
        return part


def tensor_of(view: _engine.View) -> Tensor:
    """The tensor that a view is: of a tied name, the whole of another under that name."""
    return Tensor(view.tensor, view.name) if is_whole(view) else PartOfTensor(view)


def is_whole(view: _engine.View) -> bool:
    tensor = view.tensor
    same = (view.dtype, view.shape) == (tensor.dtype, tensor.shape)
    return same and view.offset == 0 and view.strides == _row_strides(view.shape)


def _row_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides: list[int] = []
    step = 1
    for dim in reversed(shape):
        strides.append(step)
        step *= dim
    return tuple(reversed(strides))


def numpy_view(view: _engine.View, array: Array) -> Array:
    """The elements of an array that a view names."""
    if is_whole(view):
        return array
    dtype = _dtypes.numpy_dtype(view.dtype)
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    if dtype is None:
        return flat[view.offset :]
    begin = flat[view.offset :]
    begin = begin[: len(begin) // dtype.itemsize * dtype.itemsize].view(dtype)
    strides = [stride * dtype.itemsize for stride in view.strides]
    # The engine refuses a view that is not in its tensor.
    made: Array = np.lib.stride_tricks.as_strided(
        begin, view.shape, strides, writeable=array.flags.writeable
    )
    return made


def torch_view(view: _engine.View, tensor: Any) -> Any:
    """The elements of a torch tensor that a view names."""
    if is_whole(view):
        return tensor
    torch = _dtypes.torch_module()
    dtype = _dtypes.torch_dtype(view.dtype) or torch.uint8
    flat = tensor.reshape(-1).view(torch.uint8)[view.offset :]
    flat = flat[: flat.numel() // dtype.itemsize * dtype.itemsize].view(dtype)
    return flat.as_strided(view.shape, view.strides)
