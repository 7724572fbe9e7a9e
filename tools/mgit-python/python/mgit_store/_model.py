"""A model of a store, as it was at one commit."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import _dtypes, _html
from ._arrays import Array, is_torch_framework, numpy_array, torch_tensor
from ._errors import make
from ._reports import ExportReport, FileInfo
from ._tensor import Tensor
from ._views import numpy_view, tensor_of, torch_view

if TYPE_CHECKING:
    from . import _engine
    from ._snapshot import Snapshot

Progress = Callable[[int], object]


class Model(Mapping[str, Array]):
    """A model: a mapping of tensor names to arrays, with its place in the lineage.

    It is what it was at the commit that it was read from, whatever is written to the store since.

    >>> model = store["tuned"]
    >>> model
    <mgit_store.Model 'tuned@1' bert, 1 tensor, 24 bytes>
    >>> list(model)
    ['w']
    >>> model["w"].flags.writeable
    False
    >>> [parent.full_name for parent in model.parents()]
    ['base@1']
    """

    __slots__ = ("_engine", "_node", "_ties")

    def __init__(self, engine: _engine.Model) -> None:
        self._engine = engine
        self._node = engine.node
        self._ties: dict[str, _engine.View] | None = None

    # What it is.

    @property
    def name(self) -> str:
        """Its name, without the version."""
        return self._node.name

    @property
    def version(self) -> int:
        """Its version, from 1."""
        return self._node.version

    @property
    def full_name(self) -> str:
        """``name@version``."""
        return self._node.full_name

    @property
    def id(self) -> str:
        """Its id, 32 hex digits: the same for its whole life, in every clone."""
        return self._node.id

    @property
    def kind(self) -> str:
        """What kind of model it is, such as ``"bert"``; empty where nobody said."""
        return self._node.kind

    @property
    def content_id(self) -> str:
        """The hash of its files and tensors: equal models have equal ids."""
        return self._node.content_id

    @property
    def created(self) -> datetime.datetime:
        """When it was added, in UTC."""
        return datetime.datetime.fromtimestamp(self._node.created, datetime.UTC)

    @property
    def nbytes(self) -> int:
        """The bytes of its files."""
        return self._node.logical_bytes

    @property
    def metadata(self) -> dict[str, Any]:
        """Its metadata: what was given with it, and what its files say. A copy."""
        return self._engine.metadata()

    @property
    def tags(self) -> list[str]:
        """The tags that are set on it."""
        return self._engine.snapshot().tags_of(self.id)

    # Its tensors.

    def _named_views(self) -> dict[str, _engine.View]:
        if self._ties is None:
            self._ties = {view.name: view for view in self._engine.views()}
        return self._ties

    def tensors(self, *, all: bool = False) -> list[Tensor]:
        """Its tensors, without their values: those of its weights, in the order of its files. With
        ``all=True`` also those of files beside the weights, such as an optimizer's state. Tied
        names are not among them."""
        return [Tensor(tensor) for tensor in self._engine.tensors(all)]

    def tensor(self, name: str) -> Tensor:
        """The tensor of a name, without its values.

        Raises:
            NotFoundError: the model has no such tensor.
        """
        view = self._named_views().get(name)
        return Tensor(self._engine.tensor(name)) if view is None else tensor_of(view)

    def keys(self) -> Any:
        """The names of its weights, tied names among them."""
        return dict.fromkeys(self).keys()

    def __iter__(self) -> Iterator[str]:
        names = [tensor.name for tensor in self._engine.tensors(False)]
        return iter(names + list(self._named_views()))

    def __len__(self) -> int:
        return len(self._engine.tensors(False)) + len(self._named_views())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(name == known for known in self)

    def __getitem__(self, name: str) -> Array:
        """The values of a tensor, read-only: see :meth:`Tensor.numpy`."""
        return self.tensor(name).numpy()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and (self.id, self.content_id) == (
            other.id,
            other.content_id,
        )

    def __hash__(self) -> int:
        return hash((self.id, self.content_id))

    def state_dict(
        self,
        framework: str = "np",
        *,
        device: Any = None,
        writable: bool = False,
        names: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Its weights as a dict of arrays, all read side by side on all cores.

        Tied names come back tied: as one and the same array.

        Args:
            framework: ``"np"`` for arrays of numpy, ``"pt"`` for tensors of torch.
            device: where tensors of torch are to be.
            writable: arrays of numpy that may be written to; tensors of torch always may. What is
                written never reaches the store.
            names: only these.

        Raises:
            NotFoundError: a name that the model does not have.

        >>> weights = store["base"].state_dict("np", writable=True)
        >>> weights["w"] += 1
        >>> store["base"]["w"][0, 0]
        np.float32(0.0)
        """
        as_torch = is_torch_framework(framework)
        if device is not None:
            if not as_torch:
                raise make("bad-value", "device is for framework='pt'")
            device = _dtypes.torch_device(device)
        if isinstance(names, str):
            raise make("bad-value", f"names is a list of names: [{names!r}]")
        views = self._named_views()
        wanted = list(self) if names is None else list(names)
        own = {name: self._engine.tensor(name) for name in wanted if name not in views}
        for name in wanted:
            if name in views:
                holder = views[name].tensor
                own.setdefault(holder.name, holder)
        buffers = self._engine.read(list(own.values()), as_torch or writable)
        make_array: Callable[..., Any] = torch_tensor if as_torch else numpy_array
        arrays = {
            name: make_array(buffer, tensor.dtype, tensor.shape)
            for (name, tensor), buffer in zip(own.items(), buffers, strict=True)
        }
        if device is not None:
            arrays = {name: array.to(device) for name, array in arrays.items()}
        make_view = torch_view if as_torch else numpy_view
        return {
            name: make_view(views[name], arrays[views[name].tensor.name])
            if name in views
            else arrays[name]
            for name in wanted
        }

    # Its files.

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of files, as against one file."""
        return self._engine.is_folder

    def files(self) -> list[FileInfo]:
        """Its files: the weights, and what is beside them."""
        return [FileInfo(**file) for file in self._engine.files()]

    def read_file(self, path: str) -> bytes:
        """The bytes of one of its files, such as ``"config.json"``.

        Raises:
            NotFoundError: the model has no such file.
        """
        return self._engine.read_file(path, 0, None)

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        only: Sequence[str] = (),
        as_safetensors: bool = False,
        dequantise: bool = False,
        progress: Progress | None = None,
    ) -> ExportReport:
        """Writes its files as they came, byte for byte: a file, or a folder.

        Args:
            path: the file or the folder; it appears when it is complete.
            overwrite: replace what is there.
            only: globs of the files of a folder that are wanted.
            as_safetensors: weights of other formats as safetensors.
            dequantise: with ``as_safetensors``, quantised tensors of a GGUF file as F32.
            progress: told how many bytes were written since it was told last, such as
                ``tqdm.update``.

        Raises:
            ExistsError: something is at the path.
            InvalidError: what is asked for cannot be written there.
        """
        report = self._engine.export(
            os.fspath(path), overwrite, list(only), as_safetensors, dequantise, progress
        )
        return ExportReport.of(report)

    @property
    def missing_tensors(self) -> int:
        """How many of its tensors are not in this store yet, but where it was cloned from."""
        return self._engine.missing_tensors()

    # Its place in the lineage.

    @property
    def snapshot(self) -> Snapshot:
        """The commit that it was read from."""
        from ._snapshot import Snapshot

        return Snapshot(self._engine.snapshot())

    def parents(self) -> list[Model]:
        """The models that it was derived from."""
        return self.snapshot.parents(self)

    def children(self) -> list[Model]:
        """The models that were derived from it."""
        return self.snapshot.children(self)

    def previous(self) -> Model | None:
        """The version before it."""
        return self.snapshot.previous(self)

    def ancestors(self) -> list[Model]:
        """All models that it descends from."""
        return self.snapshot.ancestors(self)

    def descendants(self) -> list[Model]:
        """All models that descend from it."""
        return self.snapshot.descendants(self)

    def __repr__(self) -> str:
        count = self._node.tensor_count
        kind = f" {self.kind}," if self.kind else ""
        tensors = f"{count} tensor" + ("" if count == 1 else "s")
        return f"<mgit_store.Model {self.full_name!r}{kind} {tensors}, {_html.size(self.nbytes)}>"

    def _repr_html_(self) -> str:
        return _html.model(self)
