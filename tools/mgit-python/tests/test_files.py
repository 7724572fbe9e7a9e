"""Files that are given beside a state dict are the model's, byte for byte; what cannot be a file of
it is refused; none is dropped in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mgit_store as mgit
import numpy as np
import pytest


def test_files_of_every_form(empty: mgit.Store, folder: Path) -> None:
    """Bytes, texts, JSON and copies come back as they were given, in the model and in a folder."""
    (folder / "source.txt").write_bytes(b"from a file\n")
    report = empty.add(
        "m",
        {"w": np.arange(3.0)},
        files={
            "config.json": {"model_type": "bert", "name": "é"},
            "list.json": [1, 2.5, None],
            "a/b/note.txt": "text é",
            "raw.bin": b"\0\1\2",
            "more.dat": bytearray(b"xy"),
            "view.dat": memoryview(b"abc")[1:],
            "copy.txt": folder / "source.txt",
            "empty": b"",
            ".hidden": b"h",
        },
    )
    assert report.notes == []
    model = empty[report.model]
    assert model.kind == "bert" and model.is_folder
    model.export(folder / "out")
    want = {
        "config.json": b'{\n  "model_type": "bert",\n  "name": "\xc3\xa9"\n}\n',
        "list.json": b"[\n  1,\n  2.5,\n  null\n]\n",
        "a/b/note.txt": "text é".encode(),
        "raw.bin": b"\0\1\2",
        "more.dat": b"xy",
        "view.dat": b"bc",
        "copy.txt": b"from a file\n",
        "empty": b"",
        ".hidden": b"h",
    }
    for path, data in want.items():
        assert model.read_file(path) == data == (folder / "out" / path).read_bytes(), path
    found = {
        str(path.relative_to(folder / "out"))
        for path in (folder / "out").rglob("*")
        if path.is_file()
    }
    assert found == {*want, "model.safetensors"} == {file.path for file in model.files()}


BAD_FILES: dict[str, dict[Any, Any]] = {
    "up": {"..": b"x"},
    "up and in": {"../a": b"x"},
    "in and up": {"a/../../b": b"x"},
    "absolute": {"/etc/x": b"x"},
    "empty": {"": b"x"},
    "dot": {".": b"x"},
    "the weights": {"model.safetensors": b"x"},
    "below the weights": {"model.safetensors/a": b"x"},
    "a number": {"a": 5},
    "none": {"a": None},
    "an array": {"a": np.zeros(2)},
    "NUL": {"a\0b": b"x"},
    "surrogate": {"\ud800": b"x"},
    "not a text": {5: b"x"},
    "a set": {"a.json": {"x": {1, 2}}},
    "file and folder": {"a": b"1", "a/b": b"2"},
    "no source": {"a": Path("/no/such/file")},
    "a folder": {"a": Path("/")},
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_bad_files_are_refused(store: mgit.Store, folder: Path, what: str) -> None:
    """A path out of the folder, one that is taken, or content that cannot be: nothing is added."""
    with pytest.raises((mgit.InvalidError, TypeError, ValueError, OSError)):
        store.add("m", {"w": np.ones(2)}, files=BAD_FILES[what])
    assert "m" not in store and store.verify().is_clean


def test_the_weights_cannot_be_given_twice(store: mgit.Store) -> None:
    """A whole ``model.safetensors`` among the files is refused for its path."""
    numpy_files = pytest.importorskip("safetensors.numpy")
    with pytest.raises(mgit.InvalidError, match=r"model\.safetensors"):
        store.add(
            "m", {"w": np.ones(2)}, files={"model.safetensors": numpy_files.save({"z": np.ones(2)})}
        )


@pytest.mark.parametrize("pair", [("./a", "a"), ("a//b", "a/b")])
def test_one_path_in_two_spellings_is_refused(store: mgit.Store, pair: tuple[str, str]) -> None:
    """Two contents for one path: neither is dropped without a word."""
    with pytest.raises(mgit.InvalidError):
        store.add("m", {"w": np.ones(2)}, files={pair[0]: b"1", pair[1]: b"2"})


@pytest.mark.parametrize("path", [".git/config", ".DS_Store", "__pycache__/a.pyc", "a.tmp", "a~"])
def test_no_given_file_is_dropped_in_silence(store: mgit.Store, path: str) -> None:
    """What was given by name is kept, or refused, or at least named in the notes."""
    try:
        report = store.add("m", {"w": np.ones(2)}, files={path: b"x", "keep": b"y"})
    except mgit.InvalidError as error:
        assert path.split("/")[0] in str(error) and "m" not in store
        return
    kept = {file.path for file in store["m"].files()}
    assert path in kept or any(path in note for note in report.notes)
