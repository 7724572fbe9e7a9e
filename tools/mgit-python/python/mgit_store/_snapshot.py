"""Reading a store: one commit of it, and the lineage of its models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from . import _engine, _html
from ._errors import Error, InvalidError, NotFoundError
from ._model import Model
from ._reports import Diff

if TYPE_CHECKING:
    from ._testing import TestInfo

#: A model, or what names one: ``name`` (its newest version), ``name@version``, a tag or an id.
ModelLike = Model | str
Edges = Literal["provenance", "version", "both"]
Order = Literal["breadth", "depth", "topological"]


def reference(model: ModelLike) -> str:
    """What the engine calls a model by."""
    return model.id if isinstance(model, Model) else model


def _models(found: list[_engine.Model]) -> list[Model]:
    return [Model(model) for model in found]


class Reader:
    """What is read in the same way of a store, at its newest commit, and of a snapshot of it."""

    __slots__ = ()

    def _read(self) -> _engine.Snapshot:
        raise NotImplementedError

    def __getitem__(self, model: ModelLike) -> Model:
        """The model of this name (its newest version), ``name@version``, tag or id.

        Raises:
            NotFoundError: there is none; the message has similar names.
        """
        return Model(self._read().model(reference(model)))

    def __contains__(self, model: object) -> bool:
        if not isinstance(model, str | Model):
            return False
        try:
            self._read().model(reference(model))
        except (NotFoundError, InvalidError):
            return False
        return True

    def get(self, model: ModelLike, default: Any = None) -> Any:
        """As ``self[model]``; ``default`` where there is no such model."""
        try:
            return self[model]
        except (NotFoundError, InvalidError):
            return default

    def __iter__(self) -> Iterator[Model]:
        return iter(self.models())

    def __len__(self) -> int:
        return len(self._read().models())

    def __bool__(self) -> bool:
        # Also without models.
        return True

    def models(self) -> list[Model]:
        """All models, by name and version."""
        return _models(self._read().models())

    def parents(self, model: ModelLike) -> list[Model]:
        """The models that one was derived from. :meth:`edges` also says how."""
        return [parent for parent, _ in self.edges(model)]

    def edges(self, model: ModelLike) -> list[tuple[Model, str]]:
        """The models that one was derived from, each with how: ``"finetune"``, ``"merge"``, ..."""
        return [(Model(parent), how) for parent, how in self._read().parents(reference(model))]

    def children(self, model: ModelLike) -> list[Model]:
        """The models that were derived from one."""
        return _models(self._read().children(reference(model)))

    def previous(self, model: ModelLike) -> Model | None:
        """The version that one follows."""
        found = self._read().previous(reference(model))
        return None if found is None else Model(found)

    def versions(self, model: ModelLike) -> list[Model]:
        """All versions of a model's name, oldest first."""
        return _models(self._read().versions(reference(model)))

    def log(self, model: ModelLike | None = None) -> list[Model]:
        """The version and those that it follows, newest first; without one, all models, the last
        that was added first."""
        if model is None:
            return sorted(self.models(), key=lambda model: model.created, reverse=True)
        return _models(self._read().history(reference(model)))

    def ancestors(
        self, model: ModelLike, edges: Edges = "provenance", order: Order = "breadth"
    ) -> list[Model]:
        """All models that one descends from, each once.

        Args:
            edges: derivations, versions, or both.
            order: nearest first, one line after the other, or each behind all that lead to it.
        """
        return _models(self._read().walk(reference(model), True, edges, order))

    def descendants(
        self, model: ModelLike, edges: Edges = "provenance", order: Order = "breadth"
    ) -> list[Model]:
        """All models that descend from one, each once. The arguments are those of
        :meth:`ancestors`."""
        return _models(self._read().walk(reference(model), False, edges, order))

    def topological(self, edges: Edges = "both") -> list[Model]:
        """All models, parents before children."""
        return _models(self._read().topological(edges))

    def roots(self, edges: Edges = "provenance") -> list[Model]:
        """The models that were derived from none."""
        return _models(self._read().ends(True, edges))

    def leaves(self, edges: Edges = "provenance") -> list[Model]:
        """The models that none was derived from."""
        return _models(self._read().ends(False, edges))

    def common_ancestors(self, *models: ModelLike, edges: Edges = "provenance") -> list[Model]:
        """The nearest models that all of these descend from."""
        return _models(self._read().common_ancestors([reference(model) for model in models], edges))

    def tags(self) -> dict[str, Model]:
        """Tags, with the models that they are set on."""
        return {tag: Model(model) for tag, model in self._read().tags()}

    def tests(self) -> list[TestInfo]:
        """The tests that are registered in the store."""
        from ._testing import TestInfo

        return [TestInfo.of(name, test) for name, test in self._read().tests()]

    def diff(self, a: ModelLike, b: ModelLike) -> Diff:
        """How two models differ: layers, tensors and their values, files beside the weights.

        >>> store.diff("base", "tuned")
        <mgit_store.Diff base@1 -> tuned@1: 1 changed, 0 added, 0 removed, 0 unchanged layers>
        """
        snapshot = self._read()
        first, second = snapshot.model(reference(a)), snapshot.model(reference(b))
        layers, files = snapshot.diff(first, second)
        return Diff.of(first.node.full_name, second.node.full_name, layers, files)

    def usage(self) -> list[dict[str, Any]]:
        """Of each model the bytes that it takes in the file: ``stored_bytes`` with what it shares,
        ``own_bytes`` without, ``freed_bytes`` that would be free if it were removed."""
        return self._read().usage()


class Snapshot(Reader):
    """One commit of a store: what is read through it stays as it is, whatever is written meanwhile.

    >>> before = store.snapshot()
    >>> with store.write() as tx:
    ...     _ = tx.add("new", {"w": np.zeros(2)})
    >>> "new" in before, "new" in store
    (False, True)
    """

    __slots__ = ("_engine",)

    def __init__(self, engine: _engine.Snapshot) -> None:
        self._engine = engine

    def _read(self) -> _engine.Snapshot:
        return self._engine

    @property
    def commit(self) -> int:
        """The number of the commit."""
        return self._engine.commit

    def __repr__(self) -> str:
        try:
            return f"<mgit_store.Snapshot of commit {self.commit}>"
        except Error as error:
            return f"<mgit_store.Snapshot, {error.code}>"

    def _repr_html_(self) -> str:
        return _html.snapshot(self, f"commit {self.commit}")
