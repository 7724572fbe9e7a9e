"""Threads read at the same time, each the right values, whatever others read and write."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import mgit_store as mgit
import numpy as np
from conftest import difference_family, needs


def side_by_side(works: list[Callable[[], None]]) -> None:
    """Runs some functions at the same time, and raises what one of them raises."""
    gate = threading.Barrier(len(works))

    def begin(work: Callable[[], None]) -> None:
        gate.wait()
        work()

    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(begin, work) for work in works]:
            done.result(timeout=60)


def test_four_threads_read_differences(deltas: mgit.Store) -> None:
    """Models that are stored as differences, through one store, with a cache and without one."""
    family = difference_family()
    for cache in (1 << 24, 0):
        deltas.set_cache_bytes(cache)

        def read(seed: int) -> None:
            rng = np.random.default_rng(seed)
            for _ in range(25):
                name = str(rng.choice(list(family)))
                for key, value in deltas[name].state_dict().items():
                    assert np.array_equal(value, family[name][key])

        side_by_side([lambda seed=seed: read(seed) for seed in range(4)])  # type: ignore[misc]


def test_four_threads_share_one_model(deltas: mgit.Store) -> None:
    """One model object, not opened before, its tensors and its slices."""
    want = difference_family()["third"]
    for _ in range(10):
        model = deltas["third"]

        def read(name: str, at: int, model: mgit.Model = model) -> None:
            assert np.array_equal(model[name], want[name])
            assert np.array_equal(model.tensor(name)[at : at + 3], want[name][at : at + 3])
            own = model.tensor(name).numpy(writable=True)
            own[:] = 0
            assert np.array_equal(model.state_dict()[name], want[name])

        side_by_side([lambda n=name, at=at: read(n, at) for name in want for at in (1, 7)])  # type: ignore[misc]


def test_threads_read_while_one_writes(deltas: mgit.Store) -> None:
    """Readers see whole commits: a pair of models is always of one step."""
    end = threading.Event()
    weights = difference_family()["third"]["w"]

    def write() -> None:
        try:
            for step in range(25):
                with deltas.write() as tx:
                    for name in ("left", "right"):
                        tx.add(name, {"w": weights + np.float32(step), "step": np.array(step)})
                    if step > 3:
                        tx.remove(f"left@{step - 2}", "detach")
                        tx.remove(f"right@{step - 2}", "detach")
        finally:
            end.set()

    def read() -> None:
        while not end.is_set():
            snapshot = deltas.snapshot()
            if "left" not in snapshot:
                continue
            left, right = snapshot["left"], snapshot["right"]
            assert left["step"] == right["step"]
            assert np.array_equal(left["w"], weights + np.float32(left["step"]))
            assert [tensor.content_id for tensor in left.tensors()] == [
                tensor.content_id for tensor in right.tensors()
            ]

    side_by_side([write, read, read, read])
    assert deltas.verify().is_clean


def test_threads_close_and_open(deltas: mgit.Store) -> None:
    """A store that is closed under a reader says so, or has given its answer."""
    want = difference_family()["third"]["w"]

    def read(store: mgit.Store) -> None:
        try:
            for _ in range(1000):
                assert np.array_equal(store["third"]["w"], want)
        except mgit.ClosedError:
            return

    for _ in range(6):
        store = mgit.open(deltas.path)
        side_by_side([lambda s=store: read(s), lambda s=store: read(s), store.close])  # type: ignore[misc]


def test_threads_read_torch(deltas: mgit.Store) -> None:
    """The same as tensors of torch, which each thread may write to."""
    torch = needs("torch")
    want = {name: torch.from_numpy(value) for name, value in difference_family()["third"].items()}

    def read() -> None:
        for _ in range(10):
            state = deltas["third"].state_dict("pt")
            for name, value in state.items():
                assert torch.equal(value, want[name])
                value.zero_()

    side_by_side([read] * 4)
