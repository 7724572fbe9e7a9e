"""Tests, bisection, creation functions, updates, merges and gates as callables of Python."""

from __future__ import annotations

import threading
from typing import Any

import mgit_store as mgit
import numpy as np
import pytest

RNG = np.random.default_rng(5)
WEIGHTS = RNG.standard_normal((64, 64)).astype(np.float32)


def state(weights: Any) -> dict[str, Any]:
    return {"a.weight": weights, "b.weight": WEIGHTS * 2}


def noise(seed: int, scale: float = 1e-3) -> Any:
    return np.random.default_rng(seed).normal(0, scale, WEIGHTS.shape).astype(np.float32)


@pytest.fixture
def family(empty: mgit.Store) -> mgit.Store:
    """A base with a file beside it, and a function that tunes."""
    empty.add("base", state(WEIGHTS), files={"config.json": {"model_type": "toy"}})

    @empty.function("tune", how="finetune")
    def tune(inputs: mgit.Inputs) -> dict[str, Any]:
        return {name: values + noise(inputs.seed) for name, values in inputs.parent.items()}

    return empty


# Tests.


def test_what_a_test_returns(family: mgit.Store) -> None:
    """Numbers and dicts are metrics, True and nothing pass, False and an assertion fail, any other
    exception is an error that is not kept."""
    returned: dict[str, Any] = {
        "number": 0.25,
        "numpy": np.float32(0.5),
        "several": {"x": 1, "y": 2.5},
        "true": True,
        "numpy true": np.True_,
        "nothing": None,
        "false": False,
        "numpy false": np.bool_(False),
    }
    status = {}
    for at, (what, value) in enumerate(returned.items()):
        family.test(f"t{at}", version="1")(lambda model, value=value: value)
        [result] = family.run_tests(tests=f"t{at}")
        status[what] = result.status
    assert status == {
        "number": "passed",
        "numpy": "passed",
        "several": "passed",
        "true": "passed",
        "numpy true": "passed",
        "nothing": "passed",
        "false": "failed",
        "numpy false": "failed",
    }
    assert family.run_tests(tests="t2").results[0].metrics == {"x": 1.0, "y": 2.5}

    runs = []

    @family.test("asserts")
    def asserts(model: mgit.Model) -> None:
        runs.append(model.full_name)
        assert model["a.weight"].max() < 0, "too large"

    @family.test("raises")
    def raises(model: mgit.Model) -> None:
        runs.append(model.full_name)
        raise RuntimeError("no memory")

    for known in (False, True):
        [result] = family.run_tests(tests="asserts")
        assert (result.status, result.was_known) == ("failed", known)
        assert "too large" in result.reasons[0]
        [result] = family.run_tests(tests="raises")
        assert (result.status, result.was_known) == ("error", False)
        assert result.reasons == ["RuntimeError: no memory"]
    assert len(runs) == 3
    with pytest.raises(mgit.TestFailedError, match="no memory"):
        family.run_tests(tests="raises").check()


def test_results_are_kept_by_content_and_version(family: mgit.Store) -> None:
    """An equal model is not tested again; another version of the test is."""
    runs = []

    def count(model: mgit.Model) -> float:
        runs.append(model.full_name)
        return 1.0

    family.test("count", version="1", bounds=["count>=1"])(count)
    assert family.run_tests().is_passed and len(runs) == 1
    family.add("same", state(WEIGHTS), files={"config.json": {"model_type": "toy"}})
    assert family.run_tests().is_passed and len(runs) == 1
    family.use_test("count", count, version="2")
    assert family.run_tests().is_passed and len(runs) == 2
    with mgit.open(family.path) as other:
        report = other.run_tests(known_only=True)
        assert [result.status for result in report] == ["not-run", "not-run"]
        other.use_test("count", count, version="2")
        assert other.run_tests(known_only=True).is_passed and len(runs) == 2


def test_bounds_and_selectors(family: mgit.Store) -> None:
    """A bound against the parent, and tests for some models only."""
    family.make("child", "tune", "base", seed=1)

    @family.test("largest", on="glob:child*", bounds=["largest<=parent"], higher_is_better=False)
    def largest(model: mgit.Model) -> float:
        return float(model["a.weight"].max())

    [result] = family.run_tests()
    want = family["child"]["a.weight"].max() <= family["base"]["a.weight"].max()
    assert result.model == "child@1" and result.passed == want
    assert [test.on for test in family.tests()] == ["glob:child*"]
    for on in ("kind:", "regex:[", "node:zz"):
        with pytest.raises(mgit.Error):
            family.test("bad", on=on, bounds=["no bound"])(largest)
    with pytest.raises(mgit.NotFoundError):
        family.remove_test("no")
    family.remove_test("largest")
    assert family.tests() == [] and len(family.run_tests()) == 0


def test_functions_run_in_the_thread_that_called(family: mgit.Store) -> None:
    """Tests and creation functions see the thread, and with it the settings, of their caller."""
    seen = []

    def look(of: Any) -> Any:
        seen.append(threading.get_ident())
        return None if isinstance(of, mgit.Model) else {"w": WEIGHTS}

    family.test("look")(look)
    family.run_tests(jobs=4)
    family.make("made", look, "base")
    assert set(seen) == {threading.get_ident()} and len(seen) == 2


def test_a_test_may_use_the_store(family: mgit.Store) -> None:
    """Reading and writing inside a test are ordinary calls."""

    @family.test("inside")
    def inside(model: mgit.Model) -> bool:
        family.add("from a test".replace(" ", "-"), {"w": np.ones(2)})
        return family.diff(model, model).structural == 0

    assert family.run_tests("base").is_passed and "from-a-test" in family


def test_an_exception_that_stops_the_program_stops_the_run(family: mgit.Store) -> None:
    """KeyboardInterrupt and SystemExit come out, and nothing is added."""
    for stop in (KeyboardInterrupt, SystemExit):

        def raising(_: Any, stop: type[BaseException] = stop) -> Any:
            raise stop

        family.test("stops")(raising)
        with pytest.raises(stop):
            family.run_tests()
        with pytest.raises(stop):
            family.make("made", raising, "base")
    assert len(family) == 1 and family.verify().is_clean


# Bisection.


def test_bisection(empty: mgit.Store) -> None:
    """The first version that fails, by a function or a registered test, in few looks."""
    for at in range(17):
        empty.add("v", {"w": np.full(3, at, np.float32)})
    for test in (
        lambda model: model["w"][0] < 9,  # numpy's bool
        lambda model: bool(model["w"][0] < 9),
    ):
        found = empty.bisect("v@1", "v@17", test)
        assert (found.first_failing, found.last_passing) == ("v@10", "v@9")
        assert found.is_exact and len(found.looked_at) <= 7 and not found.untold

    @empty.test("below", on="kind:none")
    def below(model: mgit.Model) -> None:
        assert model["w"][0] < 9

    assert empty.bisect("v@1", "v@17", "below").first_failing == "v@10"

    def sometimes(model: mgit.Model) -> bool:
        if 7 <= model["w"][0] < 11:
            raise OSError("not there")
        return bool(model["w"][0] < 9)

    found = empty.bisect("v@1", "v@17", sometimes)
    assert not found.is_exact and found.untold
    assert all(isinstance(error, OSError) for error in found.untold.values())
    with pytest.raises(mgit.InvalidError, match="pass"):
        empty.bisect("v@12", "v@17", "below")
    with pytest.raises(TypeError, match="True, False or None"):
        empty.bisect("v@1", "v@17", lambda model: "yes")
    with pytest.raises(mgit.NotFoundError):
        empty.bisect("v@1", "v@17", "no-such-test")


# Making models.


def test_made_models_keep_their_files_and_recipe(family: mgit.Store) -> None:
    """What a function makes of a model has that model's files, and can be made again."""
    made = family.make("child", "tune", "base", seed=5, parameters={"steps": 3})
    child = family["child"]
    assert made.model == "child@1" and made.delta == 2
    assert [file.path for file in child.files()] == ["model.safetensors", "config.json"]
    assert np.array_equal(child["a.weight"], WEIGHTS + noise(5))
    assert family.edges("child") == [(family["base"], "finetune")]
    assert family.remake("child") == []
    assert family.make("cast", "cast", "base", parameters={"dtype": "bf16"}).model == "cast@1"
    for wrong in ({"function": "no-such"}, {"function": lambda inputs: None}):
        with pytest.raises(mgit.Error):
            family.make("x", parents="base", **wrong)


def test_a_function_that_returns_a_path(family: mgit.Store, folder: Any) -> None:
    """A folder that a function has written is taken whole."""

    def export(inputs: mgit.Inputs) -> Any:
        inputs.parent.export(folder / "made")
        (folder / "made" / "note.txt").write_text("new")
        return folder / "made"

    family.make("made", export, "base")
    assert "note.txt" in {file.path for file in family["made"].files()}


def test_a_failing_function_adds_nothing(family: mgit.Store) -> None:
    """Its exception is the cause of ours."""

    def fails(inputs: mgit.Inputs) -> Any:
        raise ArithmeticError("no luck")

    with pytest.raises(mgit.FunctionError) as caught:
        family.make("x", fails, "base")
    assert isinstance(caught.value.__cause__, ArithmeticError) and len(family) == 1


def test_an_update_makes_what_follows(family: mgit.Store) -> None:
    """Each descendant gets a new version, by its recipe; functions are told what they make anew."""
    family.make("child", "tune", "base", seed=5)
    family.make("grand", "tune", "child", seed=6)
    family.add("base", state(WEIGHTS + 1))
    plan = family.update_plan("base@1", "base@2")
    assert [(step.model, step.state) for step in plan] == [
        ("child@1", "to-do"),
        ("grand@1", "to-do"),
    ]
    report = family.update("base@1", "base@2")
    assert report.is_complete and report.made == {"child@1": "child@2", "grand@1": "grand@2"}
    assert np.array_equal(family["grand"]["a.weight"], (WEIGHTS + 1 + noise(5)) + noise(6))


def test_an_update_that_fails_says_what_is_done(family: mgit.Store) -> None:
    """What was made stays, the rest is named, and ``resume`` does it."""
    family.make("child", "tune", "base", seed=5)
    family.make("grand", "tune", "child", seed=6)
    family.add("base", state(WEIGHTS + 1))
    tune = family._creations["tune"]

    @family.function("tune", how="finetune")
    def once(inputs: mgit.Inputs) -> dict[str, Any]:
        if inputs.seed == 6:
            raise ArithmeticError("no luck")
        return {name: values + noise(inputs.seed) for name, values in inputs.parent.items()}

    with pytest.raises(mgit.IncompleteError, match="no luck") as caught:
        family.update("base@1", "base@2")
    report = caught.value.report
    assert report.made == {"child@1": "child@2"}
    [failed] = report.failed.values()
    assert isinstance(failed.__cause__, ArithmeticError)
    family._creations["tune"] = tune
    assert family.update("base@1", "base@2", resume=True).is_complete
    assert np.array_equal(family["grand"]["a.weight"], (WEIGHTS + 1 + noise(5)) + noise(6))
    assert len(family.versions("child")) == 2


# Merging.


def test_merging(family: mgit.Store) -> None:
    """Changes of both sides come together; a conflict is refused, or settled as is said."""
    family.add("l", {"a.weight": WEIGHTS + 1, "b.weight": WEIGHTS * 2}, parent="base")
    family.add("r", {"a.weight": WEIGHTS, "b.weight": WEIGHTS * 2 + 1}, parent="base")
    family.add("r2", {"a.weight": WEIGHTS + 3, "b.weight": WEIGHTS * 2 + 1}, parent="base")
    merged = family.merge("l", "r", "lr")
    assert merged.model == "lr@1" and {m.name for m in family.parents("lr")} == {"l", "r"}
    assert np.array_equal(family["lr"]["a.weight"], WEIGHTS + 1)
    assert np.array_equal(family["lr"]["b.weight"], WEIGHTS * 2 + 1)
    with pytest.raises(mgit.ConflictError):
        family.merge("l", "r2", "x")
    for at, how in enumerate(
        ("ours", "theirs", "average", "slerp", "task-arithmetic", "ties", "dare")
    ):
        assert family.merge("l", "r2", f"m{at}", on_conflict=how, seed=1).model == f"m{at}@1"
    assert np.array_equal(family["m0"]["a.weight"], WEIGHTS + 1)
    assert np.array_equal(family["m1"]["a.weight"], WEIGHTS + 3)
    assert np.allclose(family["m2"]["a.weight"], WEIGHTS + 2, atol=1e-6)
    taken = family.merge("l", "r2", "taken", take={"a*": "theirs"})
    assert np.array_equal(family[taken.model]["a.weight"], WEIGHTS + 3)
    plan = family.merge_plan("l", "r2")
    assert [layer["class"] for layer in plan["layers"] if layer["class"] == "conflict"]
    family.add("other", {"z": WEIGHTS})
    with pytest.raises(mgit.NotFoundError):
        family.merge("l", "other", "x")


# Loss.


def test_gates(family: mgit.Store) -> None:
    """A gate of Python is told the rounded values; what it refuses, or breaks on, is not added."""
    near = {"a.weight": WEIGHTS + noise(1, 1e-2), "b.weight": WEIGHTS * 2}
    told = []

    def gate(values: dict[str, Any]) -> bool:
        told.append(float(np.abs(values["a.weight"] - near["a.weight"]).max()))
        return told[-1] < 1e-3

    report = family.add("lossy", near, parent="base", lossy="fp16", gate=gate)
    assert report.lossy is not None and 0 < told[0] < 1e-3
    assert np.abs(family["lossy"]["a.weight"] - near["a.weight"]).max() == told[0]
    with pytest.raises(mgit.TestFailedError):
        family.add("x", near, parent="base", lossy="fp16", gate=lambda values: False)

    def broken(values: dict[str, Any]) -> bool:
        raise ArithmeticError("cannot tell")

    with pytest.raises(mgit.TestFailedError) as caught:
        family.add("x", near, parent="base", lossy="fp16", gate=broken)
    assert isinstance(caught.value.__cause__, ArithmeticError)
    with pytest.raises(mgit.InvalidError):
        family.add("x", near, parent="base", lossy="no-such-way")
    assert "x" not in family
