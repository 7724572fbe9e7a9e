"""The package is typed: mypy is content with it, and with a program that uses all of its face."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mgit_store as mgit
import pytest

pytest.importorskip("mypy", reason="mypy is not installed")

GOOD = """
from __future__ import annotations

from pathlib import Path
from typing import Any

import mgit_store as mgit
import numpy as np
import numpy.typing as npt
from typing_extensions import assert_type

store: mgit.Store = mgit.create("x.mgit", wait=1.0)
store = mgit.open(Path("x.mgit"), "a", wait=None, exclusive=True)
assert_type(store.path, Path)
assert_type(store.nbytes, int)
assert_type(store.is_closed, bool)
weights: dict[str, npt.NDArray[np.float32]] = {"w": np.ones(3, np.float32)}
with store.write(wait=2) as tx:
    added = tx.add(
        "m", weights, parent=None, kind="bert", metadata={"a": 1}, profile="fast", pinned=True,
        files={"a.json": {"x": 1}, "b": b"", "c": "text", "d": Path("d"), "e": [1]}, unless="equal",
        progress=lambda count: print(count), made_of=["a", "b"],
    )
    tx.add("n", weights, parent="m", how="finetune")
    tx.add("o", weights, parent=["m", ("n", "merge")])
    tx.add("p", weights, parent=store["m"])
    tx.add_path("folder", "q", exclude=["*.tmp"], include=[], follow_links=True)
    tx.set_tag("best", "m")
    tx.remove_tag("best")
    tx.remove(store["m"], "reparent")
    tx.add_parent("a", "b", "average")
    tx.remove_parent("a", "b")
    tx.set_previous("a", None)
    tx.rename("a", "b")
    assert_type(tx.move("a", "b"), str)
    tx.set_kind("a", "b")
    tx.set_metadata("a", {"b": [1]})
    tx.commit()
    tx.rollback()
    assert_type(tx.is_closed, bool)
assert_type(added, mgit.Added)
assert_type(added.model, str)
assert_type(added.notes, list[str])
model = store["m"]
assert_type(model, mgit.Model)
assert_type(store.models(), list[mgit.Model])
assert_type(model.metadata, dict[str, Any])
array: npt.NDArray[Any] = model["w"]
tensor = model.tensor("w")
assert_type(tensor, mgit.Tensor)
assert_type(tensor.shape, tuple[int, ...])
rows: npt.NDArray[Any] = tensor[0:2, ..., None]
own: npt.NDArray[Any] = tensor.numpy(writable=True)
assert_type(model.state_dict("pt", device="cpu", names=["w"]), dict[str, Any])
assert_type(model.files(), list[mgit.FileInfo])
assert_type(model.read_file("a"), bytes)
assert_type(model.export("out", overwrite=True, only=["*"], as_safetensors=True), mgit.ExportReport)
assert_type(model.parents(), list[mgit.Model])
assert_type(model.previous(), mgit.Model | None)
assert_type(model.snapshot, mgit.Snapshot)
for name, value in model.items():
    assert_type(name, str)
for each in store:
    assert_type(each, mgit.Model)
assert_type(store.ancestors("m", "both", "depth"), list[mgit.Model])
assert_type(store.edges("m"), list[tuple[mgit.Model, str]])
assert_type(store.topological("version"), list[mgit.Model])
assert_type(store.common_ancestors("a", model, edges="both"), list[mgit.Model])
assert_type(store.tags(), dict[str, mgit.Model])
diff = store.diff("a", model)
assert_type(diff, mgit.Diff)
assert_type([layer.name for layer in diff], list[str])
assert_type(store.verify("quick"), mgit.VerifyReport)
assert_type(store.verify().is_clean, bool)
with mgit.safe_open(store, "m", framework="np") as file:
    assert_type(file, mgit.safe_open)
    assert_type(file.keys(), list[str])
    assert_type(file.metadata(), dict[str, str] | None)
    assert_type(file.get_slice("w"), mgit.SafeSlice)
    assert_type(file.get_slice("w").get_shape(), list[int])
try:
    mgit.open("x")
except (mgit.NotFoundError, mgit.LockedError, mgit.ForkedError) as error:
    assert_type(error.code, str)
store.add("a", weights, parent="b")
"""

BAD = """
import mgit_store as mgit
store = mgit.open("x", "rb")
store.ancestors("m", "sideways")
store[5]
with store.write() as tx:
    tx.add("m", [1, 2])
    tx.add("m", {}, profile="slow")
    tx.remove("m", "please")
    tx.add("m", {}, parent="a", how="guess")
store.verify("half")
"""


#: The types of torch take mypy a minute; those of this package are what is looked at.
CONFIG = """
[mypy]
strict = true
[mypy-torch.*,transformers.*]
follow_imports = skip
ignore_missing_imports = true
[mypy-mgit_store.transformers]
# What it derives from is not looked at here.
disallow_subclassing_any = false
[mypy-ml_dtypes.*]
ignore_missing_imports = true
"""


def test_the_package_and_programs(tmp_path: Path) -> None:
    """The package has no error; a program that uses the whole face has none; each wrong line of
    another is found."""
    (tmp_path / "mypy.ini").write_text(CONFIG)
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(GOOD)
    bad.write_text(BAD)
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--no-error-summary"]
    command += [str(Path(mgit.__file__).parent), str(good), str(bad)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    lines = [line for line in done.stdout.splitlines() if "error" in line]
    assert [line for line in lines if "bad.py" not in line] == [], done.stdout + done.stderr
    found = {int(line.split(":")[1]) for line in lines if "bad.py" in line}
    assert found == {3, 4, 5, 7, 8, 9, 10, 11}, done.stdout + done.stderr


def test_it_says_that_it_is_typed() -> None:
    """The marker is installed with the package, and all that is public is there."""
    assert (Path(mgit.__file__).parent / "py.typed").exists()
    assert all(hasattr(mgit, name) for name in mgit.__all__)
    assert sorted(mgit.__all__, key=str) == sorted(set(mgit.__all__), key=str)
