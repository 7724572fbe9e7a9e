"""An open store."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from . import _engine, _html
from ._errors import Error, make
from ._lab import Lab
from ._model import Progress
from ._reports import Added, VerifyReport
from ._sharing import Sharing
from ._snapshot import Snapshot
from ._transaction import Transaction

Mode = Literal["r", "w", "a"]


def open(
    path: str | os.PathLike[str],
    mode: Mode = "r",
    *,
    wait: float | None = None,
    exclusive: bool = False,
) -> Store:
    """Opens a store.

    Any number of processes may have it open, to read and to write; a writer's lock is held by each
    transaction, not by the open store.

    Args:
        path: the store's file.
        mode: ``"r"`` to read, ``"w"`` to read and write (nothing is truncated), ``"a"`` also to
            make it where it is not there.
        wait: how many seconds a transaction waits for other writers; without a number, as long as
            it takes.
        exclusive: keep other writers out as long as the store is open. Each commit then costs less.

    Raises:
        StoreNotFoundError: nothing is at the path.
        InvalidError: it is not a store.
        LockedError: with ``exclusive``, another writer has it.
    """
    if mode not in ("r", "w", "a"):
        raise make("bad-value", f'mode is "r", "w" or "a", not {mode!r}')
    path = Path(path)
    if mode == "a" and not path.exists():
        # Another process may be first.
        with contextlib.suppress(FileExistsError):
            _engine.Store.create(path)
    return Store(_engine.Store.open(path, mode != "r", exclusive), mode, wait)


def create(path: str | os.PathLike[str], *, wait: float | None = None) -> Store:
    """Makes a new, empty store and opens it to read and write.

    Raises:
        ExistsError: something is at the path.
        StoreNotFoundError: its folder is not there.

    >>> store = create(folder / "new.mgit")
    >>> len(store)
    0
    """
    _engine.Store.create(Path(path))
    return open(path, "w", wait=wait)


def clone(
    place: str | os.PathLike[str],
    path: str | os.PathLike[str],
    names: str | Sequence[str] | None = None,
    *,
    graph_only: bool = False,
    progress: Progress | None = None,
) -> Store:
    """Makes a store with the models of a place, which it keeps as the remote ``origin``, and opens
    it to read and write. The arguments are those of :meth:`Store.pull`.

    Raises:
        ExistsError: something is at the path.

    >>> copy = clone(store.path, folder / "copy.mgit")
    >>> len(copy), list(copy.remotes)
    (2, ['origin'])
    """
    store = create(path)
    try:
        store.add_remote("origin", place)
        store.pull("origin", names, graph_only=graph_only, progress=progress)
    except BaseException:
        # Nothing has come: a store without models would look like a clone.
        store.close()
        Path(path).unlink(missing_ok=True)
        raise
    return store


def vacuum(path: str | os.PathLike[str], *, progress: Progress | None = None) -> dict[str, Any]:
    """Writes a store that is not open for writing anew, without free room."""
    return _engine.vacuum(Path(path), progress)


class Store(Lab, Sharing):
    """An open store: its models, and the way to change them.

    Reads see the newest commit, each call anew; :meth:`snapshot` holds on to one. May be used from
    several threads. A process that forks opens the store again in the child; what was opened before
    is refused there with :class:`ForkedError`.

    >>> store
    <mgit_store.Store 'family.mgit', 2 models, open to write>
    >>> [model.full_name for model in store]
    ['base@1', 'tuned@1']
    """

    __slots__ = ("_engine", "_mode", "_wait")

    def __init__(self, engine: _engine.Store, mode: str, wait: float | None) -> None:
        super().__init__()
        self._engine = engine
        self._mode = mode
        self._wait = wait

    def _read(self) -> _engine.Snapshot:
        return self._engine.snapshot()

    @property
    def path(self) -> Path:
        """Its file."""
        return Path(self._engine.path)

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._engine.is_closed

    def close(self) -> None:
        """Closes the store. Models and arrays that were read from it stay valid, and keep the file
        open as long as they are there. Closing twice does nothing."""
        self._engine.close()

    def __enter__(self) -> Store:
        if self.is_closed:
            raise make("closed", "the store is closed")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def snapshot(self) -> Snapshot:
        """The newest commit, held on to."""
        return Snapshot(self._engine.snapshot())

    def write(self, *, wait: float | None = None) -> Transaction:
        """Begins a transaction, most often by ``with store.write() as tx:``.

        Args:
            wait: how many seconds to wait for other writers, in place of the store's own.

        Raises:
            ReadOnlyError: the store is open for reading.
            LockedError: another writer had its turn until the time was over, or this thread has a
                transaction open.
        """
        self._writer()
        return Transaction(self._engine.begin(self._wait if wait is None else wait), self)

    def _writer(self) -> Store:
        if self._mode == "r" and not self.is_closed:
            text = f'mgit_store.open({str(self.path)!r}, "w")'
            raise make("read-only", f"the store is open for reading; to write: {text}")
        return self

    @property
    def _is_writable(self) -> bool:
        return self._mode != "r"

    def add(self, name: str, state_dict: Mapping[str, Any], **about: Any) -> Added:
        """Adds one model, in a transaction of its own. The arguments are those of
        :meth:`Transaction.add`."""
        with self.write() as tx:
            return tx.add(name, state_dict, **about)

    def add_path(self, path: str | os.PathLike[str], name: str, **about: Any) -> Added:
        """Adds the model at a path, in a transaction of its own. The arguments are those of
        :meth:`Transaction.add_path`."""
        with self.write() as tx:
            return tx.add_path(path, name, **about)

    # Looking after it.

    def info(self) -> dict[str, Any]:
        """What the store says of itself: its id, its last commit, the length of its file."""
        return self._engine.info()

    def stat(self) -> dict[str, Any]:
        """What it holds: numbers of models and tensors, logical and stored bytes."""
        return self._engine.stat()

    @property
    def nbytes(self) -> int:
        """The length of its file."""
        return int(self._engine.info()["file_bytes"])

    def set_cache_bytes(self, count: int) -> None:
        """Bounds the memory for reconstructed tensors that are kept for the next reader."""
        self._engine.set_cache_bytes(count)

    def verify(
        self, depth: Literal["quick", "full"] = "full", *, progress: Progress | None = None
    ) -> VerifyReport:
        """Looks for damage: every checksum, and, in full, every content, reference and row.

        >>> store.verify().is_clean
        True
        """
        return VerifyReport.of(self._engine.verify(depth, progress))

    def __repr__(self) -> str:
        if self.is_closed:
            return f"<mgit_store.Store {self.path.name!r}, closed>"
        try:
            count = len(self)
        except Error as error:  # of another process, or damaged: a repr does not raise
            return f"<mgit_store.Store {self.path.name!r}, {error.code}>"
        models = f"{count} model" + ("" if count == 1 else "s")
        way = "open to read" if self._mode == "r" else "open to write"
        return f"<mgit_store.Store {self.path.name!r}, {models}, {way}>"

    def _repr_html_(self) -> str:
        if self.is_closed:
            return _html.table(f"{self.path.name}, closed", [], [])
        return _html.snapshot(self.snapshot(), f"{self.path.name}: {_html.size(self.nbytes)}")
