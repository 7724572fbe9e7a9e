"""Changes become visible and durable together, or not at all: whatever ends a transaction."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import mgit_store as mgit
import numpy as np
import pytest
from conftest import Run

ONE = {"w": np.ones(3)}


def names(store: mgit.Store) -> list[str]:
    """The models of a store."""
    return sorted(model.full_name for model in store)


def test_nothing_is_seen_before_the_commit(store: mgit.Store) -> None:
    """Others, in this process and through another handle, see the changes after the commit."""
    with mgit.open(store.path) as other:
        with store.write() as tx:
            tx.add("new", ONE, parent="base")
            tx.set_tag("best", "new")
            assert "new" not in store and "new" not in other
            tx.add("newer", ONE, parent="new")
        assert "new" in store and "newer" in other and store["best"] == other["new"]
        assert tx.is_closed


class Stop(Exception):
    """What ends a block."""


@pytest.mark.parametrize("kind", [Stop, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_rolls_back(store: mgit.Store, kind: type[BaseException]) -> None:
    """Whatever exception ends the block, it comes out, and nothing has changed."""
    before, commit = names(store), store.snapshot().commit
    with pytest.raises(kind), store.write() as tx:
        tx.add("new", ONE)
        tx.remove("tuned")
        tx.rename("base", "other")
        raise kind
    assert names(store) == before and tx.is_closed
    assert store.snapshot().commit == commit
    store.add("new", ONE)
    assert store.verify().is_clean


def test_rollback_and_commit_by_hand(store: mgit.Store) -> None:
    """Without a block; a rolled back or committed transaction is closed, and says so."""
    tx = store.write()
    tx.add("new", ONE)
    tx.rollback()
    assert "new" not in store and tx.is_closed
    tx.rollback()
    tx = store.write()
    tx.add("new", ONE)
    tx.commit()
    assert "new" in store
    for call in (
        tx.commit,
        lambda: tx.add("x", ONE),
        lambda: tx.remove("base"),
        tx.__enter__,
        lambda: tx.set_tag("a", "base"),
        lambda: tx.rename("base", "b"),
        lambda: tx.add_path(store.path.parent, "x"),
        lambda: tx.set_metadata("base", {}),
        lambda: tx.set_kind("base", "x"),
        lambda: tx.add_parent("base", "tuned"),
        lambda: tx.remove_parent("tuned", "base"),
        lambda: tx.set_previous("base", None),
        lambda: tx.move("base", "c"),
        lambda: tx.remove_tag("a"),
    ):
        with pytest.raises(mgit.ClosedError):
            call()
    assert "closed" in repr(tx)


def test_committed_in_its_block(store: mgit.Store) -> None:
    """A transaction that was ended in its block is not ended again."""
    with store.write() as tx:
        tx.add("one", ONE)
        tx.commit()
    with store.write() as tx:
        tx.add("two", ONE)
        tx.rollback()
    with pytest.raises(Stop), store.write() as tx:
        tx.add("three", ONE)
        tx.commit()
        raise Stop
    assert "one" in store and "two" not in store and "three" in store


def test_a_dropped_transaction_is_rolled_back(store: mgit.Store) -> None:
    """One that nobody holds any more lets others write."""
    tx = store.write()
    tx.add("new", ONE)
    del tx
    store.add("other", ONE)
    assert "new" not in store and "other" in store


def test_an_empty_transaction(store: mgit.Store) -> None:
    """Nothing to commit is no error."""
    with store.write():
        pass
    assert names(store) == ["base@1", "tuned@1"]


@pytest.mark.parametrize("wait", [None, 0, 0.2])
def test_a_second_transaction_of_a_thread_is_refused(store: mgit.Store, wait: float | None) -> None:
    """It could wait for ever for itself: it is refused, and the first goes on."""
    with store.write() as tx:
        tx.add("new", ONE)
        with pytest.raises(mgit.LockedError) as caught:
            store.write(wait=wait)
        assert caught.value.code == "already-writing"
        with pytest.raises(mgit.LockedError):
            store.add("other", ONE)
        with mgit.open(store.path, "w") as other, pytest.raises(mgit.LockedError):
            other.write(wait=0)
    assert "new" in store and "other" not in store


def test_threads_wait_for_each_other(store: mgit.Store) -> None:
    """Four threads write ten models each, one transaction at a time; none is lost."""

    def work(number: int) -> None:
        for step in range(10):
            with store.write() as tx:
                tx.add(f"t{number}", {"w": np.full(4, step + 100 * number)}, parent="base")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        found = store.versions(f"t{number}")
        assert [int(model["w"][0]) for model in found] == [
            step + 100 * number for step in range(10)
        ]
    assert store.verify().is_clean


def test_a_thread_waits_as_long_as_it_says(store: mgit.Store) -> None:
    """``wait`` is kept, of the store's and of the transaction's own."""
    found: list[object] = []

    def other() -> None:
        for handle in (store, mgit.open(store.path, "w", wait=0.3)):
            begun = time.monotonic()
            try:
                handle.write(wait=0.3 if handle is store else None)
            except mgit.LockedError:
                found.append(time.monotonic() - begun)

    with store.write():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(found) == 2 and all(isinstance(at, float) and at > 0.25 for at in found)


def test_one_transaction_in_two_threads(store: mgit.Store) -> None:
    """Another thread may go on with a transaction; at one moment, one of them."""
    outcomes: list[str] = []
    big = {f"w{at}": np.random.default_rng(at).standard_normal(40_000) for at in range(8)}

    def add(tx: mgit.Transaction, name: str) -> None:
        try:
            tx.add(name, big)
            outcomes.append("added")
        except mgit.LockedError:
            outcomes.append("refused")

    with store.write() as tx:
        threads = [threading.Thread(target=add, args=(tx, f"m{at}")) for at in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        tx.add("last", ONE)
    assert outcomes.count("added") == len(store) - 3 >= 1
    assert store.verify().is_clean


def test_processes_wait_for_each_other(store: mgit.Store, run: Run) -> None:
    """Three processes and this one write; none is lost, and who does not wait is told."""
    program = """
        store = mgit.open(sys.argv[1], "w", wait=30)
        for step in range(12):
            with store.write() as tx:
                tx.add(sys.argv[2], {"w": np.full(5, step)})
    """
    threads = [
        threading.Thread(target=run, args=(program, store.path, f"p{number}"))
        for number in range(2)
    ]
    for thread in threads:
        thread.start()
    for step in range(12):
        with store.write() as tx:
            tx.add("here", {"w": np.full(5, step)})
    for thread in threads:
        thread.join()
    for name in ("p0", "p1", "here"):
        assert [int(model["w"][0]) for model in store.versions(name)] == list(range(12)), name
    with store.write():
        done = run(
            """
            store = mgit.open(sys.argv[1], "w")
            try: store.write(wait=0.2)
            except mgit.LockedError as error: print(type(error) is mgit.LockedError)
            print("base" in store)
            """,
            store.path,
        )
    assert done.stdout.split() == ["True", "True"]
    assert store.verify().is_clean


def test_an_exclusive_store_keeps_others_out(store: mgit.Store, run: Run) -> None:
    """``exclusive`` holds the writer's lock as long as the store is open; readers may read."""
    store.close()
    program = """
        try:
            with mgit.open(sys.argv[1], "w").write(wait=0.1): print("wrote")
        except mgit.LockedError: print("locked")
        print(len(mgit.open(sys.argv[1])))
    """
    with mgit.open(store.path, "w", exclusive=True) as alone:
        alone.add("x", ONE)
        assert run(program, store.path).stdout.split() == ["locked", "3"]
    assert run(program, store.path).stdout.split() == ["wrote", "3"]


def test_a_store_that_is_open_to_read(store: mgit.Store) -> None:
    """It refuses to write, and sees what others commit."""
    with mgit.open(store.path) as reader:
        for call in (reader.write, lambda: reader.add("x", ONE), lambda: reader.add_path("x", "y")):
            with pytest.raises(mgit.ReadOnlyError) as caught:
                call()
            assert isinstance(caught.value, PermissionError)
        store.add("x", ONE)
        assert "x" in reader and "open to read" in repr(reader)


def test_a_file_without_write_permission(store: mgit.Store, run: Run) -> None:
    """Reading needs no more than permission to read the file."""
    store.close()
    store.path.chmod(0o444)
    with mgit.open(store.path) as reader:
        assert len(reader) == 2 and reader.verify().is_clean


def test_modes(folder: Path, store: mgit.Store) -> None:
    """``"a"`` makes a store or opens it; ``"r"`` and ``"w"`` make none; none is truncated."""
    with pytest.raises(mgit.StoreNotFoundError):
        mgit.open(folder / "no.mgit")
    with pytest.raises(mgit.StoreNotFoundError):
        mgit.open(folder / "no.mgit", "w")
    assert not (folder / "no.mgit").exists()
    for count in (1, 2):
        with mgit.open(folder / "new.mgit", "a") as made:
            made.add("x", {"w": np.full(2, count)})
            assert len(made) == count
    with pytest.raises(mgit.ExistsError):
        mgit.create(store.path)
    with mgit.open(str(store.path), "w") as again:
        assert len(again) == 2
    with pytest.raises(mgit.StoreNotFoundError):
        mgit.create(folder / "no" / "x.mgit")
    for mode in ("x", "rb", "", "wr"):
        with pytest.raises(mgit.InvalidError):
            mgit.open(store.path, mode)  # type: ignore[arg-type]
    (folder / "text").write_text("no store at all" * 1000)
    (folder / "none").touch()
    for path in (folder / "text", folder / "none", folder):
        with pytest.raises(mgit.Error):
            mgit.open(path)


KILLED = """
import sys, numpy as np, mgit_store as mgit
store = mgit.open(sys.argv[1], "w")
print("ready", flush=True)
rng = np.random.default_rng(int(sys.argv[2]))
for step in range(100000):
    with store.write() as tx:
        tx.add("k", {"w": rng.standard_normal(3000), "step": np.array(step)}, parent="base")
        tx.add("pair", {"step": np.array(step)})
    print(step, flush=True)
"""


@pytest.mark.parametrize("delay", [0.05, 0.23, 0.61])
def test_a_killed_writer_loses_nothing_that_was_committed(store: mgit.Store, delay: float) -> None:
    """SIGKILL at any moment: what was said to be committed is there, in pairs, and clean; the next
    writer need not wait."""
    command = [sys.executable, "-c", KILLED, str(store.path), str(int(delay * 100))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(delay)
        os.kill(writer.pid, signal.SIGKILL)
        said = [line for line in writer.stdout.read().split("\n") if line]
    last = int(said[-1]) if said else -1
    with mgit.open(store.path, "w", wait=5) as again:
        assert again.verify().is_clean
        for name in ("k", "pair"):
            steps = [int(model["step"]) for model in again.versions(name)] if name in again else []
            assert steps in (list(range(last + 1)), list(range(last + 2)))
        assert len(again) % 2 == 0
        again.add("after", ONE)
    assert "after" in store
