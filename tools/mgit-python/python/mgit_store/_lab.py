"""What a store does with functions: tests, bisection, creation, updates, merges."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from . import _engine
from ._errors import IncompleteError, make
from ._functions import (
    CreationFunction,
    TestFunction,
    creation_adapter,
    name_of,
    test_adapter,
    truth,
    version_of,
)
from ._model import Model
from ._reports import Added
from ._snapshot import ModelLike, Reader, reference
from ._testing import Bisection, TestReport, selector
from ._transaction import How, Parents, Profile, parents_of

if TYPE_CHECKING:
    from ._store import Store

_Test = TypeVar("_Test", bound=TestFunction)
_Creation = TypeVar("_Creation", bound=CreationFunction)

#: How conflicts of a merge are settled.
Resolution = Literal[
    "ours",
    "theirs",
    "average",
    "slerp",
    "task-arithmetic",
    "ties",
    "dare",
]


@dataclasses.dataclass(frozen=True, slots=True)
class UpdateStep:
    """A model that an update makes anew."""

    #: ``name@version`` of the present version.
    model: str
    #: What takes the places of its parents.
    parents: list[str]
    #: ``"to-do"``, ``"impossible"`` or ``"made"`` (by an earlier run).
    state: str
    #: The function, the reason, or the model that was made.
    detail: str


@dataclasses.dataclass(frozen=True, slots=True)
class UpdateReport:
    """What an update did."""

    steps: list[UpdateStep]
    #: Present versions, with the models that were made of them.
    made: dict[str, str]
    #: Present versions whose new ones could not be made, with the exceptions.
    failed: dict[str, Exception]
    #: Present versions that were not tried, because one that they need could not be made.
    blocked: list[str]
    #: Why it ended before its end, if it did.
    stopped: str | None
    is_complete: bool


@dataclasses.dataclass(frozen=True, slots=True)
class MergeReport:
    """What a merge did."""

    #: ``name@version`` of the merged model.
    model: str
    added: Added
    #: What was planned: the layers by class, and how conflicts were settled.
    plan: dict[str, Any]
    #: Names of the tests of both sides that it had to pass, and did.
    tests: list[str]
    not_kept: str | None


class Lab(Reader):
    """What a store does with functions. A part of :class:`Store`."""

    __slots__ = ("_creations", "_tests")

    _engine: _engine.Store

    def __init__(self) -> None:
        self._tests: dict[str, tuple[TestFunction, str, bool | None]] = {}
        self._creations: dict[str, tuple[CreationFunction, str]] = {}

    def _writer(self) -> Store:
        raise NotImplementedError

    @property
    def _is_writable(self) -> bool:
        raise NotImplementedError

    # Tests.

    def test(
        self,
        name: str | None = None,
        *,
        on: str = "all",
        bounds: Sequence[str] = (),
        higher_is_better: bool | None = None,
        version: str | None = None,
    ) -> Callable[[_Test], _Test]:
        """Registers a function as a test of models: a decorator.

        The function is told a model, and returns a metric, metrics by name, or nothing; an
        ``AssertionError``, or False, fails the model. What it finds is kept in the store by the
        model's content and the test's version. Another program registers its function of the same
        name before it runs the test.

        Args:
            name: the test's name; without one, the function's.
            on: which models it is for, those that come later among them: ``"all"``,
                ``"kind:bert"``, a glob such as ``"bert/*"``, ``"regex:..."``.
            bounds: what its metrics must be: ``"accuracy>=0.9"``, ``"loss<=parent*1.02"``.
            higher_is_better: whether more of its metrics is better; none where it is neither.
            version: what changes when its data do; without one, the hash of its source.

        >>> @store.test("mean", on="kind:bert", bounds=["mean<=2"])
        ... def mean(model):
        ...     return float(model["w"].mean())
        >>> store.run_tests().is_passed
        True
        """

        def register(function: _Test) -> _Test:
            known = name or name_of(function)
            definition = {
                "run": {"code": known},
                "on": selector(on),
                "bounds": list(bounds),
            }
            self.set_test(known, definition)
            self.use_test(known, function, higher_is_better=higher_is_better, version=version)
            return function

        return register

    def use_test(
        self,
        name: str,
        function: TestFunction,
        *,
        higher_is_better: bool | None = None,
        version: str | None = None,
    ) -> None:
        """Says which function runs a test that the store has already, and registers nothing."""
        self._tests[name] = (function, version_of(function, version), higher_is_better)

    def set_test(self, name: str, definition: Mapping[str, Any]) -> None:
        """Registers a test by its definition, in the place of one of its name: a dict of ``run``
        (``{"builtin": "finite"}``, ``{"command": "python3 eval.py {model}"}``, ``{"code": name}``),
        ``on`` and ``bounds``."""
        with self._writer().write() as tx:
            tx._engine.set_test(name, {"on": {"all": True}, "bounds": [], **definition})

    def remove_test(self, name: str) -> None:
        """Removes a registered test.

        Raises:
            NotFoundError: there is none of this name.
        """
        with self._writer().write() as tx:
            if not tx._engine.remove_test(name):
                raise make("no-such-test", f"no test {name!r} in the store")

    def run_tests(
        self,
        models: ModelLike | Sequence[ModelLike] | None = None,
        tests: str | Sequence[str] | None = None,
        *,
        jobs: int = 0,
        fresh: bool = False,
        known_only: bool = False,
        trust: bool = False,
    ) -> TestReport:
        """Runs registered tests: on each model those that are for it. What is known is not run
        again. Functions of Python run in this thread, one at a time.

        Args:
            models: only these.
            tests: only these.
            jobs: how many commands run at a time; 0 for one a core.
            fresh: run also what is known.
            known_only: run nothing.
            trust: run commands of the store that this user has not trusted yet. Read them first.
        """
        one = [models] if isinstance(models, str | Model) else models
        some = [tests] if isinstance(tests, str) else tests
        report = _engine.run_tests(
            self._engine,
            None if one is None else [reference(model) for model in one],
            None if some is None else list(some),
            [],
            self._running(jobs=jobs, fresh=fresh, known_only=known_only, trust=trust),
            self._is_writable,
        )
        return TestReport.of(report)

    def _running(
        self, *, jobs: int = 0, fresh: bool = False, known_only: bool = False, trust: bool = False
    ) -> dict[str, Any]:
        code = {
            name: (test_adapter(name, function, higher), version)
            for name, (function, version, higher) in self._tests.items()
        }
        return {
            "jobs": jobs,
            "fresh": fresh,
            "known_only": known_only,
            "trust": trust,
            "code": code,
        }

    def bisect(
        self,
        good: ModelLike,
        bad: ModelLike,
        test: str | TestFunction,
        *,
        trust: bool = False,
    ) -> Bisection:
        """Finds where a line of versions or descendants turns from good to bad, with as few tests
        as it takes.

        Args:
            good: a model that passes.
            bad: one behind it that fails.
            test: the name of a registered test, or a function that is told a model and returns True
                or False; nothing is as True, an AssertionError as False. A model of which it raises
                another exception is left out, and is in ``untold`` of what is returned.

        Raises:
            NotFoundError: no way leads from one to the other.
            InvalidError: an end is not what it was said to be.

        >>> store.bisect("base", "tuned", lambda model: bool(model["w"].max() > 4)).first_failing
        'tuned@1'
        """
        snapshot = self._read()
        found, by = _engine.path_between(snapshot, reference(good), reference(bad))
        path = [Model(model) for model in found]
        unsure: dict[str, Exception] = {}

        def probe(place: int) -> bool | None:
            if isinstance(test, str):
                return self._passes(path[place], test, trust)
            try:
                found = test(path[place])
            except AssertionError:
                return False
            except Exception as error:
                unsure[path[place].full_name] = error
                return None
            verdict = True if found is None else truth(found)
            if verdict is None:
                kind = type(found).__name__
                raise TypeError(f"a test of a bisection returns True, False or None, not {kind}")
            return verdict

        last, first, looked_at, contradictions = _engine.bisect(len(path), probe)
        names = [model.full_name for model in path]
        return Bisection(
            names[first],
            names[last],
            first == last + 1,
            [(names[place], passed) for place, passed in looked_at],
            names,
            by,
            [names[place] for place in contradictions],
            unsure,
        )

    def _passes(self, model: Model, test: str, trust: bool) -> bool | None:
        definition = self._read()
        known = dict(definition.tests()).get(test)
        if known is None:
            raise make("no-such-test", f"no test {test!r} in the store")
        # The models of the line are tested whomever the test is for.
        given = [(test, {**known, "on": {"all": True}})]
        report = _engine.run_tests(
            self._engine, [model.id], None, given, self._running(trust=trust), self._is_writable
        )
        status = TestReport.of(report).results[0].status
        return {"passed": True, "failed": False}.get(status)

    # Making models.

    def function(
        self, name: str | None = None, *, how: How = "other"
    ) -> Callable[[_Creation], _Creation]:
        """Makes a function known by a name, so that updates find it: a decorator.

        The function is told :class:`Inputs` and returns a state dict, or the path of a file or
        folder. Where it returns tensors that its first parent has, the model gets that parent's
        other files.

        >>> @store.function("halve")
        ... def halve(inputs):
        ...     return {name: values / 2 for name, values in inputs.parent.items()}
        >>> store.make("half", "halve", parents="tuned").model
        'half@1'
        """

        def register(function: _Creation) -> _Creation:
            self._creations[name or name_of(function)] = (function, how)
            return function

        return register

    def _known(self, trust: bool) -> dict[str, Any]:
        code = [
            (name, creation_adapter(function), how)
            for name, (function, how) in self._creations.items()
        ]
        return {"code": code, "trust": trust}

    def make(
        self,
        name: str,
        function: str | CreationFunction,
        parents: Parents,
        *,
        how: How | None = None,
        old: ModelLike | None = None,
        parameters: Mapping[str, Any] | None = None,
        command: str | None = None,
        seed: int | None = None,
        kind: str | None = None,
        profile: Profile = "balanced",
        trust: bool = False,
    ) -> Added:
        """Makes a model by a function and commits it with its recipe, so that it can be made again
        and updated.

        Args:
            name: the model's name.
            function: a function, or the name of one: of :meth:`function`, or built in: ``"cast"``,
                ``"prune"``, ``"quantise"``, ``"dequantise"``, ``"average"``, ``"lora-merge"``,
                ``"rebase"``, ``"linear"``, ``"slerp"``, ``"task-arithmetic"``, ``"ties"``,
                ``"dare"``, ``"command"``.
            parents: the models that it is made of.
            how: how it is derived from them; without it, what the function says.
            old: the version that is to be replaced, for functions that look at it.
            parameters: what the function is told, as JSON can hold it.
            command: the line of ``"command"``.
            seed: for what is random; without one, a random one. Kept either way.

        Raises:
            FunctionError: the function raised an exception, which is the ``__cause__``. Nothing was
                added.
        """
        if not isinstance(function, str):
            called = name_of(function)
            self._creations[called] = (function, how or "other")
            function = called
        making = {
            "name": name,
            "function": function,
            "parents": parents_of(parents, how),
            "old": None if old is None else reference(old),
            "parameters": dict(parameters or {}),
            "command": command,
            "seed": seed,
            "kind": kind,
            "profile": profile,
        }
        self._writer()
        return Added.of(_engine.make(self._engine, making, self._known(trust)))

    def remake(self, model: ModelLike, *, trust: bool = False) -> list[str]:
        """Makes a model again by its recipe, and says how what is made differs from what is stored:
        nothing where it is the same. Nothing is added.

        Raises:
            NotFoundError: the model has no recipe.
        """
        return _engine.remake(self[model]._engine, self._known(trust))

    def update(
        self,
        old: ModelLike,
        new: ModelLike,
        *,
        method: str = "auto",
        jobs: int = 1,
        resume: bool = False,
        all_versions: bool = False,
        skip: Sequence[str] = (),
        stop: Sequence[str] = (),
        profile: Profile = "balanced",
        trust: bool = False,
        check: bool = True,
    ) -> UpdateReport:
        """Makes new versions of all that descends from ``old``, now that there is ``new``.

        Each model is committed when it is made. Functions of Python run in this thread.

        Args:
            method: ``"auto"`` (by the recipe, else by ``"rebase"``), ``"rebase"``, ``"recorded"``,
                or the name of a function.
            jobs: how many functions that are not of Python run at a time.
            resume: go on where an earlier run of the same update ended.
            all_versions: also versions that have a newer one.
            skip: globs of names that are left alone.
            stop: globs of names behind which nothing is made.
            check: raise where not all was made.

        Raises:
            IncompleteError: with ``check``, not all was made; its ``report`` says what was.
        """
        self._writer()
        updating = self._updating(old, new, method, jobs, resume, all_versions, skip, stop, profile)
        outcome, raised = _engine.update(self._engine, updating, self._known(trust))
        # A function is told the name of what it makes.
        causes = {called.split("@")[0]: error for called, error in raised}
        failed: dict[str, Exception] = {}
        for failure in outcome["failed"]:
            error = make(failure["code"], failure["reason"])
            error.__cause__ = causes.get(failure["of"].split("@")[0])
            failed[failure["of"]] = error
        report = UpdateReport(
            steps=[UpdateStep(**step) for step in outcome["steps"]],
            made={made["of"]: made["model"] for made in outcome["made"]},
            failed=failed,
            blocked=outcome["blocked"],
            stopped=outcome["stopped"],
            is_complete=outcome["is_complete"],
        )
        if check and not report.is_complete:
            raise _incomplete(report)
        return report

    def update_plan(
        self,
        old: ModelLike,
        new: ModelLike,
        *,
        method: str = "auto",
        resume: bool = False,
        all_versions: bool = False,
        skip: Sequence[str] = (),
        stop: Sequence[str] = (),
    ) -> list[UpdateStep]:
        """What :meth:`update` would make, parents first. Nothing is run."""
        updating = self._updating(old, new, method, 1, resume, all_versions, skip, stop, "balanced")
        return [UpdateStep(**step) for step in _engine.update_plan(self._engine, updating)]

    def _updating(
        self,
        old: ModelLike,
        new: ModelLike,
        method: str,
        jobs: int,
        resume: bool,
        all_versions: bool,
        skip: Sequence[str],
        stop: Sequence[str],
        profile: str,
    ) -> dict[str, Any]:
        return {
            "old": reference(old),
            "new": reference(new),
            "method": method,
            "jobs": jobs,
            "resume": resume,
            "all_versions": all_versions,
            "skip": list(skip),
            "stop": list(stop),
            "profile": profile,
        }

    # Merging.

    def merge(
        self,
        ours: ModelLike,
        theirs: ModelLike,
        name: str,
        *,
        base: ModelLike | None = None,
        on_conflict: Resolution | None = None,
        take: Mapping[str, Resolution] | None = None,
        blend: Mapping[str, Any] | None = None,
        seed: int = 0,
        profile: Profile = "balanced",
        trust: bool = False,
    ) -> MergeReport:
        """Merges two models that have a common ancestor, as a model of its own with both as
        parents.

        What one side has changed is taken from it. Where layers of both sides meet, the tests of
        both must pass.

        Args:
            base: what both are compared with; without it, their nearest common ancestor.
            on_conflict: what is done with layers that both have changed: take one side's, or mix
                both.
            take: the same for the layers and tensors of some names: globs, and what is done; the
                first that fits counts. ``"metadata:KEY"`` settles a key of the metadata.
            blend: what the mixing strategy is given, such as ``{"density": 0.5}``.
            seed: for what is random.

        Raises:
            ConflictError: a conflict is not settled; the message names the layers.
            TestFailedError: the merged model does not pass.
            NotFoundError: they have no common ancestor.
        """
        self._writer()
        merging = self._merging(ours, theirs, name, base, on_conflict, take, blend, seed, profile)
        merged = _engine.merge(self._engine, merging, self._running(trust=trust))
        tests = [result["test"] for result in merged["tests"]]
        added = Added.of(merged["report"])
        return MergeReport(added.model, added, merged["plan"], tests, merged["not_kept"])

    def merge_plan(
        self,
        ours: ModelLike,
        theirs: ModelLike,
        *,
        base: ModelLike | None = None,
        on_conflict: Resolution | None = None,
        take: Mapping[str, Resolution] | None = None,
    ) -> dict[str, Any]:
        """What :meth:`merge` would do: layers by class, conflicts that are not settled."""
        merging = self._merging(
            ours, theirs, "merged", base, on_conflict, take, None, 0, "balanced"
        )
        return _engine.merge_plan(self._engine, merging)

    def _merging(
        self,
        ours: ModelLike,
        theirs: ModelLike,
        name: str,
        base: ModelLike | None,
        on_conflict: str | None,
        take: Mapping[str, Any] | None,
        blend: Mapping[str, Any] | None,
        seed: int,
        profile: str,
    ) -> dict[str, Any]:
        return {
            "ours": reference(ours),
            "theirs": reference(theirs),
            "name": name,
            "base": None if base is None else reference(base),
            "on_conflict": on_conflict,
            "takes": list((take or {}).items()),
            "blend": dict(blend or {}),
            "seed": seed,
            "profile": profile,
        }


def _incomplete(report: UpdateReport) -> IncompleteError:
    reasons = [f"{model}: {error}" for model, error in report.failed.items()]
    reasons += [f"{model}: not tried" for model in report.blocked]
    reasons += [
        f"{step.model}: {step.detail}" for step in report.steps if step.state == "impossible"
    ]
    if report.stopped:
        reasons.append(report.stopped)
    text = f"{len(report.made)} of {len(report.steps)} models were made; " + "; ".join(reasons)
    error = IncompleteError(text, report=report)
    causes = [failed.__cause__ or failed for failed in report.failed.values()]
    error.__cause__ = causes[0] if causes else None
    return error
