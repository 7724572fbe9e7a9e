"""A transformers Trainer that commits every checkpoint to a store.

    pip install torch transformers accelerate
    python trainer_callback.py [--optimizer] [--background] [--folder FOLDER]

Trains a tiny GPT-2 of random weights on random tokens (nothing is downloaded), lists the versions
that the callback has committed, exports one and loads it with ``from_pretrained``.
"""

import argparse
import tempfile
from pathlib import Path

try:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments
except ImportError as missing:
    raise SystemExit(f"this example needs torch and transformers: {missing}") from None

from mgit_store.transformers import CommitCallback


class Tokens(torch.utils.data.Dataset):
    """Random tokens, each of them twice, so that there is something to learn."""

    def __init__(self, count: int) -> None:
        torch.manual_seed(0)
        self.tokens = torch.randint(0, 512, (count, 16)).repeat_interleave(2, 1)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, at: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.tokens[at], "labels": self.tokens[at]}


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--steps", type=int, default=40)
    options.add_argument("--save-steps", type=int, default=10)
    options.add_argument("--optimizer", action="store_true", help="commit its state too")
    options.add_argument("--background", action="store_true", help="commit in a thread")
    options.add_argument("--folder", type=Path, help="of the store; else a temporary one")
    chosen = options.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="mgit-trainer-"))

    commits = CommitCallback(
        folder / "runs.mgit",
        "gpt2/run-1",
        optimizer=chosen.optimizer,
        background=chosen.background,
    )
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=512,
        n_positions=32,
        n_embd=64,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    trainer = Trainer(
        model=GPT2LMHeadModel(config),
        args=TrainingArguments(
            output_dir=str(folder / "run-1"),
            max_steps=chosen.steps,
            save_steps=chosen.save_steps,
            logging_steps=chosen.save_steps,
            per_device_train_batch_size=8,
            learning_rate=3e-3,
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=Tokens(512),
        callbacks=[commits],
    )
    trainer.train()

    store = commits.store
    print(f"\n{'version':<14} {'step':>5} {'loss':>7} {'checkpoint':>12} {'store grew':>12}")
    for model, added in zip(store.versions("gpt2/run-1"), commits.commits, strict=True):
        known = model.metadata
        print(
            f"{model.full_name:<14} {known['step']:>5} {known['loss']:>7.3f} "
            f"{model.nbytes:>12,} {added.added_bytes:>12,}"
        )

    # Any version comes back as the folder that the Trainer wrote.
    store["gpt2/run-1"].export(folder / "export")
    loaded = GPT2LMHeadModel.from_pretrained(folder / "export").eval()
    inputs = torch.arange(16).reshape(1, 16)
    with torch.no_grad():
        equal = torch.equal(loaded(inputs).logits, trainer.model.eval()(inputs).logits)
    print(f"\nthe export of {store['gpt2/run-1'].full_name} gives equal logits: {equal}")
    if not equal:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
