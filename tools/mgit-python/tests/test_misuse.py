"""Misuse ends in the right exception, with nothing half-made: closed stores, wrong arguments and
interrupts never end in a crash, a hang or a panic."""

from __future__ import annotations

import copy
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mgit_store as mgit
import numpy as np
import pytest
from conftest import Run, needs

ONE = {"w": np.ones(3)}


# Closed.


CLOSED: dict[str, Callable[[mgit.Store], Any]] = {
    "models": lambda store: store.models(), "len": len, "iterate": list,
    "index": lambda store: store["base"], "in": lambda store: "base" in store,
    "get": lambda store: store.get("base"), "snapshot": lambda store: store.snapshot(),
    "write": lambda store: store.write(), "add": lambda store: store.add("x", ONE),
    "add_path": lambda store: store.add_path("x", "y"), "info": lambda store: store.info(),
    "stat": lambda store: store.stat(), "verify": lambda store: store.verify(),
    "nbytes": lambda store: store.nbytes, "usage": lambda store: store.usage(),
    "enter": lambda store: store.__enter__(), "tags": lambda store: store.tags(),
    "diff": lambda store: store.diff("base", "tuned"), "log": lambda store: store.log("base"),
    "cache": lambda store: store.set_cache_bytes(1),
    "safe_open": lambda store: mgit.safe_open(store, "base"),
}  # fmt: skip


@pytest.mark.parametrize("what", CLOSED)
def test_a_closed_store(store: mgit.Store, what: str) -> None:
    """Everything but ``close``, ``is_closed``, ``path`` and what it shows is refused."""
    store.close()
    with pytest.raises(mgit.ClosedError) as caught:
        CLOSED[what](store)
    assert isinstance(caught.value, ValueError) and caught.value.code == "closed"
    store.close()
    assert store.is_closed and store.path.name == "family.mgit"
    assert "closed" in repr(store) and "closed" in store._repr_html_() and store


def test_what_was_read_outlasts_the_store(store: mgit.Store) -> None:
    """Snapshots, models, tensors and arrays stay usable after ``close``."""
    snapshot, model, tensor = store.snapshot(), store["tuned"], store["tuned"].tensor("w")
    array = model["w"]
    store.close()
    assert {each.full_name for each in snapshot.models()} == {"base@1", "tuned@1"}
    assert np.array_equal(model["w"], array) and np.array_equal(tensor[0], array[0])
    assert np.array_equal(tensor.numpy(writable=True), array)
    assert model.parents()[0].full_name == "base@1"
    assert mgit.safe_open(model).keys() == ["w"]


def test_a_store_that_is_closed_while_a_transaction_is_open(store: mgit.Store) -> None:
    """The transaction goes on or says that it cannot; the file is clean either way."""
    tx = store.write()
    tx.add("new", ONE)
    store.close()
    try:
        tx.add("newer", ONE)
        tx.commit()
        want = 4
    except mgit.Error:
        want = 2
    del tx
    with mgit.open(store.path, "w") as again:
        assert len(again) == want and again.verify().is_clean
        again.add("after", ONE)


# Wrong arguments.


WRONG: list[Any] = [
    None, 5, -1, 1.5, b"base", "", [], {}, "\ud800", "a\0b", "no", "x" * 5000, "base@0",
    "base@9" * 9, "@", "/", "a//b", "../x", object(), True, ("base",), float("nan"), 10**30,
]  # fmt: skip


def in_tx(change: Callable[[mgit.Transaction, Any], Any]) -> Callable[[mgit.Store, Any], Any]:
    """A call that is made in a transaction."""

    def call(store: mgit.Store, value: Any) -> Any:
        with store.write() as tx:
            return change(tx, value)

    return call


CALLS: dict[str, Callable[[mgit.Store, Any], Any]] = {
    "index": lambda store, it: store[it],
    "in": lambda store, it: it in store,
    "parents": lambda store, it: store.parents(it),
    "versions": lambda store, it: store.versions(it),
    "log": lambda store, it: store.log(it),
    "ancestors": lambda store, it: store.ancestors(it),
    "ancestors edges": lambda store, it: store.ancestors("base", it),
    "ancestors order": lambda store, it: store.ancestors("base", order=it),
    "topological": lambda store, it: store.topological(it),
    "roots": lambda store, it: store.roots(it),
    "common": lambda store, it: store.common_ancestors(it, "base"),
    "diff": lambda store, it: store.diff(it, "base"),
    "tensor": lambda store, it: store["base"].tensor(it),
    "tensor value": lambda store, it: store["base"][it],
    "in a model": lambda store, it: it in store["base"],
    "framework": lambda store, it: store["base"].state_dict(it),
    "names": lambda store, it: store["base"].state_dict(names=[it]),
    "all names": lambda store, it: store["base"].state_dict(names=it),
    "read_file": lambda store, it: store["base"].read_file(it),
    "export only": lambda store, it: store["base"].export(store.path.parent / "o", only=it),
    "verify": lambda store, it: store.verify(it),
    "progress": lambda store, it: store.add("q", {"w": np.ones(9)}, progress=it),
    "wait": lambda store, it: store.write(wait=it).rollback() if it not in (None, 10**30) else None,
    "mode": lambda store, it: mgit.open(store.path, it),
    "safe_open": lambda store, it: mgit.safe_open(it, "base"),
    "safe_open model": lambda store, it: mgit.safe_open(store, it),
    "slice": lambda store, it: mgit.safe_open(store, "base").get_slice(it),
    "name": lambda store, it: store.add(it, ONE),
    "state dict": lambda store, it: store.add("q", it),
    "name of a tensor": lambda store, it: store.add("q", {it: np.ones(2)} if it.__hash__ else it),
    "value of a tensor": lambda store, it: store.add("q", {"w": it}),
    "parent": lambda store, it: store.add("q", ONE, parent=it),
    "parents of it": lambda store, it: store.add("q", ONE, parent=[it]),
    "how": lambda store, it: store.add("q", ONE, parent="base", how=it),
    "kind": lambda store, it: store.add("q", ONE, kind=it),
    "metadata": lambda store, it: store.add("q", ONE, metadata=it),
    "profile": lambda store, it: store.add("q", ONE, profile=it),
    "made_of": lambda store, it: store.add("q", ONE, made_of=[it]),
    "pinned": lambda store, it: store.add("q", ONE, pinned=it),
    "unless": lambda store, it: store.add("q", ONE, unless=it),
    "remove": in_tx(lambda tx, it: tx.remove(it)),
    "on_children": in_tx(lambda tx, it: tx.remove("base", it)),
    "add_parent": in_tx(lambda tx, it: tx.add_parent(it, "base")),
    "add_parent how": in_tx(lambda tx, it: tx.add_parent("tuned", "base", it)),
    "remove_parent": in_tx(lambda tx, it: tx.remove_parent("tuned", it)),
    "set_previous": in_tx(lambda tx, it: tx.set_previous("base", it)),
    "rename": in_tx(lambda tx, it: tx.rename("base", it)),
    "rename it": in_tx(lambda tx, it: tx.rename(it, "z")),
    "move": in_tx(lambda tx, it: tx.move("base", it)),
    "set_kind": in_tx(lambda tx, it: tx.set_kind("base", it)),
    "set_metadata": in_tx(lambda tx, it: tx.set_metadata("base", it)),
    "set_tag": in_tx(lambda tx, it: tx.set_tag(it, "base")),
    "set_tag on": in_tx(lambda tx, it: tx.set_tag("t", it)),
    "remove_tag": in_tx(lambda tx, it: tx.remove_tag(it)),
    "exclude": in_tx(lambda tx, it: tx.add_path(store_path(tx), "q", exclude=it)),
}


def store_path(tx: mgit.Transaction) -> Path:
    """A file to add."""
    path = tx._store.path.parent / "f.npz"
    np.savez(path, a=np.ones(2))
    return path


@pytest.mark.parametrize("call", CALLS)
def test_wrong_arguments(store: mgit.Store, call: str) -> None:
    """Values of every type and form, where another is due: a TypeError, a ValueError or an error of
    the package. What is refused changes nothing, and the store is clean in the end."""
    for value in WRONG:
        commit = store.snapshot().commit
        try:
            CALLS[call](store, value)
        except (TypeError, ValueError, OverflowError, mgit.Error):
            assert store.snapshot().commit == commit, value
    assert store.verify().is_clean
    store.add("after", ONE)


@pytest.mark.parametrize("path", [None, 5, b"x", "", "\0", [], object(), "x" * 5000, "/", "."])
def test_wrong_paths(store: mgit.Store, path: Any) -> None:
    """To open, create, add and export: no panic, and an error of a kind that Python has for it."""
    known = (TypeError, ValueError, OSError, mgit.Error)
    calls: list[Callable[[Any], Any]] = [mgit.open, mgit.create]
    if path not in ("/", "."):  # which are folders: models, and places to export to
        calls += [lambda it: store.add_path(it, "m"), store["base"].export]
    for call in calls:
        with pytest.raises(known):
            call(path)
    assert store.verify().is_clean


def test_paths_that_are_not_utf8(folder: Path) -> None:
    """A folder of any bytes holds stores, exports and what is added."""
    odd = folder / os.fsdecode(b"odd-\xff")
    odd.mkdir()
    np.savez(odd / "f.npz", a=np.ones(2))
    with mgit.create(odd / "x.mgit") as store:
        store.add("m", ONE)
        store.add_path(odd / "f.npz", "n")
        assert store.path == odd / "x.mgit"
        store["m"].export(odd / "out.safetensors")
        assert (odd / "out.safetensors").exists()
        repr(store), store._repr_html_()


def test_a_negative_size_of_the_cache(store: mgit.Store) -> None:
    """Is refused."""
    for value in (-1, 2**64, "1", None, 1.5):
        with pytest.raises((TypeError, ValueError, OverflowError)):
            store.set_cache_bytes(value)  # type: ignore[arg-type]
    store.set_cache_bytes(0)
    assert store["tuned"]["w"].shape == (2, 3)


def test_html_is_escaped(store: mgit.Store) -> None:
    """Names and kinds of any text do no harm in a notebook."""
    bad = '<script>alert(1)</script>&"'
    store.add("m", {bad: np.ones(2)}, kind=bad, parent="base")
    for shown in (store, store.snapshot(), store["m"], store.diff("base", "m")):
        assert "<script" not in shown._repr_html_()
    repr(store["m"])


# Errors.


def test_errors_can_be_pickled(store: mgit.Store) -> None:
    """Class, text and code survive, as they must in a pool of processes."""
    kinds = [kind for kind in vars(mgit).values() if isinstance(kind, type)]
    kinds = [kind for kind in kinds if issubclass(kind, mgit.Error)]
    assert len(kinds) >= 14
    for kind in kinds:
        error = kind("what went wrong", "some-code")
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert type(again) is kind
            assert (str(again), again.code) == ("what went wrong", "some-code")
    with pytest.raises(mgit.NotFoundError) as caught:
        store["no"]
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again), again.code) == (
        mgit.NotFoundError, str(caught.value), "no-such-model",
    )  # fmt: skip


@pytest.mark.parametrize("what", ["store", "snapshot", "model", "tensor", "transaction"])
def test_what_is_open_cannot_be_pickled(store: mgit.Store, what: str) -> None:
    """It is refused, rather than half of it written."""
    things: dict[str, Callable[[], Any]] = {
        "store": lambda: store, "snapshot": store.snapshot, "model": lambda: store["base"],
        "tensor": lambda: store["base"].tensor("w"), "transaction": store.write,
    }  # fmt: skip
    thing = things[what]()
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises((TypeError, pickle.PicklingError)):
            pickle.dumps(thing, protocol)
    array = store["base"]["w"]
    assert np.array_equal(pickle.loads(pickle.dumps(array)), array)


def test_what_cannot_be_made_or_changed(store: mgit.Store) -> None:
    """Reports are frozen, models take no items, classes of the engine are not made by hand."""
    model = store["base"]
    with pytest.raises((TypeError, AttributeError)):
        model["w"] = np.ones(2)  # type: ignore[index]
    with pytest.raises(AttributeError):
        model.name = "x"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        store.anything = 1  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        store.add("q", ONE).model = "x"  # type: ignore[misc]
    for kind in ("Store", "Snapshot", "Model", "Tensor", "Transaction", "Buffer", "View", "Node"):
        with pytest.raises(TypeError):
            getattr(sys.modules["mgit_store._engine"], kind)()


# Interrupts.


def big(seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """A model that takes a while to add."""
    rng = np.random.default_rng(seed)
    return {f"w{at}": rng.standard_normal(30_000).astype(np.float32) for at in range(8)}


INTERRUPTED = """
    store = mgit.create("x.mgit")
    rng = np.random.default_rng(0)
    base = {f"w{at}": rng.standard_normal(30_000).astype(np.float32) for at in range(8)}
    store.add("m", base)
    next = {name: (value * np.float32(1.001)) for name, value in base.items()}
    size = store.nbytes
    SEND
    try:
        with store.write() as tx:
            tx.add("n", next, parent="m", profile="dense")
            time.sleep(5)
            print("in time")
    except KeyboardInterrupt:
        print("interrupted")
    assert "n" not in store and len(store) == 1
    assert store.verify().is_clean
    store.add("n", {"w": np.ones(2)})
    assert np.array_equal(store["m"]["w3"], base["w3"])
"""
SENDERS = {
    "a timer": "signal.signal(signal.SIGALRM, signal.default_int_handler)\n"
    "    signal.setitimer(signal.ITIMER_REAL, DELAY)",
    "a thread": "threading.Timer(DELAY, os.kill, (os.getpid(), signal.SIGINT)).start()",
}


@pytest.mark.parametrize(("sender", "delay"), [("a timer", 0.3), ("a thread", 0.06)])
def test_an_interrupt_while_adding(run: Run, sender: str, delay: float) -> None:
    """Ctrl-C in a long add is a KeyboardInterrupt, and nothing of the model is there."""
    send = SENDERS[sender].replace("DELAY", str(delay))
    done = run(INTERRUPTED.replace("SEND", send))
    assert done.stdout.split() == ["interrupted"]


def test_progress_adds_up(empty: mgit.Store, folder: Path) -> None:
    """What progress is told is, in sum, what was done: of adding, exporting and verifying."""
    told: list[int] = []
    size = sum(value.nbytes for value in big().values())
    empty.add("m", big(), progress=told.append)
    assert sum(told) == size and all(count > 0 for count in told)
    told.clear()
    empty["m"].export(folder / "out.safetensors", progress=told.append)
    assert sum(told) >= size
    told.clear()
    empty.verify(progress=told.append)
    assert sum(told) >= size


class Stop(Exception):
    """What a function of progress raises."""


def stop(_: int) -> None:
    """A function of progress that ends the call."""
    raise Stop


def test_progress_that_raises(store: mgit.Store) -> None:
    """Its exception comes out, and no model of a transaction of its own is there."""
    for values in (ONE, big()):
        with pytest.raises(Stop):
            store.add("new", values, progress=stop)
    with pytest.raises(Stop):
        store.verify(progress=stop)
    assert len(store) == 2 and store.verify().is_clean


def test_progress_that_raises_in_a_transaction(store: mgit.Store) -> None:
    """A call that raised has added nothing, also where the transaction goes on and is committed."""
    with store.write() as tx:
        with pytest.raises(Stop):
            tx.add("new", ONE, progress=stop)
        try:
            tx.set_tag("t", "base")
        except mgit.Error:
            tx.rollback()
    assert "new" not in store


def test_progress_that_calls_back(store: mgit.Store) -> None:
    """A function of progress that uses the store reads, and is refused its own transaction."""
    seen: list[object] = []

    def look(_: int) -> None:
        seen.append(len(store))
        with pytest.raises(mgit.Error):
            tx.add("inner", ONE)
        with pytest.raises(mgit.Error):
            tx.commit()
        with pytest.raises(mgit.LockedError):
            store.write(wait=0)

    with store.write() as tx:
        tx.add("outer", big(), progress=look)
    assert seen and set(seen) == {2} and "outer" in store and "inner" not in store


def test_a_store_that_is_closed_by_progress(store: mgit.Store) -> None:
    """Closing the store in the middle of a call neither crashes nor hangs."""
    with store.write() as tx:
        tx.add("m", big(), progress=lambda _: store.close())
    with mgit.open(store.path) as again:
        assert again.verify().is_clean


def test_other_threads_run_during_a_long_add(empty: mgit.Store) -> None:
    """The interpreter is free while the engine works."""
    empty.add("m", big())
    count, end = 0, threading.Event()

    def work() -> None:
        nonlocal count
        while not end.is_set():
            count += 1
            time.sleep(0.0005)

    values = {name: value * np.float32(1.001) for name, value in big().items()}
    thread = threading.Thread(target=work)
    thread.start()
    before = count
    empty.add("n", values, parent="m", profile="dense")
    during = count - before
    end.set()
    thread.join()
    # Were it held, the thread would run at the beginning and at the end at most.
    assert during > 2


def test_an_interrupt_while_waiting_for_a_lock(store: mgit.Store, run: Run) -> None:
    """Ctrl-C ends the waiting for another writer."""
    with store.write():
        done = run(
            """
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            try: mgit.open(sys.argv[1], "w").write()
            except KeyboardInterrupt: print("interrupted")
            """,
            store.path,
        )
    assert done.stdout.split() == ["interrupted"]


def test_an_export_that_is_ended_leaves_nothing_half_made(store: mgit.Store, folder: Path) -> None:
    """What is at the path after an exception is complete, or is not there."""
    values = big()
    store.add("m", values)
    with pytest.raises(Stop):
        store["m"].export(folder / "m.st", progress=stop)
    left = [path.name for path in folder.iterdir() if path.name not in ("family.mgit", "m.st")]
    assert left == []
    if (folder / "m.st").exists():
        numpy_files = needs("safetensors.numpy")
        loaded = numpy_files.load_file(folder / "m.st")
        assert all(np.array_equal(loaded[name], value) for name, value in values.items())
