"""Writing a store: changes that become visible together."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from . import _engine
from ._arrays import state_dict as read_state_dict
from ._errors import Error, make
from ._functions import GateFunction, gate_adapter
from ._model import Progress
from ._reports import Added
from ._snapshot import ModelLike, reference

if TYPE_CHECKING:
    from ._store import Store

#: How a model may be derived from another.
How = Literal[
    "finetune",
    "prune",
    "quantise",
    "cast",
    "distil",
    "merge",
    "lora-merge",
    "adapter",
    "average",
    "other",
]
Profile = Literal["fast", "balanced", "dense"]
#: A parent, some of them, or them with how the model was derived from each.
Parents = ModelLike | Sequence[ModelLike | tuple[ModelLike, How]] | None
#: A file beside the weights: its bytes, its text, JSON, or the path that it is copied from.
FileContent = bytes | str | Mapping[str, Any] | list[Any] | Path


class Transaction:
    """Changes that become visible and durable together, or not at all.

    Made by :meth:`Store.write`. As a context manager it commits at the end of the block, and rolls
    back when the block ends with an exception. One transaction is open at a time in a store, in all
    processes; reading goes on meanwhile.

    >>> with store.write() as tx:
    ...     report = tx.add("next", {"w": np.ones((2, 3), np.float32)}, parent="base")
    ...     tx.set_tag("best", "next")
    >>> store["best"].full_name, report.delta + report.raw + report.deduplicated
    ('next@1', 1)
    """

    __slots__ = ("_engine", "_store")

    def __init__(self, engine: _engine.Transaction, store: Store) -> None:
        self._engine = engine
        self._store = store

    def __enter__(self) -> Transaction:
        if self._engine.is_closed:
            raise make("closed", "the transaction is closed")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.rollback()
        elif not self._engine.is_closed:
            self.commit()

    def commit(self) -> None:
        """Makes the changes durable and visible. The transaction is closed then.

        Raises:
            FullError: the disk is full; nothing has changed.
        """
        self._engine.commit()

    def rollback(self) -> None:
        """Drops the changes. The transaction is closed then."""
        self._engine.rollback()

    @property
    def is_closed(self) -> bool:
        """Whether it was committed or rolled back."""
        return self._engine.is_closed

    # Models.

    def add(
        self,
        name: str,
        state_dict: Mapping[str, Any],
        *,
        parent: Parents = None,
        how: How | None = None,
        kind: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        files: Mapping[str, FileContent] | None = None,
        profile: Profile = "balanced",
        made_of: Sequence[ModelLike] = (),
        pinned: bool = False,
        unless: Literal["equal", "known"] | None = None,
        repack: bool = True,
        lossy: str | None = None,
        gate: GateFunction | None = None,
        progress: Progress | None = None,
    ) -> Added:
        """Adds a model of arrays: the next version of its name, where the name is known.

        Tensors may be on any device, need not be contiguous, and are taken as their values; what
        has the same place in memory under several names (tied weights) is stored once and comes
        back tied. Exported, the model is a safetensors file, as safetensors itself writes it, or,
        with ``files``, a folder with ``model.safetensors`` and these.

        Args:
            name: letters, digits, ``.``, ``_`` and ``-``, in parts joined by ``/``.
            state_dict: a mapping of names to arrays of numpy or tensors of torch.
            parent: the model that it was derived from, or a list of them; each may be a pair with
                how. Its tensors are stored as differences from theirs where that is shorter.
            how: how it was derived, ``"finetune"`` where nothing is said.
            kind: what kind of model it is; without it, what ``config.json`` says.
            metadata: whatever JSON can hold.
            files: files beside the weights by path: bytes, text, a dict or list (written as JSON),
                or a :class:`~pathlib.Path` to copy from.
            profile: ``"fast"`` to write and read, ``"dense"`` for size, or ``"balanced"``.
            made_of: models that it was computed from and that are not its parents.
            pinned: keep it raw, so that it is always read without a copy.
            unless: ``"equal"`` adds nothing where the newest version of the name is equal,
                ``"known"`` where any version is.
            repack: store models anew for which the new one is a better base.
            lossy: let values be rounded where that is shorter: ``"fp16"``, or ``"quantised:1e-4"``
                for a bound on the error. The model is marked as lossy for ever.
            gate: with ``lossy``, is told the arrays of the rounded model by name and says whether
                it accepts them; where it does not, it is asked of parts of the loss.
            progress: told how many bytes were done since it was told last, such as
                ``tqdm.update``. Ctrl-C ends the call with nothing added.

        Raises:
            InvalidError: a name, a parent's derivation or a tensor that cannot be.
            NotFoundError: no such parent.
            TestFailedError: the gate accepts no loss, or raised an exception, which is the
                ``__cause__``.
            FullError: the disk is full; the transaction can go on without the model.
        """
        values = read_state_dict(state_dict)
        weights = {
            "path": "model.safetensors" if files else "",
            "tensors": values.tensors,
            "ties": values.ties,
            "header": {"format": "pt"} if values.is_torch else {},
        }
        about = _about(name, parent, how, kind, metadata, profile, made_of, pinned, unless, repack)
        about |= {"lossy": lossy, "gate": None if gate is None else gate_adapter(gate)}
        with _written(files) as folder:
            return Added.of(self._engine.add(about, weights, folder, progress))

    def add_path(
        self,
        path: str | os.PathLike[str],
        name: str,
        *,
        parent: Parents = None,
        how: How | None = None,
        kind: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        profile: Profile = "balanced",
        pinned: bool = False,
        unless: Literal["equal", "known"] | None = "equal",
        repack: bool = True,
        exclude: Sequence[str] = (),
        include: Sequence[str] = (),
        follow_links: bool = False,
        progress: Progress | None = None,
    ) -> Added:
        """Adds the model at a path: a folder with all that belongs to the model (configuration,
        tokenizer, a checkpoint's state), or a file of any format (safetensors, PyTorch, GGUF, ONNX,
        NPZ or any other). It comes back byte for byte.

        What was left out, and why, is in the notes of what is returned. The other arguments are
        those of :meth:`add`.

        Args:
            path: the file or the folder.
            parent: as of :meth:`add`, or ``"auto"``: the model of the store that it descends from
                is found, where that is sure enough; relatives of which it is not are noted as
                ``metadata["kin"]``.
            exclude: globs of files of the folder to leave out.
            include: globs of the only files to take.
            follow_links: follow links that lead out of the folder.

        Raises:
            StoreNotFoundError: nothing is at the path.
            InvalidError: the file is not what its name says.
        """
        # What the transaction has added itself is not among the models that are looked through.
        finds = parent == "auto"
        parent = None if parent == "auto" else parent
        about = _about(name, parent, how, kind, metadata, profile, (), pinned, unless, repack)
        found_in = self._store._engine.snapshot() if finds else None
        report = self._engine.add_path(
            about, os.fspath(path), list(exclude), list(include), follow_links, found_in, progress
        )
        return Added.of(report)

    def remove(
        self,
        model: ModelLike,
        on_children: Literal["refuse", "reparent", "detach"] = "refuse",
    ) -> None:
        """Removes a model. What others are stored as differences from is kept for them.

        Args:
            on_children: of models that were derived from it: refuse while there are any, make them
                children of its parents, or let them lose this parent.

        Raises:
            InvalidError: it has children, and nothing was said of them.
        """
        self._engine.remove(reference(model), on_children)

    # The graph.

    def add_parent(self, child: ModelLike, parent: ModelLike, how: How = "finetune") -> None:
        """Says that one model was derived from another."""
        self._engine.add_parent(reference(child), reference(parent), how)

    def remove_parent(self, child: ModelLike, parent: ModelLike) -> None:
        """Takes back that one model was derived from another."""
        self._engine.remove_parent(reference(child), reference(parent))

    def set_previous(self, model: ModelLike, previous: ModelLike | None) -> None:
        """Says which version a model follows; none for none."""
        self._engine.set_previous(
            reference(model), None if previous is None else reference(previous)
        )

    def rename(self, old: str, new: str) -> None:
        """Renames a model, with all of its versions."""
        self._engine.rename(old, new)

    def move(self, model: ModelLike, name: str) -> str:
        """Makes one version the newest of another name. Returns ``name@version``."""
        return self._engine.move_model(reference(model), name).full_name

    def set_kind(self, model: ModelLike, kind: str) -> None:
        """Says what kind of model it is."""
        self._engine.set_kind(reference(model), kind)

    def set_metadata(self, model: ModelLike, metadata: Mapping[str, Any]) -> None:
        """Replaces a model's metadata by what JSON can hold."""
        self._engine.set_metadata(reference(model), dict(metadata))

    def pin(self, model: ModelLike) -> None:
        """Keeps a model raw from now on, so that it is read without a copy."""
        self._engine.pin(reference(model))

    def unpin(self, model: ModelLike, profile: Profile = "balanced") -> None:
        """Lets a model be stored as differences again."""
        self._engine.unpin(reference(model), profile)

    def set_tag(self, tag: str, model: ModelLike) -> None:
        """Sets a tag on a model; on another before, it moves."""
        self._engine.set_tag(tag, reference(model))

    def remove_tag(self, tag: str) -> None:
        """Removes a tag."""
        self._engine.remove_tag(tag)

    def __repr__(self) -> str:
        state = "closed" if self._engine.is_closed else "open"
        return f"<mgit_store.Transaction of {self._store.path.name}, {state}>"


def _about(
    name: str,
    parent: Parents,
    how: How | None,
    kind: str | None,
    metadata: Mapping[str, Any] | None,
    profile: str,
    made_of: Sequence[ModelLike],
    pinned: bool,
    unless: str | None,
    repack: bool,
) -> dict[str, Any]:
    return {
        "name": name,
        "parents": parents_of(parent, how),
        "kind": kind,
        "metadata": dict(metadata or {}),
        "profile": profile,
        "made_of": [reference(model) for model in made_of],
        "pinned": pinned,
        "unless": unless,
        "lossy": None,
        "gate": None,
        "repack": repack,
    }


def parents_of(parent: Parents, how: str | None) -> list[tuple[str, str | None]]:
    """Parents as the engine takes them."""
    from ._model import Model

    if parent is None:
        if how is not None:
            raise make("bad-value", "how says how a model was derived from its parent: give one")
        return []
    several = [parent] if isinstance(parent, str | Model) else list(parent)
    pairs = [one if isinstance(one, tuple) else (one, how) for one in several]
    return [(reference(model), by) for model, by in pairs]


class _written:
    """A folder with files in it, as long as the block lasts."""

    def __init__(self, files: Mapping[str, FileContent] | None) -> None:
        self._files = files
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> str | None:
        if not self._files:
            return None
        self._folder = tempfile.TemporaryDirectory(prefix="mgit-files-")
        try:
            for path, content in self._files.items():
                _write(Path(self._folder.name), path, content)
        except BaseException:
            self._folder.cleanup()
            raise
        return self._folder.name

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if self._folder is None:
            return
        self._folder.cleanup()
        if isinstance(error, Error) and self._folder.name in str(error):
            # The folder is ours, and gone: nobody has heard of it.
            text = str(error).replace(self._folder.name, "files")
            raise make(error.code, text) from error.__cause__


def _write(folder: Path, path: str, content: FileContent) -> None:
    parts = PurePosixPath(path).parts
    if not parts or PurePosixPath(path).is_absolute() or ".." in parts:
        raise make("bad-file", f"{path!r} is not a path in the model's folder")
    target = folder.joinpath(*parts)
    if target.exists():
        raise make("bad-file", f"{path!r} is given twice, in two spellings")
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        shutil.copyfile(content, target)
    elif isinstance(content, bytes | bytearray | memoryview):
        target.write_bytes(content)
    elif isinstance(content, str):
        target.write_text(content, encoding="utf-8")
    elif isinstance(content, Mapping | list):
        text = json.dumps(content, indent=2, ensure_ascii=False)
        target.write_text(text + "\n", encoding="utf-8")
    else:
        kind = type(content).__name__
        raise make("bad-file", f"{path!r}: bytes, text, a dict, a list or a Path, not {kind}")
