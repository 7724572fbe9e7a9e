"""Weight sync for reinforcement learning: a trainer commits each step, workers pull the change.

    pip install zstandard torch       # without torch: pip install zstandard ml_dtypes
    python weight_sync.py [--megabytes 3] [--steps 2] [--changed 1 2 5] [--through store]

A trainer and two workers are processes, each with a store of its own. The trainer commits the bf16
weights of a step as the child of the step before. The workers pull that, load it into their model
and compare it with the trainer's. What travels is the difference of one step, losslessly; a worker
that missed steps or has just started gets what it lacks by the same call.

``--through store``: the workers pull from the trainer's file (on one machine, or on a shared file
system). ``--through folder``: the trainer pushes to a folder (or ``s3://...``), the workers pull
from there.

The weights are synthetic: fp32 weights make steps as Adam's, and bf16 copies of them are sent. The
learning rate is chosen so that the given share of the bf16 values changes at a step.
"""

import argparse
import hashlib
import math
import multiprocessing
import tempfile
import time
from pathlib import Path

import mgit_store as mgit
import numpy as np

try:
    import torch
except ImportError:
    torch = None
    try:
        import ml_dtypes
    except ImportError:
        raise SystemExit("this example needs bf16: pip install torch, or ml_dtypes") from None
try:
    from weight_sync_others import measure
except ImportError as missing:
    raise SystemExit(f"this example needs zstandard: {missing}") from None

FRAMEWORK = "np" if torch is None else "pt"
WORKERS = 2


# What a program would copy.


def publish(store, step, weights, previous, profile="balanced"):
    """The trainer: commits the weights of a step. Returns the name of the version."""
    return store.add(
        "policy", weights, parent=previous, metadata={"step": step}, profile=profile, repack=False
    ).model


def receive(store, place, version, model):
    """A worker: pulls a version and loads it into its model. Returns the bytes that came."""
    came = store.pull(place).nbytes
    for name, values in store[version].state_dict(FRAMEWORK).items():
        model[name][...] = values
    return came


def keep_raw(store, version, previous, history):
    """Both, between two steps: keeps the newest version raw, so that the next is a difference of
    one step. The version before is removed or, with a history, becomes a difference again."""
    with store.write() as tx:
        tx.pin(version)
        if previous is not None and history:
            tx.unpin(previous)
        elif previous is not None:
            tx.remove(previous, on_children="detach")


# The processes.


def trainer(folder, chosen, to_workers, from_workers, results):
    policy = Policy(chosen.megabytes)
    place = folder / "wire" if chosen.through == "folder" else folder / "trainer.mgit"
    has_history = chosen.through == "folder"
    previous, before = None, None
    shares = [None] + [share for share in chosen.changed for _ in range(chosen.steps)]
    with mgit.create(folder / "trainer.mgit") as store:
        for step, share in enumerate(shares):
            bits = policy.bits() if share is None else policy.step(share / 100)
            weights, size = as_bf16(bits), size_of(place)
            start = time.perf_counter()
            version = publish(store, step, weights, previous, chosen.profile)
            if chosen.through == "folder":
                store.push(place)
            sent = time.perf_counter() - start
            new_files = size_of(place) - size

            expected = store[version].content_id, digest(weights)
            for worker in to_workers:
                worker.put((place, version, previous, expected))
            reports = [from_workers.get() for _ in to_workers]
            start = time.perf_counter()
            keep_raw(store, version, previous, has_history)
            kept = time.perf_counter() - start
            # The slower worker counts. Through a folder, the bytes are those of its new files.
            came, received, worker_kept = (max(of) for of in zip(*reports, strict=True))
            wire = new_files if chosen.through == "folder" else came
            row = np.concatenate([values.reshape(-1) for values in bits.values()])
            if share is not None:
                others = measure(before, row)
                changed = float(np.mean(row != before))
                results.put((changed, (wire, sent, received), max(kept, worker_kept), others))
            previous, before = version, row
    for worker in to_workers:
        worker.put(None)


def worker(folder, number, chosen, commands, reports):
    model = as_bf16({name: np.zeros(shape, np.uint16) for name, shape in shapes(chosen.megabytes)})
    with mgit.create(folder / f"worker-{number}.mgit") as store:
        while (command := commands.get()) is not None:
            place, version, previous, expected = command
            start = time.perf_counter()
            came = receive(store, place, version, model)
            received = time.perf_counter() - start
            assert (store[version].content_id, digest(model)) == expected, version
            start = time.perf_counter()
            keep_raw(store, version, previous, history=chosen.through == "folder")
            reports.put((came, received, time.perf_counter() - start))


# The synthetic policy.


def shapes(megabytes):
    """Names and shapes of the matrices of a transformer of about this size."""
    elements = megabytes * 2**20 / 2
    width = 2 ** max(5, int(math.log2(elements / 24) / 2))
    for layer in range(max(1, round(elements / (12 * width**2)))):
        for name in ("q", "k", "v", "o"):
            yield f"layers.{layer}.attention.{name}.weight", (width, width)
        yield f"layers.{layer}.up.weight", (4 * width, width)
        yield f"layers.{layer}.down.weight", (width, 4 * width)


class Policy:
    """Weights in fp32 that make steps as Adam's: a rate times a direction of about one that changes
    slowly."""

    def __init__(self, megabytes):
        self.rng = np.random.default_rng(0)
        self.weights = {name: self.normal(shape) * 0.02 for name, shape in shapes(megabytes)}
        self.directions = {name: self.normal(shape) for name, shape in shapes(megabytes)}

    def normal(self, shape):
        return self.rng.standard_normal(shape, np.float32)

    def bits(self):
        return {name: rounded(weight) for name, weight in self.weights.items()}

    def step(self, share):
        """A step that changes about this share of the bf16 values."""
        rate = np.float32(self.rate(share))
        for name, direction in self.directions.items():
            self.weights[name] += rate * direction
            direction *= np.float32(0.9)
            direction += np.float32(math.sqrt(1 - 0.9**2)) * self.normal(direction.shape)
        return self.bits()

    def rate(self, share):
        name = next(iter(self.weights))
        weight, direction = self.weights[name], self.directions[name]
        low, high = 1e-9, 1e-2
        for _ in range(25):
            rate = math.sqrt(low * high)
            changed = np.mean(rounded(weight) != rounded(weight + np.float32(rate) * direction))
            low, high = (rate, high) if changed < share else (low, rate)
        return rate


def rounded(values):
    """The bits of fp32 values rounded to bf16."""
    bits = values.view(np.uint32)
    return (bits + 0x7FFF + (bits >> 16 & 1) >> 16).astype(np.uint16)


def as_bf16(bits):
    """Bits as a state dict of bf16 values."""
    if torch is None:
        return {name: values.view(ml_dtypes.bfloat16) for name, values in bits.items()}
    return {name: torch.from_numpy(values).view(torch.bfloat16) for name, values in bits.items()}


def digest(weights):
    """A hash of all values."""
    of = hashlib.blake2b(digest_size=16)
    for name in sorted(weights):
        values = weights[name]
        of.update(values.view(np.uint8) if torch is None else values.view(torch.uint8).numpy())
    return of.hexdigest()


def size_of(place):
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())


# The table.


def run(chosen):
    """Runs a trainer and its workers. Yields what each step took."""
    processes = multiprocessing.get_context("spawn")
    from_workers, results = processes.Queue(), processes.Queue()
    to_workers = [processes.Queue() for _ in range(WORKERS)]
    with tempfile.TemporaryDirectory(prefix="mgit-sync-", dir=chosen.folder) as name:
        folder = Path(name)
        arguments = [(trainer, (folder, chosen, to_workers, from_workers, results))]
        arguments += [
            (worker, (folder, number, chosen, commands, from_workers))
            for number, commands in enumerate(to_workers)
        ]
        running = [processes.Process(target=to, args=given) for to, given in arguments]
        for process in running:
            process.start()
        try:
            for _ in range(chosen.steps * len(chosen.changed)):
                while results.empty():
                    if any(process.exitcode for process in running):
                        raise SystemExit("a process failed")
                    time.sleep(0.02)
                yield results.get()
            for process in running:
                process.join(timeout=60)
        finally:
            for process in running:
                process.kill()
                process.join()


def report(steps, profile):
    """Prints the means of some steps."""
    changed, kept = (np.mean([step[at] for step in steps]) for at in (0, 2))
    rows = {name: np.mean([step[3][name] for step in steps], axis=0) for name in steps[0][3]}
    whole = rows["whole file"][0]
    best = min(wire for wire, _, _ in rows.values())
    rows[f"mgit, {profile}"] = ours = np.mean([step[1] for step in steps], axis=0)
    print(f"\n{changed:.2%} of {whole / 2**20:.1f} MiB changed at a step")
    print(f"  {'method':<28} {'wire bytes':>12} {'smaller':>9} {'send ms':>9} {'receive ms':>11}")
    for name, (wire, sent, received) in rows.items():
        print(
            f"  {name:<28} {wire:>12,.0f} {whole / wire:>8.1f}x "
            f"{sent * 1e3:>9.1f} {received * 1e3:>11.1f}"
        )
    print(
        f"  mgit sends {best / ours[0]:.2f} times less than the best other; "
        f"between the steps, {kept * 1e3:.0f} ms keep the newest raw"
    )


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--megabytes", type=float, default=3, help="of the model in bf16")
    options.add_argument("--steps", type=int, default=2, help="of each share")
    options.add_argument("--changed", type=float, nargs="+", default=[1, 2, 5], help="per cent")
    options.add_argument("--through", choices=["store", "folder"], default="store")
    options.add_argument("--profile", choices=["fast", "balanced", "dense"], default="balanced")
    options.add_argument("--folder", type=Path, help="of the stores; they are temporary")
    chosen = options.parse_args()
    print(f"{WORKERS} workers through a {chosen.through}, means of {chosen.steps} steps.")
    print("mgit: send is the durable commit, receive the pull (which checks all) and the load.")
    print("The others in memory: nothing is sent, kept or checked.")
    steps = []
    for step in run(chosen):
        steps.append(step)
        if len(steps) == chosen.steps:
            report(steps, chosen.profile)
            steps.clear()


if __name__ == "__main__":
    main()
