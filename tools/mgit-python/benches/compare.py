"""Reading and committing models, beside safetensors and the command-line tool, in one run.

    python benches/compare.py BASE.safetensors TUNED.safetensors [--tool target/release/mgit-db]

Build the package for release first (``pip install ./tools/mgit-python``). Medians of alternating
runs; every page of what is read is touched. The files should be in the page cache: the first round
is not counted.
"""

from __future__ import annotations

import argparse
import gc
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mgit_store as mgit
import numpy as np
import safetensors.torch
import torch


def touch(tensors: dict[str, Any]) -> float:
    """Reads a byte of every page."""
    pages = (tensor.reshape(-1).view(torch.uint8)[::4096] for tensor in tensors.values())
    return sum(float(page.sum()) for page in pages)


def timed(work: Callable[[], object]) -> float:
    gc.collect()
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def medians(rounds: int, *works: Callable[[], object]) -> list[float]:
    """The median seconds of each, run in turn."""
    times = [[timed(work) for work in works] for _ in range(rounds + 1)][1:]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def read(folder: Path, base: Path, tuned: Path, rounds: int) -> None:
    store = mgit.create(folder / "read.mgit")
    store.add_path(base, "base")
    store.add_path(tuned, "tuned", parent="base")

    def opened() -> None:
        with mgit.open(store.path) as fresh:
            touch(fresh["base"].state_dict("pt"))

    theirs, fresh, held = medians(
        rounds,
        lambda: touch(safetensors.torch.load_file(base)),
        opened,
        lambda: touch(store["base"].state_dict("pt")),
    )
    print(f"raw, {base.stat().st_size / 1e6:.0f} MB: safetensors {theirs * 1e3:.1f} ms")
    print(f"  state_dict, store opened for it  {fresh * 1e3:6.1f} ms  {fresh / theirs:.2f} times")
    print(f"  state_dict, store open already   {held * 1e3:6.1f} ms  {held / theirs:.2f} times")

    model = store["tuned"]
    tensors = [tensor._engine for tensor in model.tensors()]
    engine, ours = medians(
        rounds,
        lambda: model._engine.read(tensors, True),
        lambda: model.state_dict("pt"),
    )
    print(
        f"delta-coded: the engine {engine * 1e3:.1f} ms, state_dict {ours * 1e3:.1f} ms, ", end=""
    )
    print(f"{ours / engine:.3f} times")


def small(folder: Path, rounds: int) -> None:
    count = 5000
    store = mgit.create(folder / "small.mgit")
    store.add("many", {f"t{at}": np.full(8, at, np.float32) for at in range(count)})
    model = store["many"]
    for framework in ("np", "pt"):
        (seconds,) = medians(rounds, lambda framework=framework: model.state_dict(framework))
        print(f"{count} tensors of 32 bytes, {framework}: {seconds / count * 1e6:.1f} us a tensor")


def commit(folder: Path, base: Path, tuned: Path, tool: Path, rounds: int) -> None:
    store = folder / "base.mgit"
    with mgit.create(store) as made:
        made.add_path(base, "base")
    state_dict = safetensors.torch.load_file(tuned)
    target = folder / "commit.mgit"

    def ours() -> None:
        with mgit.open(target, "w") as opened:
            opened.add("tuned", state_dict, parent="base")

    def theirs() -> None:
        command = [tool, "import", target, tuned, "--name", "tuned", "--parent", "base"]
        subprocess.run(command, check=True, capture_output=True)

    times: list[list[float]] = [[], []]
    for _ in range(rounds):
        for at, work in enumerate((ours, theirs)):
            shutil.copyfile(store, target)
            times[at].append(timed(work))
    package, program = (statistics.median(column) for column in times)
    print(f"commit: the tool {program:.3f} s, add {package:.3f} s, {package / program:.2f} times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("base", type=Path)
    parser.add_argument("tuned", type=Path)
    parser.add_argument("--tool", type=Path, help="mgit-db, built for release")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        read(folder, arguments.base, arguments.tuned, arguments.rounds)
        small(folder, arguments.rounds)
        if arguments.tool is not None:
            commit(folder, arguments.base, arguments.tuned, arguments.tool, 5)


if __name__ == "__main__":
    main()
