"""A training loop that commits every checkpoint to a store, and goes on from the newest.

    pip install torch
    python train_and_commit.py [--optimizer] [--store run.mgit]

Run twice, the second run goes on where the first one ended.
"""

import argparse
import io

import mgit_store as mgit

try:
    import torch
except ImportError:
    raise SystemExit("this example needs torch: pip install torch") from None


def make_model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Embedding(256, 32),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * 32, 256),
        torch.nn.GELU(),
        torch.nn.Linear(256, 256),
    )


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Eight bytes that count up by one or two, and the byte that comes next."""
    generator = torch.Generator().manual_seed(step)
    start, by = torch.randint(0, 256, (64, 1), generator=generator), 1 + step % 2
    row = (start + by * torch.arange(9)) % 256
    return row[:, :8], row[:, 8]


def commit(store, name, step, loss, model, optimizer=None) -> mgit.Added:
    """Commits a checkpoint as the next version of the name; the version before is its parent."""
    files = {}
    if optimizer is not None:
        torch.save(optimizer.state_dict(), file := io.BytesIO())
        files["optimizer.pt"] = file.getvalue()
    return store.add(
        name,
        model.state_dict(),
        parent=store.get(name),
        files=files,
        metadata={"step": step, "loss": loss},
    )


def resume(store, name, model, optimizer) -> int:
    """Loads the newest version, if there is one. Returns the steps that were done."""
    newest = store.get(name)
    if newest is None:
        return 0
    model.load_state_dict(newest.state_dict("pt"))
    if any(file.path == "optimizer.pt" for file in newest.files()):
        state = io.BytesIO(newest.read_file("optimizer.pt"))
        optimizer.load_state_dict(torch.load(state, weights_only=True))
    print(f"going on from {newest.full_name}, step {newest.metadata['step']}")
    return newest.metadata["step"]


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--store", default="run.mgit")
    options.add_argument("--name", default="counter")
    options.add_argument("--steps", type=int, default=50, help="steps to train now")
    options.add_argument("--every", type=int, default=10, help="steps between commits")
    options.add_argument("--optimizer", action="store_true", help="commit its state too")
    chosen = options.parse_args()

    model = make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    rows = []
    with mgit.open(chosen.store, "a") as store:
        done = resume(store, chosen.name, model, optimizer)
        for step in range(done + 1, done + chosen.steps + 1):
            inputs, targets = batch(step)
            loss = torch.nn.functional.cross_entropy(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % chosen.every == 0:
                state = optimizer if chosen.optimizer else None
                before = store.nbytes
                added = commit(store, chosen.name, step, loss.item(), model, state)
                grown = store.nbytes - before
                rows.append((step, loss.item(), store[added.model].nbytes, grown))

    print(f"{'step':>6} {'loss':>8} {'as a file':>12} {'store grew':>12}")
    for row in rows:
        print("{:>6} {:>8.4f} {:>12,} {:>12,}".format(*row))
    files, grew = (sum(row[at] for row in rows) for at in (2, 3))
    print(f"{'sum':>6} {'':>8} {files:>12,} {grew:>12,}")


if __name__ == "__main__":
    main()
