"""Models that are found in folders and files, with where they come from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class FoundModel:
    """A model that was found."""

    path: Path
    #: ``name@version`` as it is in the store, or, of a plan, will be.
    model: str
    #: Whether the store had it already.
    already_there: bool
    #: Whether it was added.
    added: bool
    #: The model that it descends from, where that is sure enough, and how.
    parent: str | None
    how: str | None
    #: How sure that is, from 0 to 1, and what speaks for it.
    confidence: float | None
    reasons: list[str]
    #: Relatives of which nothing says who came first.
    kin: list[str]
    #: What is to be said of its files.
    notes: list[str]


@dataclasses.dataclass(frozen=True, slots=True)
class AdoptionReport:
    """What was found, and what became of it."""

    models: list[FoundModel]
    #: Files that are no part of a model, and why.
    left_out: dict[str, str]
    #: What could not be taken, and why.
    failed: dict[str, str]
    #: Globs of ``exclude`` that fitted nothing.
    unused_globs: list[str]

    @classmethod
    def of(cls, report: dict[str, Any]) -> AdoptionReport:
        """Of the engine's report."""
        plan, adopted = report["plan"], report.get("adopted")
        planned = plan["models"]
        names = [_name_of(model) for model in planned]
        added: set[str] = set()
        if adopted is not None:
            for place, node in adopted["models"]:
                names[place] = node["model"]
            added = {done["report"]["node"]["model"] for done in adopted["added"]}
        failed = plan["failed"] if adopted is None else plan["failed"] + adopted["failed"]
        return cls(
            models=[
                _found(model, name, name in added, names)
                for model, name in zip(planned, names, strict=True)
            ],
            left_out={left["path"]: left["reason"] for left in plan["left_out"]},
            failed={failure["path"]: failure["message"] for failure in failed},
            unused_globs=report["unused_globs"],
        )


def _name_of(model: dict[str, Any]) -> str:
    known = model["known"]
    if isinstance(known, dict) and "stored" in known:
        return str(known["stored"]["model"])
    return f"{model['name']}@{model['version']}"


def _found(model: dict[str, Any], name: str, added: bool, names: list[str]) -> FoundModel:
    parent, how, kinship = None, None, None
    nearest = model["parentage"]["nearest"]
    if model["parent"] is not None:
        how = model["parent"]["how"]
        place = model["parent"]["place"]
        parent = names[place["arrival"]] if "arrival" in place else nearest["name"]
        if nearest is not None:
            kinship = nearest["kinship"]
    elif model["stored_parent"] is not None:
        parent, how = model["stored_parent"]["name"], model["stored_parent"]["how"]
    return FoundModel(
        path=Path(model["path"]),
        model=name,
        already_there=model["known"] != "no",
        added=added,
        parent=parent,
        how=how,
        confidence=None if kinship is None else kinship["confidence"],
        reasons=[] if kinship is None else [reason["text"] for reason in kinship["reasons"]],
        kin=[names[place] for place in model["kin"]],
        notes=[f"{note['file']}: {note['note']}" for note in model["notes"]],
    )
