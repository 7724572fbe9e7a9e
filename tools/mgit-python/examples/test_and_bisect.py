"""Tests of models as functions, and the checkpoint that went bad.

    python test_and_bisect.py [--store line.mgit]

Trains a small classifier with numpy and commits 16 checkpoints. From one of them on the training
loop has a bug: the labels are one place off for half of the classes.
"""

import argparse
import tempfile
from pathlib import Path

import mgit_store as mgit
import numpy as np

CHECKPOINTS = 16
rng = np.random.default_rng(0)
CENTRES = rng.standard_normal((10, 64)).astype(np.float32)


def samples(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points around ten centres, and which centre each belongs to."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count)
    points = CENTRES[labels] + rng.standard_normal((count, 64)) * 0.7
    return points.astype(np.float32), labels


def train_and_commit(store: mgit.Store, bad: int) -> None:
    """Softmax regression by gradient descent, one checkpoint every 20 steps."""
    weight, bias = np.zeros((64, 10), np.float32), np.zeros(10, np.float32)
    for checkpoint in range(1, CHECKPOINTS + 1):
        for step in range(20):
            points, labels = samples(128, seed=1000 * checkpoint + step)
            if checkpoint >= bad:
                labels = np.where(labels < 5, (labels + 1) % 5, labels)
            scores = np.exp(points @ weight + bias)
            wrong = scores / scores.sum(1, keepdims=True)
            wrong[np.arange(128), labels] -= 1
            weight -= 0.1 * points.T @ wrong / 128
            bias -= 0.1 * wrong.mean(0)
        store.add(
            "classifier",
            {"weight": weight, "bias": bias},
            parent=store.get("classifier"),
            metadata={"checkpoint": checkpoint},
        )


def register(store: mgit.Store) -> list[str]:
    """Registers two tests. Returns a list that fills with the models that accuracy runs on."""
    ran_on: list[str] = []

    @store.test(bounds=["accuracy>=0.8", "accuracy>=parent*0.9"], higher_is_better=True)
    def accuracy(model: mgit.Model) -> float:
        ran_on.append(model.full_name)
        points, labels = samples(2000, seed=1)
        return float(np.mean((points @ model["weight"] + model["bias"]).argmax(1) == labels))

    @store.test()
    def finite(model: mgit.Model) -> None:
        for name, values in model.items():
            assert np.isfinite(values).all(), f"{name} has NaN or infinity"

    return ran_on


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--store", type=Path, help="a new store; else a temporary one")
    options.add_argument("--bad", type=int, default=11, help="the checkpoint that goes bad")
    chosen = options.parse_args()
    path = chosen.store or Path(tempfile.mkdtemp(prefix="mgit-bisect-")) / "line.mgit"

    with mgit.create(path) as store:
        train_and_commit(store, chosen.bad)
        ran_on = register(store)

        found = store.bisect("classifier@1", f"classifier@{CHECKPOINTS}", "accuracy")
        print(
            f"first bad: {found.first_failing}, last good: {found.last_passing}; "
            f"{len(ran_on)} of {len(found.path)} checkpoints were tested, parents among them"
        )

        report = store.run_tests()
        known = sum(result.was_known for result in report)
        print(f"all tests: {len(report)} results, {known} of them known from the bisection")
        for failure in report.failures:
            print(f"  {failure.test} on {failure.model}: {', '.join(failure.reasons)}")

        ran_on.clear()
        again = store.run_tests()
        known = sum(result.was_known for result in again)
        print(f"the same again: {known} of {len(again)} known, {len(ran_on)} functions run")


if __name__ == "__main__":
    main()
