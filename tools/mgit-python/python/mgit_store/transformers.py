"""Commits the checkpoints of a ``transformers.Trainer``: needs ``pip install transformers``.

::

    from mgit_store.transformers import CommitCallback

    trainer = Trainer(..., callbacks=[CommitCallback("runs.mgit", "bert/run-1")])
    trainer.train()

Each checkpoint that the Trainer saves becomes the next version of one name in the store.
"""

from __future__ import annotations

import math
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from transformers.trainer_callback import TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.training_args import TrainingArguments

from ._reports import Added
from ._snapshot import ModelLike
from ._store import Store
from ._store import open as open_store
from ._transaction import Profile

__all__ = ["TRAINING_STATE", "CommitCallback"]

#: Globs of what a checkpoint holds only so that training can go on from it.
TRAINING_STATE = (
    "optimizer.*",
    "optimizer_*",
    "scheduler.pt",
    "scaler.pt",
    "rng_state*.pth",
    # of DeepSpeed
    "global_step*",
    "latest",
    "zero_to_fp32.py",
)


class CommitCallback(TrainerCallback):
    """Commits every checkpoint that the Trainer saves, as the next version of ``name``.

    A checkpoint is a folder ``checkpoint-N``; it is committed file by file, and comes back with
    ``store["run@3"].export(folder)`` for ``from_pretrained``, or, with ``optimizer=True``, for
    ``trainer.train(resume_from_checkpoint=folder)``. Its parent is the version before; its
    metadata has ``step``, ``epoch``, the last ``loss`` and the evaluation of this step. A run
    that is resumed goes on with the versions of its name; give another run another name.

    Where training runs in several processes, the first one commits, once all have saved.

    Args:
        store: an open store, or the path of one, which is made where nothing is there.
        name: the name whose versions the checkpoints become.
        parent: what the first checkpoint was derived from: a model of the store.
        optimizer: commit :data:`TRAINING_STATE` as well: the states of the optimizer, scheduler and
            random numbers, about twice the bytes of the weights.
        exclude: globs of other files to leave out.
        metadata: what the metadata of each version has besides.
        profile: as of :meth:`Transaction.add`.
        background: commit in a thread while training goes on. One commit is under way at a time:
            the Trainer's next save waits for it, and so does this one where ``save_total_limit`` is
            so small that the next could delete what is being committed.
        on_error: what happens when a commit fails. ``"raise"``, as when the Trainer's own save
            fails, ends training: at once, or with ``background`` at the next save or at the end.
            ``"warn"`` warns, and training goes on; see :attr:`errors`. The folder stays either way.
        keep_folders: without it, each folder is deleted when its commit is durable, and what was
            left out of the commit with it. Not for ``load_best_model_at_end``, which needs them.
    """

    def __init__(
        self,
        store: Store | str | os.PathLike[str],
        name: str,
        *,
        parent: ModelLike | None = None,
        optimizer: bool = False,
        exclude: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        profile: Profile = "balanced",
        background: bool = False,
        on_error: Literal["raise", "warn"] = "raise",
        keep_folders: bool = True,
    ) -> None:
        if on_error not in ("raise", "warn"):
            raise ValueError(f'on_error is "raise" or "warn", not {on_error!r}')
        #: The store that is committed to.
        self.store = store if isinstance(store, Store) else open_store(store, "a")
        self.name = name
        #: What was committed, in order.
        self.commits: list[Added] = []
        #: What failed, in order; the checkpoints are where the Trainer has saved them.
        self.errors: list[Exception] = []
        self._parent = parent
        self._exclude = [*exclude] if optimizer else [*TRAINING_STATE, *exclude]
        self._metadata = dict(metadata or {})
        self._profile = profile
        self._on_error = on_error
        self._keeps_folders = keep_folders
        self._in_background = background
        self._thread = ThreadPoolExecutor(1, "mgit-commit")
        self._under_way: Future[None] | None = None

    def wait(self) -> list[Added]:
        """Waits for the commit that is under way. Returns :attr:`commits`.

        Raises:
            Error: with ``on_error="raise"``, what the commit failed with.
        """
        if self._under_way is not None:
            error = self._under_way.exception()
            self._under_way = None
            if isinstance(error, Exception):
                self.errors.append(error)
                if self._on_error == "warn":
                    text = f"a checkpoint of {self.name!r} was not committed: {error}"
                    warnings.warn(text, RuntimeWarning, stacklevel=2)
                    error = None
            if error is not None:
                raise error
        return self.commits

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Refuses what cannot go together."""
        if args.load_best_model_at_end and not self._keeps_folders:
            raise ValueError("load_best_model_at_end needs the folders: keep_folders=True")

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Commits the checkpoint that was saved."""
        if args.distributed_state is not None:
            args.distributed_state.wait_for_everyone()
        if not state.is_world_process_zero:
            return
        self.wait()
        folder = Path(args.output_dir or ".") / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        metadata = {**self._metadata, **_metadata(state)}
        self._under_way = self._thread.submit(self._commit, folder, metadata)
        if not self._in_background or _may_rotate_away(args):
            self.wait()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Waits for the last commit."""
        self.wait()

    def _commit(self, folder: Path, metadata: dict[str, Any]) -> None:
        with self.store.write() as tx:
            parent = self.store.get(self.name, self._parent)
            added = tx.add_path(
                folder,
                self.name,
                parent=parent,
                metadata=metadata,
                profile=self._profile,
                exclude=self._exclude,
                unless=None,
            )
        self.commits.append(added)
        if not self._keeps_folders:
            shutil.rmtree(folder)


def _metadata(state: TrainerState) -> dict[str, Any]:
    """What is known of a checkpoint: its step and epoch, the last loss, its evaluation."""
    known: dict[str, Any] = {"step": state.global_step, "epoch": state.epoch}
    for logged in state.log_history:
        is_now = logged.get("step") == state.global_step
        known |= {
            key: value if math.isfinite(value) else str(value)
            for key, value in logged.items()
            if isinstance(value, int | float)
            and (key == "loss" or is_now and key.startswith("eval_"))
        }
    return known


def _may_rotate_away(args: TrainingArguments) -> bool:
    """Whether the next save may delete the folder of this one: ``save_total_limit`` keeps the
    newest and, where there is a measure, the best."""
    limit = args.save_total_limit
    return limit is not None and 0 < limit < (3 if args.metric_for_best_model else 2)
