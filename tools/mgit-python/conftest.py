"""What the examples in docstrings are run with: a store of two models, and a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mgit_store as mgit


@pytest.fixture(autouse=True)
def _examples(
    request: pytest.FixtureRequest, doctest_namespace: dict[str, Any], tmp_path: Path
) -> None:
    if not isinstance(request.node, pytest.DoctestItem):
        return
    with mgit.create(tmp_path / "family.mgit") as store, store.write() as tx:
        weights = np.arange(6, dtype=np.float32).reshape(2, 3)
        tx.add("base", {"w": weights})
        tx.add("tuned", {"w": weights / 2 + 0.5}, parent="base", kind="bert")
    doctest_namespace["store"] = mgit.open(tmp_path / "family.mgit", "w")
    doctest_namespace["folder"] = tmp_path
    doctest_namespace["np"] = np
