"""Every checkpoint that a Trainer saves is committed, and what fails is told."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mgit_store as mgit
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")
save_file = pytest.importorskip("safetensors.numpy").save_file

import mgit_store.transformers as ours  # noqa: E402
from mgit_store.transformers import CommitCallback  # noqa: E402


def arguments(folder: Path, **more: Any) -> Any:
    """A Trainer's arguments."""
    return transformers.TrainingArguments(
        output_dir=str(folder / "run"),
        max_steps=2,
        save_steps=1,
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        per_device_train_batch_size=2,
        **more,
    )


def state(step: int, **more: Any) -> Any:
    """What a Trainer says of itself when it saves."""
    known = {"is_world_process_zero": True, "epoch": step / 10, **more}
    return transformers.TrainerState(global_step=step, **known)


def save(args: Any, step: int) -> Path:
    """Writes a checkpoint as a Trainer does."""
    folder = Path(args.output_dir) / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    save_file({"w": np.full(64, step, np.float32)}, folder / "model.safetensors")
    (folder / "trainer_state.json").write_text(f'{{"global_step": {step}}}')
    (folder / "optimizer.pt").write_bytes(b"moments" * step)
    (folder / "rng_state.pth").write_bytes(b"random")
    return folder


def told(callback: Any, args: Any, step: int, **more: Any) -> None:
    """Saves a checkpoint, and tells the callback."""
    save(args, step)
    callback.on_save(args, state(step, **more), transformers.TrainerControl())


class Line(torch.nn.Module):
    """A model of two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x: Any, labels: Any) -> dict[str, Any]:
        """As a Trainer calls it."""
        found = self.layer(x)
        return {"loss": torch.nn.functional.mse_loss(found, labels), "logits": found}


def trainer(args: Any, callback: Any) -> Any:
    """A Trainer of that model."""
    rows = [{"x": torch.tensor([float(at)]), "labels": torch.tensor([2.0 * at])} for at in range(8)]
    return transformers.Trainer(model=Line(), args=args, train_dataset=rows, callbacks=[callback])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store will be."""
    return tmp_path / "runs.mgit"


@pytest.fixture
def locked(path: Path) -> Iterator[tuple[mgit.Store, Any]]:
    """A store that does not wait for others, and another writer who has it."""
    with mgit.create(path) as other, mgit.open(path, "w", wait=0) as store:
        transaction = other.write()
        yield store, transaction
        transaction.rollback()


@pytest.mark.parametrize("background", [False, True])
def test_a_trainer_commits(tmp_path: Path, path: Path, background: bool) -> None:
    """Each checkpoint is a version with the one before as its parent, without training state."""
    callback = CommitCallback(path, "run", background=background, metadata={"seed": 7})
    trainer(arguments(tmp_path), callback).train()
    store = mgit.open(path)
    assert [added.model for added in callback.commits] == ["run@1", "run@2"]
    assert [parent.full_name for parent in store["run@2"].parents()] == ["run@1"]
    for step, model in enumerate(store.versions("run"), 1):
        known = model.metadata
        assert (known["step"], known["seed"]) == (step, 7)
        assert known["epoch"] == step / 4 and known["loss"] > 0
        model.export(tmp_path / f"export-{step}")
        saved = tmp_path / "run" / f"checkpoint-{step}"
        files = {file.path for file in model.files()}
        left_out = {"optimizer.pt", "scheduler.pt", "rng_state.pth"}
        assert {file.name for file in saved.iterdir()} - files == left_out
        for name in files:
            assert (tmp_path / f"export-{step}" / name).read_bytes() == (saved / name).read_bytes()


def test_training_goes_on_from_an_export(tmp_path: Path, path: Path) -> None:
    """With the optimizer's state, training resumes from what the store gives back."""
    callback = CommitCallback(path, "run", optimizer=True, keep_folders=False)
    args = arguments(tmp_path)
    trainer(args, callback).train()
    assert not list(Path(args.output_dir).glob("checkpoint-*"))
    args.max_steps = 3
    folder = tmp_path / "run" / "checkpoint-2"
    callback.store["run"].export(folder)
    again = CommitCallback(path, "run", optimizer=True)
    trainer(args, again).train(resume_from_checkpoint=str(folder))
    assert [model.metadata["step"] for model in mgit.open(path).versions("run")] == [1, 2, 3]
    assert [parent.full_name for parent in mgit.open(path)["run@3"].parents()] == ["run@2"]


def test_the_first_has_a_parent(tmp_path: Path, path: Path) -> None:
    """The first checkpoint descends from what it is said to, the next from the first."""
    with mgit.create(path) as store:
        store.add("base", {"w": np.zeros(64, np.float32)})
    callback = CommitCallback(path, "run", parent="base")
    for step in (1, 2):
        told(callback, arguments(tmp_path), step)
    log = callback.store.log("run")
    names = [[parent.full_name for parent in model.parents()] for model in log]
    assert names == [["run@1"], ["base@1"]]


def test_what_is_excluded(tmp_path: Path, path: Path) -> None:
    """Other files may be left out; with the optimizer nothing else is."""
    callback = CommitCallback(path, "run", optimizer=True, exclude=["trainer_*.json"])
    told(callback, arguments(tmp_path), 1)
    files = {file.path for file in callback.store["run"].files()}
    assert files == {"model.safetensors", "optimizer.pt", "rng_state.pth"}


@pytest.mark.parametrize("background", [False, True])
def test_a_failure_is_raised(tmp_path: Path, locked: Any, background: bool) -> None:
    """What fails is raised: at once, or of a thread when it is waited for."""
    store, transaction = locked
    args = arguments(tmp_path)
    callback = CommitCallback(store, "run", background=background, keep_folders=False)
    if background:
        told(callback, args, 1)
        with pytest.raises(mgit.LockedError):
            callback.on_train_end(args, state(1), transformers.TrainerControl())
    else:
        with pytest.raises(mgit.LockedError):
            told(callback, args, 1)
    assert [type(error) for error in callback.errors] == [mgit.LockedError]
    assert callback.commits == [] and (Path(args.output_dir) / "checkpoint-1").is_dir()
    # It is told once; the next is committed.
    transaction.rollback()
    told(callback, args, 2)
    assert [added.model for added in callback.wait()] == ["run@1"]


def test_a_failure_in_training_ends_it(tmp_path: Path, locked: Any) -> None:
    """A Trainer ends with what failed."""
    with pytest.raises(mgit.LockedError):
        trainer(arguments(tmp_path), CommitCallback(locked[0], "run")).train()


@pytest.mark.parametrize("background", [False, True])
def test_a_failure_is_warned_of(tmp_path: Path, locked: Any, background: bool) -> None:
    """With a warning in place of an exception training goes on to its end, and folders stay."""
    callback = CommitCallback(
        locked[0], "run", on_error="warn", background=background, keep_folders=False
    )
    args = arguments(tmp_path)
    with pytest.warns(RuntimeWarning, match="a checkpoint of 'run' was not committed"):
        done = trainer(args, callback).train()
    assert done.global_step == 2
    assert [type(error) for error in callback.errors] == 2 * [mgit.LockedError]
    assert len(list(Path(args.output_dir).glob("checkpoint-*"))) == 2


def test_a_missing_folder_is_an_error(tmp_path: Path, path: Path) -> None:
    """A checkpoint that is not where a Trainer saves it is told of."""
    callback = CommitCallback(path, "run")
    with pytest.raises(mgit.StoreNotFoundError):
        callback.on_save(arguments(tmp_path), state(1), transformers.TrainerControl())
    assert len(callback.store) == 0


def test_training_does_not_wait(tmp_path: Path, path: Path) -> None:
    """In the background the Trainer goes on while another writer holds the commit up."""
    with mgit.create(path) as other:
        transaction = other.write()
        callback = CommitCallback(path, "run", background=True)
        told(callback, arguments(tmp_path), 1)
        assert callback.commits == [] and "run" not in callback.store
        transaction.rollback()
        assert [added.model for added in callback.wait()] == ["run@1"]
        assert callback.wait() == callback.commits


@pytest.mark.parametrize(
    ("limit", "best", "waits"),
    [(None, False, False), (1, False, True), (2, False, False), (2, True, True), (3, True, False)],
)
def test_what_may_be_deleted_is_waited_for(
    tmp_path: Path, path: Path, limit: int | None, best: bool, waits: bool
) -> None:
    """A folder that the Trainer's next save may delete is committed before that."""
    more = {"metric_for_best_model": "loss", "eval_strategy": "steps"} if best else {}
    args = arguments(tmp_path, save_total_limit=limit, **more)
    callback = CommitCallback(path, "run", background=True)
    told(callback, args, 1)
    assert (callback._under_way is None) == waits
    callback.wait()
    assert len(callback.commits) == 1


def test_a_folder_goes_when_its_commit_is_durable(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the folder is deleted, another reader finds the version."""
    seen: list[list[str]] = []
    delete = shutil.rmtree

    def look_and_delete(folder: Path) -> None:
        with mgit.open(path) as store:
            seen.append([model.full_name for model in store.models()])
        delete(folder)

    monkeypatch.setattr(ours.shutil, "rmtree", look_and_delete)
    args = arguments(tmp_path)
    callback = CommitCallback(path, "run", keep_folders=False)
    told(callback, args, 1)
    assert seen == [["run@1"]]
    assert not (Path(args.output_dir) / "checkpoint-1").exists()


def test_the_best_folder_is_not_deleted(tmp_path: Path, path: Path) -> None:
    """A Trainer that loads the best checkpoint at the end needs its folder."""
    args = arguments(tmp_path, eval_strategy="steps", eval_steps=1, load_best_model_at_end=True)
    callback = CommitCallback(path, "run", keep_folders=False)
    with pytest.raises(ValueError, match="keep_folders"):
        callback.on_train_begin(args, state(0), transformers.TrainerControl())


def test_metadata_of_odd_numbers(tmp_path: Path, path: Path) -> None:
    """The last loss and this step's evaluation are kept, numbers that JSON has not as texts."""
    log = [
        {"loss": 3.0, "learning_rate": 0.1, "step": 1},
        {"eval_loss": 9.0, "step": 1},
        {"loss": float("nan"), "step": 2},
        {"eval_loss": float("inf"), "eval_accuracy": np.float64(0.5), "step": 2},
    ]
    callback = CommitCallback(path, "run")
    told(callback, arguments(tmp_path), 2, log_history=log)
    known = callback.store["run"].metadata
    expected = {
        "step": 2,
        "epoch": 0.2,
        "loss": "nan",
        "eval_loss": "inf",
        "eval_accuracy": 0.5,
    }
    assert {key: known.get(key) for key in expected} == expected
    assert "learning_rate" not in known


def test_other_processes_commit_nothing(tmp_path: Path, path: Path) -> None:
    """Only the first process of a training commits."""
    callback = CommitCallback(path, "run")
    told(callback, arguments(tmp_path), 1, is_world_process_zero=False)
    assert callback.commits == [] and len(callback.store) == 0


def test_wrong_arguments(path: Path) -> None:
    """A mistake is told when the callback is made."""
    with pytest.raises(ValueError, match="on_error"):
        CommitCallback(path, "run", on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(mgit.StoreNotFoundError):
        CommitCallback(path.parent / "no-folder" / "s.mgit", "run")
