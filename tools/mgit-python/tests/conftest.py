"""What the tests share: stores to read and to write, and programs in processes of their own."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mgit_store as mgit
import numpy as np
import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def needs(name: str) -> Any:
    """The module of a package that is not required; the test that asks is skipped without it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        pytest.skip(f"{name} is not installed")


def fill(store: mgit.Store) -> None:
    """Adds the family of the docstrings: ``base``, and ``tuned`` that was derived from it."""
    base = np.arange(6, dtype=np.float32).reshape(2, 3)
    with store.write() as tx:
        tx.add("base", {"w": base})
        tx.add("tuned", {"w": base / np.float32(2)}, parent="base", kind="bert")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    return tmp_path


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[mgit.Store]:
    """A store without models, open to write."""
    with mgit.create(tmp_path / "empty.mgit") as store:
        yield store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[mgit.Store]:
    """A store of two models, open to write: ``base`` and ``tuned``."""
    with mgit.create(tmp_path / "family.mgit") as store:
        fill(store)
        yield store


def difference_family(seed: int = 1) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """A chain of three models that are stored as differences: some values of each change."""
    rng = np.random.default_rng(seed)
    weights = {
        "w": rng.standard_normal((48, 40)).astype(np.float32),
        "deep": rng.standard_normal((12, 10, 9)).astype(np.float32),
        "ids": rng.integers(0, 1 << 30, 3000),
    }
    family = {"first": weights}
    for name in ("second", "third"):
        weights = {key: value.copy() for key, value in weights.items()}
        for value in weights.values():
            flat = value.reshape(-1)
            at = rng.integers(0, flat.size, max(2, flat.size // 60))
            flat[at] = flat[at] * 3 // 2 if value.dtype.kind == "i" else flat[at] * np.float32(1.01)
        family[name] = weights
    return family


def chain(path: Path) -> mgit.Store:
    """A store of that family, in which each model is a difference from the one before."""
    store = mgit.create(path)
    parent = None
    for name, weights in difference_family().items():
        report = store.add(name, weights, parent=parent)
        assert parent is None or report.delta == len(weights), report
        parent = name
    return store


@pytest.fixture
def deltas(tmp_path: Path) -> Iterator[mgit.Store]:
    """A store of a chain of models, each a difference from the one before."""
    with chain(tmp_path / "deltas.mgit") as store:
        yield store


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mgit.Store]:
    """The same, for the tests that only read."""
    path = tmp_path_factory.mktemp("shared") / "deltas.mgit"
    chain(path).close()
    with mgit.open(path) as store:
        yield store


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a program in a process of its own, which a crash ends and not the tests."""

    def run_program(
        program: str, *arguments: object, timeout: float = 40, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        begin = "import os, sys, time, signal, threading\nimport numpy as np, mgit_store as mgit\n"
        # A gate that runs in the background may have it ignored, and so would its children.
        begin += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        text = begin + textwrap.dedent(program)
        command = [sys.executable, "-W", "ignore", "-c", text, *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, cwd=tmp_path, check=False
        )
        if check:
            assert done.returncode == 0, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run_program


@pytest.fixture(autouse=True)
def _namespace(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """The names that the docstrings of the package use, where they are run as doctests."""
    if type(request.node).__name__ != "DoctestItem":
        yield
        return
    namespace = request.getfixturevalue("doctest_namespace")
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    with mgit.create(folder / "family.mgit") as store:
        fill(store)
        namespace.update(store=store, folder=folder, np=np, mgit=mgit)
        yield
