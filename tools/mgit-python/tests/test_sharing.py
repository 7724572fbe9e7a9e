"""Models to and from other places: pull, push, clone, bundles, adoption, copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mgit_store as mgit
import numpy as np
import pytest


def values(store: mgit.Store) -> dict[str, dict[str, bytes]]:
    """All that is in a store."""
    return {
        model.full_name: {name: array.tobytes() for name, array in model.state_dict().items()}
        for model in store
    }


@pytest.mark.parametrize("way", ["store", "folder", "bundle"])
def test_every_way_brings_all(store: mgit.Store, folder: Path, way: str) -> None:
    """What is pulled from a store, a folder or a bundle is what was there."""
    place = {"store": store.path, "folder": folder / "remote", "bundle": folder / "b.bundle"}[way]
    if way == "folder":
        assert not store.push(place).diverged
    elif way == "bundle":
        store.bundle(place)
    told: list[int] = []
    with mgit.clone(place, folder / "copy.mgit", progress=told.append) as copy:
        assert values(copy) == values(store) and sum(told) > 0
        assert list(copy.remotes) == ["origin"]
        assert [m.full_name for m in copy["tuned"].parents()] == ["base@1"]
        assert copy.verify().is_clean
        if way != "bundle":
            store.add("new", {"w": np.ones(3)})
            if way == "folder":
                store.push(place)
            assert copy.pull("origin").models == ["new@1"]


def test_a_clone_of_nothing_leaves_nothing(folder: Path) -> None:
    """A place that is not there is an error, and no store is made."""
    with pytest.raises(mgit.StoreNotFoundError):
        mgit.clone(folder / "no.mgit", folder / "copy.mgit")
    assert not (folder / "copy.mgit").exists()


def test_a_clone_replaces_nothing(store: mgit.Store, folder: Path) -> None:
    """A file that is there stays as it is."""
    (folder / "taken.mgit").write_text("mine")
    with pytest.raises(mgit.ExistsError):
        mgit.clone(store.path, folder / "taken.mgit")
    assert (folder / "taken.mgit").read_text() == "mine"


def test_a_graph_alone(store: mgit.Store, folder: Path) -> None:
    """Tensors that were left behind are named as missing, and come when they are fetched."""
    with mgit.clone(store.path, folder / "copy.mgit", graph_only=True) as copy:
        assert copy["tuned"].missing_tensors == 1
        with pytest.raises(mgit.DamagedError):
            copy["tuned"]["w"]
        assert copy.fetch("tuned").tensors >= 1
        assert np.array_equal(copy["tuned"]["w"], store["tuned"]["w"])


def test_names_choose_models(store: mgit.Store, folder: Path) -> None:
    """A glob chooses, and what the models descend from comes along."""
    store.add("alone", {"w": np.ones(3)})
    with mgit.clone(store.path, folder / "copy.mgit", "tuned*") as copy:
        assert {model.name for model in copy} == {"base", "tuned"}


def test_adoption(empty: mgit.Store, folder: Path) -> None:
    """Models in a folder are found, added once, and what cannot be read is named."""
    files = pytest.importorskip("safetensors.numpy")
    there = folder / "in"
    there.mkdir()
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((256, 256)).astype(np.float32)
    files.save_file({"w": weights}, there / "a.safetensors")
    (there / "notes.txt").write_text("x")
    (there / "bad.safetensors").write_bytes(b"x" * 20)
    plan = empty.adopt(there, dry_run=True, check=False)
    assert [model.model for model in plan.models] == ["a@1"] and len(empty) == 0
    with pytest.raises(mgit.IncompleteError) as caught:
        empty.adopt(there, exclude=["*.zip"])
    report = caught.value.report
    assert [(model.model, model.added) for model in report.models] == [("a@1", True)]
    assert list(report.failed) == [str(there / "bad.safetensors")]
    assert list(report.left_out) == [str(there / "notes.txt")]
    assert report.unused_globs == ["*.zip"]
    (there / "bad.safetensors").unlink()
    report = empty.adopt(there)
    assert [(model.added, model.already_there) for model in report.models] == [(False, True)]


def test_a_parent_that_is_found(empty: mgit.Store, folder: Path) -> None:
    """``parent="auto"`` is the model that is sure enough, or relatives are noted."""
    files = pytest.importorskip("safetensors.numpy")
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((256, 256)).astype(np.float32)
    empty.add("base", {"w": weights})
    files.save_file(
        {"w": weights + rng.normal(0, 1e-3, weights.shape).astype(np.float32)}, folder / "t"
    )
    (folder / "t").rename(folder / "t.safetensors")
    with empty.write() as tx:
        tx.add_path(folder / "t.safetensors", "tuned", parent="auto")
    model = empty["tuned"]
    found = {parent.name for parent in model.parents()} | {
        kin["name"].split("@")[0] for kin in kin_of(model)
    }
    assert found == {"base"}


def kin_of(model: mgit.Model) -> list[Any]:
    return list(model.metadata.get("kin", []))


def test_looking_after_a_store(store: mgit.Store, folder: Path) -> None:
    """Collecting, repacking, a backup and a vacuum keep all that is there."""
    before = values(store)
    store.add("gone", {"w": np.ones(1000)})
    with store.write() as tx:
        tx.remove("gone")
    store.gc()
    store.repack(dry_run=True)
    store.repack("dense")
    store.backup(folder / "copy.mgit")
    with pytest.raises(mgit.ExistsError):
        store.backup(folder / "copy.mgit")
    store.backup(folder / "copy.mgit", overwrite=True)
    mgit.vacuum(folder / "copy.mgit")
    assert values(store) == before
    with mgit.open(folder / "copy.mgit") as copy:
        assert values(copy) == before and copy.verify().is_clean


def test_a_reader_does_not_write(store: mgit.Store, folder: Path) -> None:
    """Every call that changes a store is refused by one that is open to read."""
    with mgit.open(store.path) as reader:
        calls = [
            lambda: reader.pull(store.path),
            lambda: reader.gc(),
            lambda: reader.repack(),
            lambda: reader.add_remote("a", folder),
            lambda: reader.remove_remote("a"),
            lambda: reader.adopt(folder),
            lambda: reader.fetch("base"),
            lambda: reader.make("x", "cast", "base"),
            lambda: reader.merge("base", "tuned", "x"),
            lambda: reader.update("base", "tuned"),
            lambda: reader.write(),
            lambda: reader.set_test("t", {"run": {"builtin": "finite"}}),
        ]
        for call in calls:
            with pytest.raises(mgit.ReadOnlyError):
                call()
        reader.backup(folder / "copy.mgit")
        reader.push(folder / "remote")
        assert reader.run_tests().is_passed
