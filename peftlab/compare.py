"""Many runs: trials x seeds on one task and backbone, on this machine, kept as they finish.

trials = [Trial(label="LoRA r=8", method=LoRA(rank=8), learning_rate=5e-3, epochs=5)]
runs = run_trials(trials, backbone="minilm", task="reviews", seeds=[0, 1, 2], folder="runs")
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import torch
from tqdm import tqdm

from peftlab import paths
from peftlab.attach import Attachment
from peftlab.backbones import load_backbone
from peftlab.files import write_whole
from peftlab.ledger import versions
from peftlab.methods.base import Method
from peftlab.tasks import load_task
from peftlab.training import evaluate, train


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One setting to train, whatever the seed.

    Args:
        label: what figures call it.
        method: the method with its hyperparameters.
        learning_rate: the highest one.
        epochs: passes over the training split.
        batch_size: examples a step.
        pretrained: False starts from random weights, the control.
    """

    label: str
    method: Method
    learning_rate: float
    epochs: int = 3
    batch_size: int = 16
    pretrained: bool = True

    def settings(self) -> dict[str, Any]:
        """Everything that decides the outcome, as plain values."""
        return {
            "method": self.method.name,
            "hyperparameters": json.loads(json.dumps(self.method.hyperparameters())),
            "learning_rate": self.learning_rate,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "pretrained": self.pretrained,
        }


def run_trial(
    trial: Trial, backbone: str, task_name: str, seed: int, *, progress: bool = True
) -> tuple[Attachment, dict[str, Any]]:
    """Load, attach, train and evaluate once.

    Returns:
        The trained attachment, and the run as plain values: settings, counts, accuracies on validation and test,
        accuracy by kind where the task has kinds, the history and the seconds.
    """
    task = load_task(task_name)
    model, tokenizer = load_backbone(backbone, task, pretrained=trial.pretrained, seed=seed)
    torch.manual_seed(seed)
    attachment = trial.method.attach(model)
    history = train(
        attachment,
        tokenizer,
        task,
        learning_rate=trial.learning_rate,
        epochs=trial.epochs,
        batch_size=trial.batch_size,
        seed=seed,
        progress=progress,
    )
    found = evaluate(model, tokenizer, task.test)
    run = {
        "label": trial.label,
        **trial.settings(),
        "backbone": backbone,
        "task": task_name,
        "seed": seed,
        "counts": attachment.report().to_dict(),
        "validation_accuracy": history.validation[-1]["accuracy"] if history.validation else None,
        "test_accuracy": found.accuracy,
        "test_loss": found.loss,
        "by_kind": found.by("kind") if "kind" in task.test[0].tags else {},
        "seconds": history.seconds,
        "history": history.to_dict(),
    }
    return attachment, run


def run_trials(
    trials: Sequence[Trial],
    *,
    backbone: str,
    task: str,
    seeds: Sequence[int],
    folder: str | Path,
    jobs: int = 2,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Run every trial with every seed, `jobs` side by side with one thread each.

    A finished run is kept in `folder`, with its checkpoint, and is not run again: an interrupted call goes on where
    it stopped.

    Raises:
        ValueError: two trials have one label, or there is nothing to run.
    """
    labels = [trial.label for trial in trials]
    if not trials or not seeds:
        raise ValueError("nothing to run: give at least one trial and one seed")
    if len(set(labels)) < len(labels):
        raise ValueError(
            f"two trials are called {next(x for x in labels if labels.count(x) > 1)!r}"
        )
    work = [(trial, seed) for trial in trials for seed in seeds]
    paths_ = [run_folder(folder, trial, backbone, task, seed) for trial, seed in work]
    jobs_left = [
        joblib.delayed(_run_and_keep)(trial, backbone, task, seed, path)
        for (trial, seed), path in zip(work, paths_, strict=True)
        if not (path / "run.json").is_file()
    ]
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    for _ in tqdm(
        parallel(jobs_left), total=len(jobs_left), unit="run", disable=not progress, ncols=88
    ):
        pass
    return [json.loads((path / "run.json").read_text()) for path in paths_]


def run_folder(folder: str | Path, trial: Trial, backbone: str, task: str, seed: int) -> Path:
    """Where `run_trials` keeps a run; another setting has another folder."""
    key = json.dumps([trial.settings(), backbone, task, seed], sort_keys=True)
    return Path(folder) / f"{trial.method.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _run_and_keep(trial: Trial, backbone: str, task: str, seed: int, folder: Path) -> None:
    torch.set_num_threads(1)
    attachment, run = run_trial(trial, backbone, task, seed, progress=False)
    if trial.method.name not in ("full", "head"):
        attachment.save(folder)
    with write_whole(folder / "run.json") as beside:
        beside.write_text(json.dumps(run))


def store(
    name: str, runs: list[dict[str, Any]], command: str, folder: str | Path, **more: Any
) -> Path:
    """Write runs as a stored record, which names the command that made it."""
    record = {"name": name, "command": command, "versions": versions(), "runs": runs, **more}
    record = _rounded(record)
    path = Path(folder) / f"{name}.json"
    with write_whole(path) as beside:
        beside.write_text(json.dumps(record) + "\n")
    return path


def _rounded(value: Any) -> Any:
    """Five significant digits: curves of many runs stay readable and small."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def stored(name: str) -> dict[str, Any]:
    """A stored record that comes with the project.

    Raises:
        ValueError: there is none of that name.
    """
    path = paths.DATASETS / "records" / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.json"))) or "none"
        raise ValueError(f"no stored record {name!r}; there are: {known}")
    return json.loads(path.read_text())


def find_runs(
    runs: Iterable[dict[str, Any]], trial: Trial, backbone: str, task: str
) -> list[dict[str, Any]]:
    """The runs of exactly this trial, on this backbone and task, whatever the seed."""
    wanted = trial.settings() | {"backbone": backbone, "task": task}
    return [run for run in runs if all(run.get(key) == value for key, value in wanted.items())]


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation; the latter is 0 for a single value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0
