"""A model of a store in the place of a safetensors file."""

from __future__ import annotations

import json
import os
from types import TracebackType
from typing import Any

from ._arrays import is_torch_framework, torch_tensor
from ._errors import make
from ._model import Model
from ._snapshot import ModelLike, Reader
from ._store import Store, open
from ._tensor import Tensor, part_of

_HEADER_MAX = 100_000_000


class SafeSlice:
    """A tensor of which parts are read. Indexed as safetensors' own slices are; only the rows of
    the first dimension that are asked for are read and decoded."""

    __slots__ = ("_device", "_framework", "_tensor")

    def __init__(self, tensor: Tensor, framework: str, device: Any) -> None:
        self._tensor = tensor
        self._framework = framework
        self._device = device

    def get_shape(self) -> list[int]:
        """Its dimensions."""
        return list(self._tensor.shape)

    def get_dtype(self) -> str:
        """Its element type, such as ``"F32"``."""
        return self._tensor.dtype

    def __getitem__(self, key: Any) -> Any:
        if not is_torch_framework(self._framework):
            return self._tensor[key]
        part = part_of(self._tensor, key)
        if part is None:
            return self._tensor.torch(device=self._device)[key]
        buffer, shape, rest = part
        # torch knows no memory that may not be written to: it is given its own.
        rows = torch_tensor(bytearray(buffer), self._tensor.dtype, shape)[rest]
        return rows if self._device is None else rows.to(self._device)


class safe_open:
    """Opens a model as ``safetensors.safe_open`` opens a file: its names, tensors and slices.

    Args:
        store: an open store, a snapshot, or the path of a store.
        model: the model in it; of a path to a store with one model, that one.
        framework: ``"np"`` or ``"pt"``.
        device: where tensors of torch are to be.

    >>> with safe_open(store, "base", framework="np") as f:
    ...     print(f.keys(), f.get_slice("w")[0:1].shape)
    ['w'] (1, 3)
    """

    def __init__(
        self,
        store: Reader | Model | str | os.PathLike[str],
        model: ModelLike | None = None,
        framework: str = "np",
        device: Any = None,
    ) -> None:
        if device in ("cpu", "") or str(device) == "cpu":
            device = None
        if device is not None and not is_torch_framework(framework):
            raise make("bad-value", "device is for framework='pt'")
        is_torch_framework(framework)
        self._framework, self._device = framework, device
        self._opened: Store | None = None
        if isinstance(store, Model):
            self._model = store
        else:
            reader = store if isinstance(store, Reader) else open(store)
            if isinstance(reader, Store) and not isinstance(store, Reader):
                self._opened = reader
            self._model = _one_of(reader) if model is None else reader[model]
        self._is_open = True

    def __enter__(self) -> safe_open:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_open = False
        if self._opened is not None:
            self._opened.close()

    def _held(self) -> Model:
        if not self._is_open:
            raise make("closed", "the model is closed")
        return self._model

    def keys(self) -> list[str]:
        """The names of its tensors."""
        return sorted(self._held())

    def offset_keys(self) -> list[str]:
        """The names of its tensors in the order of its files."""
        return list(self._held())

    def metadata(self) -> dict[str, str] | None:
        """The texts in the header of its safetensors file; none where there are none."""
        return header_strings(self._held())

    def get_tensor(self, name: str) -> Any:
        """All values of a tensor. Arrays of numpy are read-only, as the store's own are."""
        model = self._held()
        return model.state_dict(self._framework, device=self._device, names=[name])[name]

    def get_tensors(self, names: list[str] | None = None) -> dict[str, Any]:
        """All values of all tensors, or of some, read side by side."""
        return self._held().state_dict(self._framework, device=self._device, names=names)

    def get_slice(self, name: str) -> SafeSlice:
        """A tensor of which parts are read."""
        return SafeSlice(self._held().tensor(name), self._framework, self._device)


def _one_of(reader: Reader) -> Model:
    models = reader.models()
    if len(models) == 1:
        return models[0]
    raise make("bad-value", f"the store has {len(models)} models: say which, by name")


def header_strings(model: Model) -> dict[str, str] | None:
    """The texts in the headers of a model's safetensors files, as one dict."""
    found: dict[str, str] = {}
    for file in model.files():
        if file.format != "safetensors" or not file.is_weights:
            continue
        begin = model._engine.read_file(file.path, 0, 8)
        length = int.from_bytes(begin, "little")
        if len(begin) < 8 or length > _HEADER_MAX:
            continue
        header = json.loads(model._engine.read_file(file.path, 8, length))
        found.update(header.get("__metadata__") or {})
    return found or None
