"""The examples in the docstrings of the package run as they stand.

``python -m pytest -p tests.conftest --doctest-modules --pyargs mgit_store`` runs them as well.
"""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import mgit_store as mgit
import numpy as np
import pytest

MODULES = ["mgit_store"] + [
    f"mgit_store.{found.name}"
    for found in pkgutil.iter_modules(mgit.__path__)
    if found.name != "_engine"
]


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module: str, store: mgit.Store, folder: Path) -> None:
    """Each example prints what its docstring says, in a store of ``base`` and ``tuned``."""
    from conftest import fill, needs

    if module == "mgit_store.transformers":
        needs("transformers")
    finder = doctest.DocTestFinder()
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    for number, test in enumerate(finder.find(importlib.import_module(module), module)):
        if not test.examples:
            continue
        own = folder / str(number)
        own.mkdir()
        with mgit.create(own / "family.mgit") as fresh:
            fill(fresh)
            test.globs.update(store=fresh, folder=own, np=np, mgit=mgit)
            runner.run(test, out=said.append, clear_globs=False)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)
