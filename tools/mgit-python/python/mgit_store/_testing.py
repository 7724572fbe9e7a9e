"""Tests of models: what is registered, what a run found, and bisection."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from ._errors import TestFailedError


@dataclasses.dataclass(frozen=True, slots=True)
class TestInfo:
    """A test that is registered in a store."""

    __test__ = False  # what pytest would take it for

    name: str
    #: ``"builtin"``, ``"command"`` or ``"code"``, and which.
    kind: str
    runs: str
    #: Which models it is for, such as ``"kind:bert"``, ``"glob:bert/*"`` or ``"all"``.
    on: str
    bounds: list[str]

    @classmethod
    def of(cls, name: str, test: dict[str, Any]) -> TestInfo:
        """Of the definition in the store."""
        kind, runs = next(iter(test["run"].items()), ("code", ""))
        selector, value = next(iter(test["on"].items()), ("all", True))
        on = "all" if selector == "all" else f"{selector}:{value}"
        return cls(name, kind, str(runs), on, list(test.get("bounds", ())))


def selector(on: str) -> dict[str, Any]:
    """A selector as it is registered: ``"all"``, ``"kind:bert"``, ``"glob:bert/*"``,
    ``"regex:^bert"``, ``"node:<id>"``; what has no such word before it is a glob."""
    if on in ("", "all", "*"):
        return {"all": True}
    word, colon, rest = on.partition(":")
    if colon and word in ("kind", "glob", "regex", "node"):
        return {word: rest}
    return {"glob": on}


@dataclasses.dataclass(frozen=True, slots=True)
class TestResult:
    """How a test ended on a model."""

    __test__ = False

    test: str
    #: ``name@version``.
    model: str
    #: ``"passed"``, ``"failed"``, ``"error"`` (it could not be told) or ``"not-run"``.
    status: str
    metrics: dict[str, float]
    #: Why it did not pass.
    reasons: list[str]
    #: Whether it was known before, so that nothing was run.
    was_known: bool
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the model passed."""
        return self.status == "passed"

    @classmethod
    def of(cls, result: dict[str, Any]) -> TestResult:
        """Of the engine's report."""
        finding = result["finding"]
        metrics = {metric["metric"]: metric["value"] for metric in finding["metrics"]}
        return cls(
            result["test"],
            result["node"]["model"],
            result["status"],
            metrics,
            result["reasons"],
            result["was_known"],
            finding["seconds"],
        )


@dataclasses.dataclass(frozen=True, slots=True)
class TestReport:
    """What a run of tests found: a sequence of results."""

    __test__ = False

    results: list[TestResult]
    #: Why what was found is not kept in the store, if it is not.
    not_kept: str | None

    def __iter__(self) -> Iterator[TestResult]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __bool__(self) -> bool:
        return True

    @property
    def is_passed(self) -> bool:
        """Whether everything that was asked for passed."""
        return all(result.passed for result in self.results)

    @property
    def failures(self) -> list[TestResult]:
        """What did not pass."""
        return [result for result in self.results if not result.passed]

    def check(self) -> TestReport:
        """Itself, where everything passed.

        Raises:
            TestFailedError: something did not.
        """
        if not self.is_passed:
            text = "; ".join(
                f"{result.test} on {result.model}: {', '.join(result.reasons) or result.status}"
                for result in self.failures
            )
            raise TestFailedError(text, "test-failed")
        return self

    @classmethod
    def of(cls, report: dict[str, Any]) -> TestReport:
        """Of the engine's report."""
        return cls([TestResult.of(result) for result in report["results"]], report["not_kept"])


@dataclasses.dataclass(frozen=True, slots=True)
class Bisection:
    """Where a line of models turns from good to bad."""

    #: ``name@version`` of the first that fails, and of the last that passes before it.
    first_failing: str
    last_passing: str
    #: Whether nothing between them is untold.
    is_exact: bool
    #: What was looked at, in order, and whether it passed; none where that could not be told.
    looked_at: list[tuple[str, bool | None]]
    #: All models of the line.
    path: list[str]
    #: The edges that the line follows: ``"version"``, ``"provenance"`` or ``"both"``.
    by: str
    #: Models that were looked at and say otherwise.
    contradictions: list[str]
    #: Models of which the function raised an exception, with it.
    untold: dict[str, Exception]
