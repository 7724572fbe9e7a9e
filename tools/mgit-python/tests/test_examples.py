"""The examples run, each as a program of its own, and print what they promise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import mgit_store as mgit
import pytest
from conftest import needs

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(folder: Path, example: str, *arguments: str) -> str:
    """Runs an example in a folder. Returns what it prints."""
    command = [sys.executable, "-W", "ignore", str(EXAMPLES / example), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, cwd=folder, check=False
    )
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("optimizer", [[], ["--optimizer"]])
def test_train_and_commit(tmp_path: Path, optimizer: list[str]) -> None:
    """Each checkpoint is a version, the child of the one before; a second run goes on."""
    needs("torch")
    arguments = ["--steps", "4", "--every", "2", *optimizer]
    first = run(tmp_path, "train_and_commit.py", *arguments)
    assert "going on" not in first
    second = run(tmp_path, "train_and_commit.py", *arguments)
    assert "going on from counter@2, step 4" in second

    steps = re.findall(r"^ +(\d+) +[\d.]+ +[\d,]+ +[\d,]+$", first + second, re.MULTILINE)
    assert steps == ["2", "4", "6", "8"]
    store = mgit.open(tmp_path / "run.mgit")
    assert [model.metadata["step"] for model in store.versions("counter")] == [2, 4, 6, 8]
    assert [model.full_name for model in store["counter"].parents()] == ["counter@3"]
    files = {file.path for file in store["counter"].files()}
    assert ("optimizer.pt" in files) == bool(optimizer)

    # Row by row, the last row has the sums.
    numbers = re.findall(r"([\d,]+) +([\d,]+)$", first, re.MULTILINE)
    files_sizes, grew = zip(*[[int(text.replace(",", "")) for text in row] for row in numbers])
    assert (sum(files_sizes[:-1]), sum(grew[:-1])) == (files_sizes[-1], grew[-1])
    assert grew[1] < files_sizes[1]


def test_trainings_are_the_same(tmp_path: Path) -> None:
    """With the optimizer's state, what is trained in two runs is what one run trains."""
    needs("torch")
    arguments = ["--every", "2", "--optimizer", "--steps"]
    run(tmp_path, "train_and_commit.py", *arguments, "4", "--store", "one.mgit")
    for _ in range(2):
        run(tmp_path, "train_and_commit.py", *arguments, "2", "--store", "two.mgit")
    one, two = mgit.open(tmp_path / "one.mgit"), mgit.open(tmp_path / "two.mgit")
    weights = [
        {tensor.name: tensor.content_id for tensor in store["counter"].tensors()}
        for store in (one, two)
    ]
    assert weights[0] == weights[1]


def test_test_and_bisect(tmp_path: Path) -> None:
    """The checkpoint that went bad is found without all being tested; results are kept."""
    printed = run(tmp_path, "test_and_bisect.py", "--bad", "6", "--store", "line.mgit")
    assert "first bad: classifier@6, last good: classifier@5" in printed
    tested = re.search(r"(\d+) of 16 checkpoints were tested", printed)
    assert tested is not None and int(tested[1]) < 16
    assert "accuracy on classifier@6: accuracy>=0.8 is broken" in printed
    assert "accuracy on classifier@5" not in printed
    assert "the same again: 32 of 32 known, 0 functions run" in printed
    assert len(mgit.open(tmp_path / "line.mgit").versions("classifier")) == 16


@pytest.mark.parametrize("more", [[], ["--optimizer", "--background"]])
def test_trainer_callback(tmp_path: Path, more: list[str]) -> None:
    """A Trainer's checkpoints are versions, and an export of one gives equal logits."""
    for package in ("torch", "transformers", "accelerate"):
        needs(package)
    arguments = ["--steps", "2", "--save-steps", "1", "--folder", str(tmp_path), *more]
    printed = run(tmp_path, "trainer_callback.py", *arguments)
    assert "the export of gpt2/run-1@2 gives equal logits: True" in printed
    versions = mgit.open(tmp_path / "runs.mgit").versions("gpt2/run-1")
    assert [model.metadata["step"] for model in versions] == [1, 2]
    has_optimizer = any(file.path == "optimizer.pt" for file in versions[0].files())
    assert has_optimizer == ("--optimizer" in more)


@pytest.mark.parametrize("through", ["store", "folder"])
def test_weight_sync(tmp_path: Path, through: str) -> None:
    """Workers get the trainer's weights, and less is sent than by any other method."""
    needs("zstandard")
    try:
        import torch  # noqa: F401
    except ImportError:
        needs("ml_dtypes")
    arguments = ["--megabytes", "0.75", "--steps", "2", "--changed", "2", "5"]
    printed = run(tmp_path, "weight_sync.py", *arguments, "--through", through)
    rows = re.findall(r"^  (\S.*?)  +([\d,]+) +[\d.]+x +[\d.]+ +[\d.]+$", printed, re.MULTILINE)
    sent = [(name, int(number.replace(",", ""))) for name, number in rows]
    assert [name for name, _ in sent] == 2 * [
        "whole file",
        "sparse, u32 index + value",
        "sparse, varint gap + value",
        "XOR + zstd-1",
        "mgit, balanced",
    ]
    for others, (_, ours) in ((sent[:4], sent[4]), (sent[5:9], sent[9])):
        assert ours <= min(number for _, number in others), printed
