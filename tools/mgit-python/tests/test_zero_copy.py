"""A tensor that lies raw in the file is read without a copy, stays right whatever happens to the
store, and cannot be written to; what may be written to never reaches the store."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mgit_store as mgit
import numpy as np
import pytest
from conftest import Run, difference_family, needs

RAW = np.random.default_rng(3).standard_normal((64, 32)).astype(np.float32)


@pytest.fixture
def raw(empty: mgit.Store) -> mgit.Store:
    """A store of a model whose tensor lies raw in the file."""
    empty.add("m", {"w": RAW}, pinned=True)
    assert empty["m"].tensor("w").is_mapped
    return empty


def address(array: Any) -> int:
    """Where an array's first element is."""
    return int(array.__array_interface__["data"][0])


def mapped_file(at: int) -> str:
    """The file whose mapping holds an address."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        start, end = (int(text, 16) for text in fields[0].split("-"))
        if start <= at < end:
            return fields[5] if len(fields) > 5 else ""
    return ""


needs_maps = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc/self/maps")


@needs_maps
def test_an_array_lies_in_the_file(raw: mgit.Store) -> None:
    """First and last byte are in the mapping of the store's file, and two reads are one place."""
    one, two = raw["m"]["w"], raw["m"].state_dict()["w"]
    for array in (one, two, raw["m"].tensor("w")[3:9], raw["m"].tensor("w").numpy()):
        assert mapped_file(address(array)) == str(raw.path.resolve())
        assert mapped_file(address(array) + array.nbytes - 1) == str(raw.path.resolve())
    assert address(one) == address(two)
    assert address(raw["m"].tensor("w")[3:9]) == address(one[3:9])
    assert np.array_equal(one, RAW)


def test_alignment(raw: mgit.Store) -> None:
    """A view of the file is aligned as its type wants it."""
    assert raw["m"]["w"].flags.aligned and raw["m"]["w"].flags.c_contiguous


def refuses(array: Any) -> None:
    """That no way of numpy leads to writing into an array."""
    with pytest.raises(ValueError):
        array[0, 0] = 1
    with pytest.raises(ValueError):
        array += 1
    with pytest.raises(ValueError):
        array.setflags(write=True)
    with pytest.raises(ValueError):
        array.flags.writeable = True
    with pytest.raises(ValueError):
        array.sort()
    with pytest.raises(TypeError):
        memoryview(array).cast("B")[0] = 1
    with pytest.raises(ValueError):
        np.copyto(array, 0)
    with pytest.raises(ValueError):
        np.add(array, 1, out=array)
    view = array[:]
    with pytest.raises(ValueError):
        view.setflags(write=True)
    base = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    assert memoryview(base).readonly
    with pytest.raises((BufferError, TypeError, ValueError)):
        np.frombuffer(base, np.uint8).setflags(write=True)


def test_a_raw_array_refuses_writing(raw: mgit.Store) -> None:
    """Read-only means read-only, for whatever way to write there is."""
    refuses(raw["m"]["w"])
    refuses(raw["m"].tensor("w")[2:5])
    assert np.array_equal(raw["m"]["w"], RAW)


def test_a_reconstructed_array_refuses_writing(shared: mgit.Store) -> None:
    """What is shared with the cache refuses as well."""
    want = difference_family()["third"]["w"]
    assert not shared["third"].tensor("w").is_mapped
    refuses(shared["third"]["w"])
    refuses(shared["third"].tensor("w")[1:3])
    assert np.array_equal(shared["third"]["w"], want)


COMMITS = """
    store = mgit.open(sys.argv[1], "w")
    for step in range(100):
        with store.write() as tx:
            if step == 50:
                tx.remove("m")
            tx.add("other", {"w": np.full((64, 32), step, np.float32)})
"""


def test_views_outlast_what_another_process_does(raw: mgit.Store, run: Run) -> None:
    """A hundred commits, of which one removes the model: arrays, slices and models stay."""
    model, array = raw["m"], raw["m"]["w"]
    rows, snapshot = raw["m"].tensor("w")[5:9], raw.snapshot()
    run(COMMITS, raw.path)
    assert "m" not in raw and len(raw.versions("other")) == 100
    assert np.array_equal(array, RAW) and np.array_equal(rows, RAW[5:9])
    assert np.array_equal(model["w"], RAW) and np.array_equal(snapshot["m"]["w"], RAW)
    assert np.array_equal(model.state_dict(writable=True)["w"], RAW)


def test_views_outlast_room_that_is_used_again(empty: mgit.Store, run: Run) -> None:
    """The room of a removed model is not given to others while an array lies there."""
    wanted = np.random.default_rng(1).bytes(1 << 18)
    empty.add("m", {"w": np.frombuffer(wanted, np.uint8)}, pinned=True)
    array = empty["m"]["w"]
    run(
        """
        store = mgit.open(sys.argv[1], "w")
        with store.write() as tx:
            tx.remove("m")
        for step in range(30):
            with store.write() as tx:
                noise = np.random.default_rng(step).bytes(1 << 18)
                tx.add("n", {"w": np.frombuffer(noise, np.uint8)}, pinned=True)
                if step > 2:
                    tx.remove(f"n@{step - 2}")
        """,
        empty.path,
    )
    assert array.tobytes() == wanted


def test_views_outlast_the_store(raw: mgit.Store, folder: Path) -> None:
    """An array is right after ``close``, after everything else is gone, and after the file is."""
    array, model = raw["m"]["w"], raw["m"]
    raw.close()
    assert np.array_equal(array, RAW)
    assert np.array_equal(model["w"], RAW)
    assert np.array_equal(model.state_dict()["w"], RAW)
    del model
    gc.collect()
    assert np.array_equal(array, RAW)
    raw.path.unlink()
    gc.collect()
    assert np.array_equal(array, RAW) and array.sum() == RAW.sum()


def test_a_slice_alone_outlasts_the_rest(folder: Path) -> None:
    """A row of a row keeps the file open."""
    with mgit.create(folder / "x.mgit") as store:
        store.add("m", {"w": RAW}, pinned=True)
        row = store["m"]["w"][4][2:8]
    del store
    gc.collect()
    assert np.array_equal(row, RAW[4, 2:8])


WAYS: dict[str, Callable[[mgit.Model], Any]] = {
    "tensor": lambda model: model.tensor("w").numpy(writable=True),
    "state dict": lambda model: model.state_dict(writable=True)["w"],
    "torch": lambda model: model.tensor("w").torch(),
    "torch state dict": lambda model: model.state_dict("pt")["w"],
    "torch slice": lambda model: mgit.safe_open(model, framework="pt").get_slice("w")[0:48],
    "torch get_tensor": lambda model: mgit.safe_open(model, framework="pt").get_tensor("w"),
}


@pytest.mark.parametrize("way", WAYS)
def test_writing_never_reaches_the_store(
    raw: mgit.Store, deltas: mgit.Store, folder: Path, way: str
) -> None:
    """Raw or reconstructed, writable memory is the caller's own, each time."""
    if "torch" in way:
        needs("torch")
    for store, name, want in (
        (raw, "m", RAW),
        (deltas, "third", difference_family()["third"]["w"]),
    ):
        before = store.path.read_bytes()
        seen = store[name]["w"]
        one, two = WAYS[way](store[name]), WAYS[way](store[name])
        one[:] = 7
        assert (two == np.float32(7)).sum() == 0
        two[:1] = 9
        del one
        gc.collect()
        assert np.array_equal(seen, want) and np.array_equal(store[name]["w"], want)
        assert store.path.read_bytes() == before
        assert store.verify().is_clean


def test_tied_names_are_written_together(empty: mgit.Store) -> None:
    """What is tied stays tied in writable arrays, as in the model that it came from."""
    value = np.arange(4.0)
    empty.add("m", {"a": value, "b": value})
    read = empty["m"].state_dict(writable=True)
    read["a"][0] = 9
    assert read["b"][0] == 9 and empty["m"]["b"][0] == 0


def random_key(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """An index of any kind, now and then out of range or with too many parts."""

    def part(dim: int) -> Any:
        kind = int(rng.integers(0, 6))
        if kind == 0:
            return int(rng.integers(-dim - 1, dim + 1))
        if kind == 1:
            return np.int64(rng.integers(-dim, dim)) if dim else 0
        if kind == 5:
            return [int(at) for at in rng.integers(-dim, dim, 3)] if dim else []
        ends = [None if rng.random() < 0.3 else int(rng.integers(-dim - 3, dim + 4)) for _ in "ab"]
        return slice(*ends, None if rng.random() < 0.4 else int(rng.choice([-3, -2, -1, 1, 2, 5])))

    parts: list[Any] = [part(dim) for dim in shape[: int(rng.integers(0, len(shape) + 1))]]
    if rng.random() < 0.25:
        parts.insert(int(rng.integers(0, len(parts) + 1)), Ellipsis)
    if rng.random() < 0.25:
        parts.insert(int(rng.integers(0, len(parts) + 1)), None)
    if len(parts) == 1 and rng.random() < 0.7:
        return parts[0]
    return tuple(parts)


def outcome(of: Any, key: Any) -> tuple[Any, ...]:
    """What an index gives: values, or the kind of the error."""
    try:
        found = of[key]
    except Exception as error:
        return (type(error).__name__,)
    return type(found).__name__, found.dtype, found.shape, np.ascontiguousarray(found).tobytes()


@pytest.mark.parametrize("name", ["w", "deep", "ids"])
def test_slices_are_as_those_of_numpy(shared: mgit.Store, name: str) -> None:
    """Six hundred random indices of tensors that are stored as differences."""
    rng = np.random.default_rng(17)
    want = difference_family()["third"][name]
    tensor = shared["third"].tensor(name)
    assert tensor.stored_as()["depth"] >= 1
    for _ in range(600):
        key = random_key(rng, want.shape)
        assert outcome(tensor, key) == outcome(want, key), key


KEYS = [
    "0", "-1", "47", "48", "-48", "-49", "10**30", "slice(-10**30, 10**30)", "slice(5, 2)",
    "slice(48, None)", "slice(0, 0)", "slice(None, None, 7)", "slice(-3, None, -2)", "...", "None",
    "()", "(3, ...)", "(..., 3)", "(3, slice(None), None)", "(None, 3)", "(0, ..., None)", "[1, 2]",
    "[]", "(slice(1, 9, 3), [1, 2])", "(3, [1, 2])", "True", "False", "(True, 1)", "(1, True)",
    "np.True_", "[True] * 48", "(slice(2, 8), want[0] > 0)", "np.int8(-3)", "np.array(3)", "'a'",
    "1.5", "slice(1.0, 2)", "(1, 2, 3)", "(1, -41)", "(slice(2, 4), ..., ...)", "slice(0, 9, 0)",
    "(slice(None), slice(None), slice(None))",
]  # fmt: skip
ARRAYS = [
    "np.array([1, 2])", "np.array([3])", "np.array([], int)", "want > 0", "want[:, 0] > 0",
    "(np.array([1, 2]), np.array([3, 4]))", "(want[:, 0] > 0, 3)", "np.array(True)",
    "(np.array([[0], [5]]), slice(2, 4))",
]  # fmt: skip


@pytest.mark.parametrize("text", KEYS + ARRAYS)
def test_each_kind_of_index(shared: mgit.Store, text: str) -> None:
    """Every kind of index, one by one: integers, slices, ``None``, masks, lists and arrays."""
    want = difference_family()["third"]["w"]
    key = eval(text)
    got, wanted = outcome(shared["third"].tensor("w"), key), outcome(want, key)
    assert got == wanted


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0), (1, 1)])
def test_slices_of_small_tensors(empty: mgit.Store, shape: tuple[int, ...]) -> None:
    """Without dimensions, without elements, of one."""
    want = np.zeros(shape, np.float32)
    empty.add("m", {"w": want})
    tensor = empty["m"].tensor("w")
    rng = np.random.default_rng(4)
    for key in [0, -1, slice(None), Ellipsis, None, (), (0, 0), (Ellipsis, None), slice(0, 5, 2)]:
        assert outcome(tensor, key) == outcome(want, key), key
    for _ in range(100):
        key = random_key(rng, shape)
        assert outcome(tensor, key) == outcome(want, key), key


def test_slices_of_extra_types(empty: mgit.Store) -> None:
    """bf16 and fp8 slice as their arrays do."""
    ml_dtypes = needs("ml_dtypes")
    rng = np.random.default_rng(12)
    for kind in (ml_dtypes.bfloat16, ml_dtypes.float8_e5m2):
        base = np.frombuffer(rng.bytes(400 * np.dtype(kind).itemsize), kind).reshape(20, 20)
        empty.add("b", {"w": base})
        tensor = empty["b"].tensor("w")
        for _ in range(100):
            key = random_key(rng, base.shape)
            assert outcome(tensor, key) == outcome(base, key), key


def test_a_tensor_is_an_array_where_one_is_asked_for(shared: mgit.Store) -> None:
    """``np.asarray`` of a tensor, with a type and a copy; its length; its rows one by one."""
    tensor, want = shared["third"].tensor("w"), difference_family()["third"]["w"]
    assert np.array_equal(np.asarray(tensor), want) and len(tensor) == len(want)
    assert np.asarray(tensor, dtype=np.float64).dtype == np.float64
    assert np.array(tensor, copy=True).flags.writeable
    assert np.array_equal(np.stack(list(tensor)), want)
