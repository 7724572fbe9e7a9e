"""What the store reports: plain frozen values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import _html


@dataclasses.dataclass(frozen=True, slots=True)
class FileInfo:
    """A file of a model."""

    #: Its path in the model's folder; empty for a model of one file without a name.
    path: str
    #: Its format, such as ``"safetensors"`` or ``"bytes"``.
    format: str
    #: Whether its tensors are the model's own, rather than of something beside it.
    is_weights: bool
    nbytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file that was written."""

    path: Path
    nbytes: int
    #: Whether it is of another format than the file that came.
    is_converted: bool


@dataclasses.dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote."""

    path: Path
    files: list[ExportedFile]
    #: What is to be said of it, such as of a conversion.
    notes: list[str]

    @classmethod
    def of(cls, report: dict[str, Any]) -> ExportReport:
        """Of the engine's report."""
        path = Path(report["path"])
        # Of a folder the engine's paths are in it.
        inside = path if path.is_dir() else Path()
        files = [
            ExportedFile(inside / file["path"], file["nbytes"], file["is_converted"])
            for file in report["files"]
        ]
        return cls(path, files, report["notes"])


@dataclasses.dataclass(frozen=True, slots=True)
class Added:
    """What adding a model did."""

    #: ``name@version`` of the new model, or of the equal one that was there already.
    model: str
    #: Its id.
    id: str
    #: Whether an equal model was there already, so that none was added.
    already_there: bool
    #: Bytes of the records that were added. The file grows by them and by what its catalogue needs,
    #: and by less where it had free room: ``store.nbytes`` is its length.
    added_bytes: int
    #: Bytes of its tensors.
    nbytes: int
    #: Tensors by how they were stored: there already, as a difference, as they are.
    deduplicated: int
    delta: int
    raw: int
    #: What was said of the model's files and tensors, and of what was left out and why.
    notes: list[str]
    #: What was rounded, where the model was stored with loss.
    lossy: dict[str, Any] | None = None

    @classmethod
    def of(cls, report: dict[str, Any]) -> Added:
        """Of the engine's report."""
        node = report["node"]
        notes = [_noted(note["tensor"], note["note"]) for note in report["notes"]]
        notes += [_noted(note["file"], note["note"]) for note in report.get("file_notes", ())]
        left_out = report.get("left_out", ())
        notes += [f"{left['file']}: left out: {left['reason']}" for left in left_out]
        unused = report.get("unused_globs", ())
        notes += [f"nothing fits the glob {glob!r}" for glob in unused]
        around = report.get("around") or {"helped": [], "left": []}
        notes += [f"a better base for {model}: stored anew" for model in around["helped"]]
        notes += [
            f"a better base for {model}: repack() makes use of it" for model in around["left"]
        ]
        return cls(
            model=node["model"],
            id=node["id"],
            already_there=report["already_there"],
            added_bytes=report["added_bytes"],
            nbytes=report["deduplicated_bytes"] + report["delta_bytes"] + report["raw_bytes"],
            deduplicated=report["deduplicated"],
            delta=report["delta"],
            raw=report["raw"],
            notes=notes,
            lossy=report["lossy"],
        )


def _noted(of: str, note: str) -> str:
    return f"{of}: {note}" if of else note


@dataclasses.dataclass(frozen=True, slots=True)
class Distance:
    """How far the values of two tensors are from each other."""

    elements: int
    #: Elements that differ.
    changed: int
    #: Euclidean norm of the difference, and of the first tensor.
    l2: float
    norm: float
    #: The largest difference of an element.
    max: float
    #: Cosine of the angle between them.
    cosine: float

    @property
    def share(self) -> float:
        """The share of the elements that differ."""
        return self.changed / self.elements if self.elements else 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class TensorChange:
    """A tensor of a layer that is not the same in two models."""

    #: Its name, type, shape and bytes in each model; none where it is not there.
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    #: How far the values are from each other, where they can be compared.
    distance: Distance | None


@dataclasses.dataclass(frozen=True, slots=True)
class LayerChange:
    """A layer that is not the same in two models."""

    #: ``"added"``, ``"removed"`` or ``"changed"``.
    change: str
    before: str | None
    after: str | None
    kind: str
    tensors: list[TensorChange]

    @property
    def name(self) -> str:
        """Its name, in the first model where it has one there."""
        return self.before or self.after or ""


@dataclasses.dataclass(frozen=True, slots=True)
class Diff:
    """How two models differ. A sequence of the layers that are not the same.

    ``structural`` and ``contextual`` are MGit's divergences, from 0 (the same) to 1 (nothing in
    common), by the layers' shapes alone and by their values as well.
    """

    a: str
    b: str
    structural: float
    contextual: float
    #: Layers that are the same.
    unchanged: int
    layers: list[LayerChange]
    #: Files beside the weights that differ: path, change, bytes before and after.
    files: list[dict[str, Any]]

    @classmethod
    def of(cls, a: str, b: str, diff: dict[str, Any], files: list[dict[str, Any]]) -> Diff:
        """Of the engine's report."""
        layers = [
            LayerChange(
                change=layer["change"],
                before=layer["from"],
                after=layer["to"],
                kind=layer["kind"],
                tensors=[_tensor_change(tensor) for tensor in layer["tensors"]],
            )
            for layer in diff["layers"]
        ]
        changed = [file for file in files if file["change"] is not None]
        return cls(
            a, b, diff["structural"], diff["contextual"], diff["unchanged_layers"], layers, changed
        )

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[LayerChange]:
        return iter(self.layers)

    def __bool__(self) -> bool:
        return bool(self.layers or self.files)

    def count(self, change: str) -> int:
        """How many layers were ``"added"``, ``"removed"`` or ``"changed"``."""
        return sum(layer.change == change for layer in self.layers)

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{self.count(change)} {change}" for change in ("changed", "added", "removed")
        )
        return (
            f"<mgit_store.Diff {self.a} -> {self.b}: {counts}, {self.unchanged} unchanged layers>"
        )

    def _repr_html_(self) -> str:
        return _html.diff(self)


def _tensor_change(tensor: dict[str, Any]) -> TensorChange:
    distance = tensor.get("distance")
    if distance is not None:
        known = {field.name for field in dataclasses.fields(Distance)}
        distance = Distance(**{key: value for key, value in distance.items() if key in known})
    return TensorChange(tensor.get("from"), tensor.get("to"), distance)


@dataclasses.dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification found."""

    models: int
    records: int
    nbytes: int
    #: What is not as it must be: dicts of ``subject``, ``message``, ``models``.
    findings: list[dict[str, Any]]
    whole_models: list[str]
    hurt_models: list[str]

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @classmethod
    def of(cls, report: dict[str, Any]) -> VerifyReport:
        """Of the engine's report."""
        return cls(
            report["models"],
            report["records"],
            report["bytes"],
            report["findings"],
            report["whole_models"],
            report["hurt_models"],
        )
