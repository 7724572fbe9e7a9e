"""Models to and from other places, and copies of a store."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _engine
from ._adoption import AdoptionReport
from ._errors import IncompleteError
from ._model import Progress
from ._snapshot import ModelLike, Reader

if TYPE_CHECKING:
    from ._store import Store


@dataclasses.dataclass(frozen=True, slots=True)
class TransferReport:
    """What came or went."""

    #: ``name@version`` of the models that came.
    models: list[str]
    tensors: int
    #: Bytes that were moved.
    nbytes: int
    #: Tensors that the models name and that stayed where they are.
    missing_tensors: int
    #: Names that have several newest versions now, with them: a merge brings them together.
    diverged: dict[str, list[str]]
    #: What else is to be said: models that were renumbered, brought up to date, left as they are on
    #: each side, tags that did not come.
    notes: list[str]

    @classmethod
    def of(cls, report: dict[str, Any]) -> TransferReport:
        """Of the engine's report."""
        notes = [f"{it['was']} is {it['now']} now" for it in report["renumbered"]]
        notes += [f"{model} was brought up to date" for model in report["updated"]]
        notes += [
            f"{model} was changed on both sides, and stays as it is on each"
            for model in report["differing"]
        ]
        notes += [
            f"the tag {tag} did not come: something here has its name"
            for tag in report["tags_left_out"]
        ]
        notes += [f"the tensors of {model} have come" for model in report["completed"]]
        return cls(
            report["models"],
            report["tensors"],
            report["bytes"],
            report["missing_tensors"],
            {names["name"]: names["ends"] for names in report["diverged"]},
            notes,
        )


def _globs(names: str | Sequence[str] | None) -> list[str]:
    if names is None:
        return []
    return [names] if isinstance(names, str) else list(names)


class Sharing(Reader):
    """Models to and from other places. A part of :class:`Store`."""

    __slots__ = ()

    _engine: _engine.Store

    def _writer(self) -> Store:
        raise NotImplementedError

    def pull(
        self,
        place: str | os.PathLike[str],
        names: str | Sequence[str] | None = None,
        *,
        graph_only: bool = False,
        progress: Progress | None = None,
    ) -> TransferReport:
        """Takes in what is at a place and not here: the path of a store, of a bundle or of a
        folder, an address such as ``s3://bucket/path``, or the name of a remote.

        Args:
            names: globs of the models that are wanted; what they descend from comes along.
            graph_only: leave the tensors where they are, for :meth:`fetch`.

        Raises:
            StoreNotFoundError: nothing is there.
            DamagedError: what came is not as it was written; nothing of it is seen.
        """
        self._writer()
        report = _engine.pull(self._engine, os.fspath(place), _globs(names), graph_only, progress)
        return TransferReport.of(report)

    def push(
        self,
        place: str | os.PathLike[str],
        names: str | Sequence[str] | None = None,
        *,
        progress: Progress | None = None,
    ) -> TransferReport:
        """Gives a place what is here and not there. The arguments are those of :meth:`pull`.

        Raises:
            ConflictError: the place has versions that are not here: pull first.
        """
        report = _engine.push(self._engine, os.fspath(place), _globs(names), progress)
        return TransferReport.of(report)

    def fetch(
        self, models: ModelLike | Sequence[ModelLike], *, progress: Progress | None = None
    ) -> TransferReport:
        """Brings the tensors of models that a pull or a clone with ``graph_only`` has left where
        they were."""
        from ._model import Model

        self._writer()
        several = [models] if isinstance(models, str | Model) else models
        names = [self[model].full_name for model in several]
        return TransferReport.of(_engine.fetch(self._engine, names, progress))

    def bundle(
        self,
        path: str | os.PathLike[str],
        names: str | Sequence[str] | None = None,
        *,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Writes models into one file, to be pulled from."""
        return _engine.bundle(self._engine, Path(path), _globs(names), progress)

    @property
    def remotes(self) -> dict[str, str]:
        """The places that the store knows by name."""
        return dict(_engine.remotes(self._engine))

    def add_remote(self, name: str, place: str | os.PathLike[str]) -> None:
        """Gives a place a name."""
        self._writer()
        _engine.add_remote(self._engine, name, os.fspath(place))

    def remove_remote(self, name: str) -> None:
        """Forgets a place's name."""
        self._writer()
        _engine.remove_remote(self._engine, name)

    def adopt(
        self,
        *paths: str | os.PathLike[str],
        dry_run: bool = False,
        exclude: Sequence[str] = (),
        follow_links: bool = False,
        repack: bool = True,
        check: bool = True,
        progress: Progress | None = None,
    ) -> AdoptionReport:
        """Finds all models in folders and files, works out which are versions of one and which
        descends from which, and adds them so.

        Args:
            dry_run: only find; nothing is added.
            exclude: globs of files and folders to leave out.
            follow_links: follow links that lead out of the folders.
            repack: store models anew for which a new one is a better base.
            check: raise where not all that was found was taken; the others are added all the same.

        Raises:
            IncompleteError: with ``check``, something was not taken; its ``report`` says what and
                why.
            StoreNotFoundError: nothing is at a path.
        """
        if not dry_run:
            self._writer()
        found = _engine.adopt(
            self._engine,
            [Path(path) for path in paths],
            dry_run,
            list(exclude),
            follow_links,
            repack,
            progress,
        )
        report = AdoptionReport.of(found)
        if check and report.failed:
            raise IncompleteError("; ".join(report.failed.values()), report=report)
        return report

    # Looking after the file.

    def gc(self) -> dict[str, Any]:
        """Frees what nothing needs, and gives it back to the file system."""
        self._writer()
        return _engine.gc(self._engine)

    def repack(
        self,
        profile: str = "balanced",
        *,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Stores tensors anew where that is shorter, whatever the order that they came in."""
        self._writer()
        return _engine.repack(self._engine, profile, dry_run, progress)

    def backup(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Copies the store as it is now into a new file, while others write."""
        return _engine.backup(self._engine, Path(path), overwrite, progress)
