"""A store for families of machine-learning models: one file, with their lineage.

>>> import numpy as np, mgit_store as mgit
>>> store = mgit.create(folder / "models.mgit")
>>> with store.write() as tx:
...     _ = tx.add("base", {"w": np.zeros((2, 3), np.float32)})
...     _ = tx.add("tuned", {"w": np.ones((2, 3), np.float32)}, parent="base")
>>> store["tuned"]["w"].sum()
np.float32(6.0)
>>> store["tuned"].parents()
[<mgit_store.Model 'base@1' 1 tensor, 24 bytes>]

Identical tensors are kept once, derived models as lossless differences from their parents, and a
tensor that lies raw in the file is read without a copy. Open a store with :func:`open`, make one
with :func:`create`, get another's with :func:`clone`.
"""

from __future__ import annotations

from ._adoption import AdoptionReport, FoundModel
from ._engine import __version__
from ._errors import (
    ClosedError,
    ConflictError,
    DamagedError,
    Error,
    ExistsError,
    ForkedError,
    FullError,
    FunctionError,
    IncompleteError,
    InvalidError,
    LockedError,
    NotFoundError,
    ReadOnlyError,
    StoreNotFoundError,
    TestFailedError,
)
from ._functions import Inputs
from ._lab import MergeReport, UpdateReport, UpdateStep
from ._model import Model
from ._reports import Added, Diff, ExportReport, FileInfo, VerifyReport
from ._safe_open import SafeSlice, safe_open
from ._sharing import TransferReport
from ._snapshot import Snapshot
from ._store import Store, clone, create, open, vacuum
from ._tensor import Tensor
from ._testing import Bisection, TestInfo, TestReport, TestResult
from ._transaction import Transaction

__all__ = [
    "Added",
    "AdoptionReport",
    "Bisection",
    "ClosedError",
    "ConflictError",
    "DamagedError",
    "Diff",
    "Error",
    "ExistsError",
    "ExportReport",
    "FileInfo",
    "ForkedError",
    "FoundModel",
    "FullError",
    "FunctionError",
    "IncompleteError",
    "Inputs",
    "InvalidError",
    "LockedError",
    "MergeReport",
    "Model",
    "NotFoundError",
    "ReadOnlyError",
    "SafeSlice",
    "Snapshot",
    "Store",
    "StoreNotFoundError",
    "Tensor",
    "TestFailedError",
    "TestInfo",
    "TestReport",
    "TestResult",
    "Transaction",
    "TransferReport",
    "UpdateReport",
    "UpdateStep",
    "VerifyReport",
    "__version__",
    "clone",
    "create",
    "open",
    "safe_open",
    "vacuum",
]
