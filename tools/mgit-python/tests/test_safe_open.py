"""``safe_open`` of a model is as ``safetensors.safe_open`` of the file that it would be: the same
names, values, slices and texts, or both refuse.

Where the two differ, and are meant to:

- errors are those of this package (:class:`NotFoundError`, :class:`ClosedError`) or numpy's, not
  ``SafetensorError``;
- slices of numpy take whatever numpy takes: negative bounds, bounds behind the end, lists,
  ``None``, negative steps, which safetensors refuses; ``True`` is numpy's new dimension, not row 1;
- one element of numpy is a scalar of numpy, not an array without dimensions;
- numpy arrays are read-only, as they are views of the store;
- fp8 is read as numpy through ``ml_dtypes``, which safetensors cannot;
- frameworks are numpy and torch only;
- a tied tensor has all of its names, of which a file of safetensors has one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mgit_store as mgit
import numpy as np
import pytest
from conftest import needs

safetensors = pytest.importorskip("safetensors", reason="safetensors is not installed")


def values() -> dict[str, np.ndarray[Any, Any]]:
    """Tensors of several types and shapes."""
    rng = np.random.default_rng(2)
    return {
        "z.matrix": rng.standard_normal((7, 5)).astype(np.float32),
        "a.cube": rng.integers(-9, 9, (3, 4, 5)).astype(np.int64),
        "half": rng.standard_normal((6, 2)).astype(np.float16),
        "row": rng.integers(0, 255, 9).astype(np.uint8),
        "flags": rng.integers(0, 2, (4, 3)).astype(bool),
        "wide": rng.standard_normal((2, 3)),
        "number": np.array(2.5, np.float32),
        "nothing": np.zeros((0, 3), np.float32),
        "short": rng.integers(-9, 9, 5).astype(np.int16),
    }


class Pair:
    """One model, as a file and in a store."""

    def __init__(self, folder: Path, framework: str) -> None:
        from safetensors.numpy import save_file

        given: dict[str, Any] = values()
        self.path, self.framework = folder / "m.safetensors", framework
        if framework == "pt":
            torch = needs("torch")
            from safetensors.torch import save_file as save_torch

            given = {name: torch.from_numpy(value) for name, value in given.items()}
            given["brain"] = torch.arange(12.0).view(4, 3).to(torch.bfloat16)
            given["f8"] = torch.arange(6.0).to(torch.float8_e4m3fn)
            save_torch(given, self.path, metadata={"format": "pt"})
        else:
            save_file(given, self.path)
        self.store = mgit.create(folder / "m.mgit")
        parent = {name: value + 0 for name, value in given.items() if name not in ("flags", "f8")}
        self.store.add("before", parent)
        self.store.add("m", given, parent="before")
        self.store.add_path(self.path, "file")

    def both(self, model: str = "m") -> tuple[Any, Any]:
        theirs = safetensors.safe_open(self.path, framework=self.framework)
        return theirs, mgit.safe_open(self.store, model, framework=self.framework)


@pytest.fixture(params=["np", "pt"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    """The model, for numpy and for torch."""
    return Pair(tmp_path, request.param)


def outcome(call: Any) -> Any:
    """What a call gives, or None where it raises."""
    try:
        return call()
    except (Exception, SystemError):
        return None


def equal(one: Any, other: Any) -> bool:
    """Whether two arrays of one framework are the same, or both are none."""
    if one is None or other is None:
        return one is other
    scalars = isinstance(one, np.generic) and isinstance(other, np.ndarray)
    if (
        (type(one) is not type(other) and not scalars)
        or one.dtype != other.dtype
        or one.shape != other.shape
    ):
        return False
    if isinstance(one, np.ndarray | np.generic):
        return bool(np.array_equal(one, other))
    import torch

    return torch.equal(one.to(torch.float64), other.to(torch.float64))


@pytest.mark.parametrize("model", ["m", "file"])
def test_names_texts_and_tensors(pair: Pair, model: str) -> None:
    """``keys``, ``offset_keys``, ``metadata`` and every tensor."""
    theirs, ours = pair.both(model)
    with theirs as theirs, ours as ours:
        assert ours.keys() == theirs.keys() and type(ours.keys()) is type(theirs.keys())
        assert ours.offset_keys() == theirs.offset_keys()
        assert ours.metadata() == theirs.metadata()
        for name in theirs.keys():
            got, want = ours.get_tensor(name), theirs.get_tensor(name)
            assert equal(got, want), name
            got, want = ours.get_slice(name), theirs.get_slice(name)
            assert got.get_shape() == want.get_shape() and got.get_dtype() == want.get_dtype()
            assert type(got.get_shape()) is type(want.get_shape())
            if 0 not in want.get_shape():  # of which safetensors cannot slice
                assert equal(got[...], want[...]), name


def test_texts_in_the_header(empty: mgit.Store, tmp_path: Path) -> None:
    """Any texts of a file's header, none, and an empty dict of them."""
    from safetensors.numpy import save_file

    for number, metadata in enumerate([None, {"a": "é\n", "b": ""}, {"format": "np"}]):
        path = tmp_path / f"{number}.safetensors"
        save_file({"w": np.ones(2)}, path, metadata=metadata)
        empty.add_path(path, f"m{number}")
        with safetensors.safe_open(path, "np") as theirs:
            assert mgit.safe_open(empty, f"m{number}").metadata() == theirs.metadata()


def test_random_slices(pair: Pair) -> None:
    """Eight hundred indices: what safetensors gives we give; what it refuses, we refuse as well,
    or, of numpy, have as numpy has it."""
    rng = np.random.default_rng(23)
    theirs, ours = pair.both()
    names = [name for name in theirs.keys() if name != "f8"]
    compared = 0
    for _ in range(800):
        name = str(rng.choice(names))
        shape = theirs.get_slice(name).get_shape()
        parts: list[Any] = []
        for dim in shape[: int(rng.integers(0, len(shape) + 1))]:
            if rng.random() < 0.4:
                parts.append(int(rng.integers(-dim - 1, dim + 1)))
                continue
            start, stop = sorted(int(at) for at in rng.integers(0, dim + 1, 2))
            ends = [None if rng.random() < 0.3 else end for end in (start, stop)]
            parts.append(slice(*ends, int(rng.integers(1, 4)) if rng.random() < 0.5 else None))
        if rng.random() < 0.2:
            parts.insert(int(rng.integers(0, len(parts) + 1)), Ellipsis)
        key = parts[0] if len(parts) == 1 else tuple(parts)
        want = outcome(lambda: theirs.get_slice(name)[key])
        got = outcome(lambda: ours.get_slice(name)[key])
        if want is not None:
            compared += 1
            assert equal(got, want), (name, key)
        elif got is not None:
            assert pair.framework == "np" and equal(got, values()[name][key]), (name, key)
    assert compared > 400


@pytest.mark.parametrize(
    "text",
    ["0", "-1", "7", "-8", "slice(1, 3)", "slice(None, None, 2)", "()", "...", "(1, 2)", "(..., 2)",
     "(0, ...)", "(0, 0, 0)", "'a'", "1.0", "slice(0, 7, 3)", "(slice(1, 2), -1)", "np.int64(2)",
     "(0, 5)", "(..., slice(0, 2))"],
)  # fmt: skip
def test_each_kind_of_index(pair: Pair, text: str) -> None:
    """Kinds of indices that both know: the same values, or both refuse."""
    key = eval(text)
    if text == "'a'" and pair.framework == "pt":
        pytest.skip("torch warns, and refuses")
    theirs, ours = pair.both()
    want = outcome(lambda: theirs.get_slice("z.matrix")[key])
    assert equal(outcome(lambda: ours.get_slice("z.matrix")[key]), want)


@pytest.mark.parametrize(
    "text",
    ["None", "[0, 2]", "(slice(None), [1, 2])", "slice(3, 1)", "slice(-2, None)", "slice(0, 100)",
     "slice(9, 12)", "(None, 2)", "slice(None, None, -1)",
     "np.array([0, 1])"],
)  # fmt: skip
def test_indices_that_torch_knows(tmp_path: Path, text: str) -> None:
    """For torch, safetensors indexes as torch does; for numpy we index as numpy does."""
    torch_pair = Pair(tmp_path, "pt")
    key = eval(text)
    theirs, ours = torch_pair.both()
    want = outcome(lambda: theirs.get_slice("z.matrix")[key])
    assert equal(outcome(lambda: ours.get_slice("z.matrix")[key]), want)
    with mgit.safe_open(torch_pair.store, "m", framework="np") as file:
        assert equal(file.get_slice("z.matrix")[key], values()["z.matrix"][key])


def test_a_tensor_as_an_index(tmp_path: Path) -> None:
    """A tensor of torch indexes, as in safetensors."""
    torch = needs("torch")
    theirs, ours = Pair(tmp_path, "pt").both()
    key = torch.tensor([0, 2])
    assert equal(ours.get_slice("z.matrix")[key], theirs.get_slice("z.matrix")[key])


@pytest.mark.parametrize("name", ["no", "", "z", 5, None, b"row"])
def test_wrong_names(pair: Pair, name: Any) -> None:
    """Both refuse a name that is not there, or that is none."""
    for file in pair.both():
        with pytest.raises(Exception) as caught:
            file.get_tensor(name)
        with pytest.raises(Exception):
            file.get_slice(name)
    assert isinstance(caught.value, mgit.NotFoundError | TypeError)


def test_closed(pair: Pair) -> None:
    """After the block both refuse; a tensor that was read is still right."""
    theirs, ours = pair.both()
    kept = []
    for file in (theirs, ours):
        with file as opened:
            kept.append(opened.get_tensor("z.matrix"))
        for call in (file.keys, file.metadata, file.offset_keys):
            with pytest.raises(Exception):
                call()
        with pytest.raises(Exception):
            file.get_tensor("z.matrix")
        with pytest.raises(Exception):
            file.get_slice("z.matrix")
    with pytest.raises(mgit.ClosedError):
        ours.keys()
    assert equal(*kept)


def test_wrong_frameworks_and_files(pair: Pair, tmp_path: Path) -> None:
    """Both refuse a framework that is none; ours says it with its own error."""
    with pytest.raises(Exception):
        safetensors.safe_open(pair.path, framework="nonsense")
    for framework in ("nonsense", None, 5):
        with pytest.raises((mgit.InvalidError, TypeError)):
            mgit.safe_open(pair.store, "m", framework=framework)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        safetensors.safe_open(tmp_path / "no", framework="np")
    with pytest.raises(FileNotFoundError):
        mgit.safe_open(tmp_path / "no", "m")
    with pytest.raises(mgit.InvalidError):
        mgit.safe_open(pair.path, "m")
    with pytest.raises(mgit.InvalidError, match="3 models"):
        mgit.safe_open(pair.store)
    with pytest.raises(mgit.InvalidError):
        mgit.safe_open(pair.store, "m", framework="np", device="cuda")


@pytest.mark.parametrize("framework", ["np", "numpy", "pt", "torch", "pytorch"])
def test_names_of_frameworks(tmp_path: Path, framework: str) -> None:
    """The names that safetensors has for numpy and torch."""
    needs("torch")
    pair = Pair(tmp_path, "np")
    with safetensors.safe_open(pair.path, framework=framework) as theirs:
        with mgit.safe_open(pair.store, "m", framework=framework) as ours:
            assert equal(ours.get_tensor("row"), theirs.get_tensor("row"))


def test_what_can_be_opened(store: mgit.Store, tmp_path: Path) -> None:
    """A store, a snapshot, a model, and the path of a store, with one model or a name."""
    want = store["base"]["w"]
    for opened in (store, store.snapshot()):
        assert np.array_equal(mgit.safe_open(opened, "base").get_tensor("w"), want)
    assert np.array_equal(mgit.safe_open(store["base"]).get_tensor("w"), want)
    assert np.array_equal(mgit.safe_open(store.path, "base").get_tensor("w"), want)
    assert np.array_equal(mgit.safe_open(str(store.path), "base", "np").get_tensor("w"), want)
    with mgit.create(tmp_path / "one.mgit") as one:
        one.add("m", {"w": want})
    with mgit.safe_open(tmp_path / "one.mgit") as file:
        read = file.get_tensor("w")
    assert np.array_equal(read, want)


def test_all_tensors_at_once(pair: Pair) -> None:
    """``get_tensors()`` of safetensors takes no arguments and has all tensors."""
    theirs, ours = pair.both()
    if not hasattr(theirs, "get_tensors"):
        pytest.skip("this safetensors has no get_tensors")
    if pair.framework == "np":
        assert set(ours.get_tensors()) == set(theirs.get_tensors())
    else:
        want = theirs.get_tensors()
        assert all(equal(value, want[name]) for name, value in ours.get_tensors().items())
