"""A tensor of a model: what it is, and its values when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _dtypes
from ._arrays import Array, numpy_array, torch_tensor
from ._errors import Error

if TYPE_CHECKING:
    import torch

    from . import _engine


class Tensor:
    """A tensor of a model. Holds no values: :meth:`numpy`, :meth:`torch` and slices read them.

    >>> tensor = store["base"].tensor("w")
    >>> tensor.dtype, tensor.shape, tensor.nbytes
    ('F32', (2, 3), 24)
    >>> tensor[1]                                   # reads that row only
    array([3., 4., 5.], dtype=float32)
    """

    __slots__ = ("_engine", "_name")
    #: Whether it is all of a tensor of the store, rather than some elements of one.
    _is_whole = True

    def __init__(self, engine: _engine.Tensor, name: str | None = None) -> None:
        self._engine = engine
        self._name = engine.name if name is None else name

    @property
    def name(self) -> str:
        """Its name in the model."""
        return self._name

    @property
    def dtype(self) -> str:
        """Its element type by safetensors' name, such as ``"F32"`` or ``"BF16"``."""
        return self._engine.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Its dimensions."""
        return self._engine.shape

    @property
    def nbytes(self) -> int:
        """Its length in bytes."""
        return self._engine.nbytes

    @property
    def content_id(self) -> str:
        """The hash of its bytes, 64 hex digits: equal tensors have equal ids."""
        return self._engine.content_id

    def stored_as(self) -> dict[str, Any]:
        """How it is kept in the file: ``stored_len`` in bytes, ``encodings``, ``base`` and
        ``depth`` of the chain of differences."""
        return self._engine.stored_as()

    def numpy(self, *, writable: bool = False) -> Array:
        """Its values as an array of numpy.

        Where the tensor lies raw in the file, the array is a view of the file's own bytes, without
        a copy; else they are reconstructed. The array is read-only, stays valid whatever is written
        to the store or removed from it, and keeps the file open. With ``writable=True`` it may be
        written to, which changes nothing in the store.

        bf16 and fp8 are types of ``ml_dtypes`` when that package is installed, else unsigned
        integers of the same bits. Types of less than a byte, and types that this version does not
        know, are bytes in a row.

        Raises:
            DamagedError: the bytes are not as they were written.
        """
        buffer = self._engine.writable() if writable else self._engine.view()
        return numpy_array(buffer, self.dtype, self.shape)

    def torch(self, *, device: str | torch.device | None = None) -> torch.Tensor:
        """Its values as a tensor of torch, on ``device``.

        Always safe to write to: a tensor that lies raw in the file is mapped copy on write, so that
        nothing is copied before it is written to, and nothing written reaches the store.

        Raises:
            ImportError: torch is not installed.
            DamagedError: the bytes are not as they were written.
        """
        tensor = torch_tensor(self._engine.writable(), self.dtype, self.shape)
        return tensor if device is None else tensor.to(_dtypes.torch_device(device))

    @property
    def is_mapped(self) -> bool:
        """Whether :meth:`numpy` returns the file's own bytes, without a copy."""
        return self._engine.view().is_mapped

    def __getitem__(self, key: Any) -> Array:
        """Some of its values, as numpy indexes: only the rows of the first dimension that are asked
        for are read and decoded. Read-only."""
        return _sliced(self, key)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a tensor without dimensions has no length")
        return self.shape[0]

    def __repr__(self) -> str:
        try:
            return f"<mgit_store.Tensor {self.name!r} {self.dtype} {list(self.shape)}>"
        except Error as error:
            return f"<mgit_store.Tensor {self.name!r}, {error.code}>"


def rows_of(key: Any, count: int) -> tuple[range, Any] | None:
    """The rows of the first dimension that an index asks for, as far as they are in a row, and what
    is left of the index when only these are there. None where that does not help."""
    first, rest = (key[0], key[1:]) if isinstance(key, tuple) and key else (key, ())
    if isinstance(first, bool) or first is Ellipsis or first is None:
        return None
    if isinstance(first, slice):
        start, stop, step = first.indices(count)
        if step < 0:
            return None
        rows = range(start, max(start, stop))
        return rows, (slice(None, None, step), *rest)
    try:
        at = first.__index__()
    except (AttributeError, TypeError):
        # Lists and arrays: the library whose array it is knows them.
        return None
    if not -count <= at < count:
        raise IndexError(f"row {at} is out of range: there are {count}")
    at %= count
    return range(at, at + 1), (0, *rest)


def part_of(tensor: Tensor, key: Any) -> tuple[_engine.Buffer, tuple[int, ...], Any] | None:
    """The bytes, the shape and the index of the rows that hold what an index asks for."""
    known = _dtypes.numpy_dtype(tensor.dtype)
    if not tensor.shape or known is None or not tensor._is_whole:
        return None
    found = rows_of(key, tensor.shape[0])
    if found is None:
        return None
    rows, rest = found
    buffer = tensor._engine.rows(rows.start, rows.stop)
    return buffer, (len(rows), *tensor.shape[1:]), rest


def _sliced(tensor: Tensor, key: Any) -> Array:
    part = part_of(tensor, key)
    if part is None:
        array: Array = tensor.numpy()[key]
        return array
    buffer, shape, rest = part
    array = numpy_array(buffer, tensor.dtype, shape)[rest]
    return array
