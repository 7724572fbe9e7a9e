"""What a notebook shows. Everything that comes from a store is escaped."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._model import Model
    from ._reports import Diff
    from ._snapshot import Snapshot

_ROWS_MAX = 60


def size(count: int) -> str:
    """A number of bytes, for people.

    >>> size(999), size(2 << 20)
    ('999 bytes', '2.0 MiB')
    """
    if count < 1024:
        return f"{count} byte" + ("" if count == 1 else "s")
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"


def table(title: str, heads: list[str], rows: list[list[str]]) -> str:
    """A table of texts; what is too long for a notebook is counted."""
    more = len(rows) - _ROWS_MAX
    rows = rows[:_ROWS_MAX]
    if more > 0:
        rows.append([f"... and {more} more"] + [""] * (len(heads) - 1))
    cells = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    head = "".join(f"<th>{html.escape(head)}</th>" for head in heads)
    return (
        f"<div><strong>{html.escape(title)}</strong>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table></div>"
    )


def model(model: Model) -> str:
    """A model: its tensors and how they are stored."""
    rows = []
    for tensor in model.tensors():
        stored = tensor.stored_as()
        how = "+".join(stored["encodings"]) or "raw"
        shape = " x ".join(map(str, tensor.shape))
        rows.append(
            [tensor.name, tensor.dtype, shape, size(tensor.nbytes), size(stored["stored_len"]), how]
        )
    kind = f" ({model.kind})" if model.kind else ""
    title = f"{model.full_name}{kind}: {size(model.nbytes)}"
    return table(title, ["tensor", "type", "shape", "size", "stored", "as"], rows)


def snapshot(snapshot: Snapshot, title: str) -> str:
    """A store: its models as a forest, each below the first of its parents."""
    models = snapshot.models()
    parents = {model.id: snapshot.parents(model) for model in models[: _ROWS_MAX * 4]}
    below: dict[str | None, list[Model]] = {}
    for model in models:
        first = next(iter(parents.get(model.id, [])), None)
        previous = None if first is not None else snapshot.previous(model)
        above = first or previous
        below.setdefault(above.id if above is not None else None, []).append(model)
    rows: list[list[str]] = []
    waiting = [(model, 0) for model in reversed(below.get(None, []))]
    while waiting:
        model, depth = waiting.pop()
        names = ", ".join(parent.full_name for parent in parents.get(model.id, []))
        mark = "\u00a0\u00a0" * depth + ("\u2514 " if depth else "")
        rows.append([mark + model.full_name, model.kind, names, size(model.nbytes)])
        waiting += [(child, depth + 1) for child in reversed(below.get(model.id, []))]
    return table(title, ["model", "kind", "parents", "size"], rows)


def diff(diff: Diff) -> str:
    """How two models differ: a layer a row."""
    rows = []
    for layer in diff.layers:
        far = [tensor.distance for tensor in layer.tensors if tensor.distance is not None]
        changed = sum(distance.changed for distance in far)
        elements = sum(distance.elements for distance in far)
        share = f"{changed / elements:.1%}" if elements else ""
        most = f"{max(distance.max for distance in far):.3g}" if far else ""
        rows.append([layer.name, layer.kind, layer.change, share, most])
    for file in diff.files:
        rows.append([file["path"], "file", str(file["change"]), "", ""])
    title = f"{diff.a} -> {diff.b}: {diff.unchanged} layers unchanged"
    return table(title, ["layer", "kind", "change", "elements changed", "largest difference"], rows)
