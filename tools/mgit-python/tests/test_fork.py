"""A process that forks: what it had open is refused in the child, which may open it anew; the
parent works on, with its locks."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import mgit_store as mgit
import numpy as np
import pytest
from conftest import Run, difference_family

ONE = {"w": np.ones(3)}

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def in_child(check: Callable[[], object]) -> None:
    """Runs a check in a forked child, which ends within twenty seconds, and cleanly."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        status = 1
        try:
            check()
            status = 0
        except BaseException as error:
            os.write(2, f"in the child: {type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status == 0, status


def locked(path: Path, run: Run) -> bool:
    """Whether another process finds the store locked."""
    program = """
        try: mgit.open(sys.argv[1], "w").write(wait=0.05)
        except mgit.LockedError: print("locked")
    """
    return "locked" in run(program, path).stdout


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_what_the_parent_opened_is_refused_in_a_child(deltas: mgit.Store, run: Run) -> None:
    """Store, snapshot, model, tensor and transaction say so; arrays are memory, and stay. The
    parent works on, and has its lock still."""
    want = difference_family()["third"]
    snapshot, model = deltas.snapshot(), deltas["third"]
    tensor, read = model.tensor("w"), model.state_dict()
    tx = deltas.write()
    tx.add("mine", ONE)
    calls: list[Callable[[], object]] = [
        deltas.models,
        deltas.snapshot,
        deltas.verify,
        deltas.info,
        deltas.write,
        lambda: deltas["third"],
        lambda: "third" in deltas,
        snapshot.models,
        lambda: snapshot["third"],
        lambda: snapshot.commit,
        lambda: model["w"],
        model.state_dict,
        lambda: model.metadata,
        model.parents,
        tensor.numpy,
        lambda: tensor[0],
        lambda: tensor.shape,
        lambda: tx.add("x", ONE),
        lambda: tx.set_tag("a", "first"),
        tx.commit,
        lambda: mgit.safe_open(deltas, "third"),
    ]

    def check() -> None:
        for call in calls:
            with pytest.raises(mgit.ForkedError) as caught:
                call()
            assert caught.value.code == "forked"
        deltas.close()
        for name, value in want.items():
            assert np.array_equal(read[name], value)

    in_child(check)
    assert locked(deltas.path, run)
    assert not deltas.is_closed and not tx.is_closed
    tx.commit()
    assert "mine" in deltas and deltas.verify().is_clean
    assert not locked(deltas.path, run)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_a_child_opens_the_store_anew(deltas: mgit.Store) -> None:
    """It reads models that are stored as differences, on all cores, and writes; so does a
    grandchild; while the parent's transaction is open, the child is told."""
    want = difference_family()["third"]
    assert deltas["third"].state_dict().keys() == want.keys()

    def read() -> None:
        with mgit.open(deltas.path) as again:
            for values in (again["third"].state_dict(), again["third"].state_dict(writable=True)):
                assert all(np.array_equal(values[name], value) for name, value in want.items())
            assert again.verify().is_clean

    def read_and_write() -> None:
        read()
        with mgit.open(deltas.path, "w") as again:
            again.add("child", {name: value + 1 for name, value in want.items()}, parent="third")
        in_child(read)

    def refused() -> None:
        with mgit.open(deltas.path, "w") as again, pytest.raises(mgit.LockedError):
            again.write(wait=0.1)

    in_child(read_and_write)
    assert np.array_equal(deltas["child"]["w"], want["w"] + 1)
    with deltas.write():
        in_child(refused)
        in_child(read)
    assert deltas.verify().is_clean


@needs_fork
def test_a_child_that_ends_as_programs_do(run: Run) -> None:
    """With all objects of the parent's dropped at its exit: no crash, and the lock stays held."""
    run(
        """
        store = mgit.create("x.mgit")
        store.add("m", {"w": np.arange(1000.0)})
        model, tx = store["m"], store.write()
        array, kept = model["w"], model.tensor("w")
        tx.add("n", {"w": np.ones(2)})
        for way in range(3):
            child = os.fork()
            if child == 0:
                if way == 1: del store, model, tx, array, kept
                if way == 2: raise SystemExit(0)
                sys.exit(0)
            assert os.waitpid(child, 0)[1] == 0
        tx.commit()
        assert "n" in store and store.verify().is_clean
        """
    )


def read_sum(path: str) -> float:
    """The sum of a model's values: work of a pool."""
    with mgit.open(path) as store:
        return float(sum(value.sum() for value in store["third"].state_dict().values()))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_pools_of_processes(deltas: mgit.Store, method: str) -> None:
    """``multiprocessing`` pools, forked and spawned, read the store that the parent has open."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    want = read_sum(str(deltas.path))
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map_async(read_sum, [str(deltas.path)] * 4).get(timeout=60)
    assert found == [want] * 4


@needs_fork
def test_a_fork_while_another_thread_works(run: Run) -> None:
    """Twelve children, forked in the middle of adding and reading, open the store and read it."""
    run(
        """
        store = mgit.create("x.mgit")
        base = np.random.default_rng(1).standard_normal(20_000).astype(np.float32)
        store.add("m", {"w": base})
        store.add("n", {"w": base * np.float32(1.01)}, parent="m")
        end = threading.Event()
        def work():
            step = 0
            while not end.is_set():
                step += 1
                store.add("o", {"w": base + np.float32(step)}, parent="m")
                store["n"].state_dict(writable=True)
        thread = threading.Thread(target=work)
        thread.start()
        for number in range(12):
            time.sleep(0.02)
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                with mgit.open("x.mgit") as again:
                    good = np.array_equal(again["n"].state_dict()["w"], base * np.float32(1.01))
                os._exit(0 if good else 3)
            assert os.waitpid(child, 0)[1] == 0, number
        end.set()
        thread.join()
        assert store.verify().is_clean
        """,
        timeout=80,
    )
