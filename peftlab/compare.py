"""Many runs: trials x seeds on one task and backbone, on this machine, kept as they finish.

trials = [Trial(label="LoRA r=8", method=LoRA(rank=8), learning_rate=5e-3, epochs=5)]
runs = run_trials(trials, backbone="minilm", task="reviews", seeds=[0, 1, 2], folder="runs")
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import torch
from tqdm import tqdm

from peftlab import analysis, paths
from peftlab.attach import Attachment
from peftlab.backbones import load_backbone
from peftlab.files import write_whole
from peftlab.ledger import versions
from peftlab.methods.base import Method
from peftlab.metrics import scores, scores_by
from peftlab.refuse import require_number
from peftlab.tasks import Task, load_task, verbalized, worded
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
        warmup: share of the steps over which the learning rate rises.
        examples: how many of the training examples to use, from the first on; None uses all.
        wording: a template that the texts are put into, such as "[X] [Y]"; see `Task.rephrase` and
            `tasks.verbalized`.
        words: pairs of label and word, which make the task a cloze with the word at [Y].
    """

    label: str
    method: Method
    learning_rate: float
    epochs: int = 3
    batch_size: int = 16
    pretrained: bool = True
    warmup: float = 0.06
    examples: int | None = None
    wording: str | None = None
    words: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.examples is not None:
            require_number("examples", self.examples, 1, integer=True)

    def settings(self) -> dict[str, Any]:
        """Everything that decides the outcome, as plain values."""
        more = {"examples": self.examples, "wording": self.wording, "words": self.words or None}
        return {
            "method": self.method.name,
            "hyperparameters": json.loads(json.dumps(self.method.hyperparameters())),
            "learning_rate": self.learning_rate,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "pretrained": self.pretrained,
            "warmup": self.warmup,
        } | {k: json.loads(json.dumps(v)) for k, v in more.items() if v is not None}

    def task(self, name: str) -> Task:
        """The task as this trial trains on it: worded, and cut to its number of examples.

        Args:
            name: see `load_task`.

        Raises:
            ValueError: wording or words do not fit the task.
        """
        task = load_task(name)
        if self.words:
            task = verbalized(task, self.wording or "", dict(self.words))
        elif self.wording:
            task = task.rephrase(self.wording) if task.prompts else worded(task, self.wording)
        task = self.method.prepare(task)
        return replace(task, train=task.train[: self.examples])


def run_trial(
    trial: Trial, backbone: str, task_name: str, seed: int, *, progress: bool = True
) -> tuple[Attachment, dict[str, Any]]:
    """Load, attach, train and evaluate once; the same seed gives the same numbers.

    Args:
        trial: what to train.
        backbone: see `load_backbone`.
        task_name: see `load_task`.
        seed: of the random head, the update, the order of the batches and dropout.
        progress: show a bar.

    Returns:
        The trained attachment, and the run as plain values: settings, counts, accuracies on
        validation and test, all scores on test, accuracy and scores by kind where the task has
        kinds, the history and the seconds.

    Raises:
        ValueError: the backbone, the task or a hyperparameter does not fit; see `load_backbone`,
            `load_task` and `train`.
        NonFiniteLossError: see `train`.
    """
    task = trial.task(task_name)
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
        warmup=trial.warmup,
        seed=seed,
        progress=progress,
    )
    found = evaluate(model, tokenizer, task.test)
    kinds = "kind" in task.test[0].tags
    run = {
        "label": trial.label,
        **trial.settings(),
        "backbone": backbone,
        "task": task_name,
        "seed": seed,
        "counts": attachment.report().to_dict(),
        "validation_accuracy": history.validation[-1]["accuracy"] if history.validation else None,
        "test_accuracy": found.accuracy,
        "test_scores": scores(task, found),
        "test_loss": found.loss,
        "by_kind": found.by("kind") if kinds else {},
        "scores_by_kind": scores_by(task, found, "kind") if kinds else {},
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

    A finished run is kept in `folder`, with its checkpoint, and is not run again: an interrupted
    call goes on where it stopped. Delete the folder when the backbone's or the task's files change.

    Args:
        trials: at least one, with different labels.
        backbone: see `load_backbone`.
        task: see `load_task`.
        seeds: at least one.
        folder: keeps the runs.
        jobs: runs side by side, at least 1.
        progress: show a bar over the runs.

    Returns:
        What `run_trial` says of each run, all seeds of the first trial first.

    Raises:
        ValueError: two trials have one label, or there is nothing to run.
        KeyboardInterrupt: Ctrl-C; finished runs are kept, a half-trained one is not.
    """
    labels = [trial.label for trial in trials]
    if not trials or not seeds:
        raise ValueError("nothing to run: give at least one trial and one seed")
    if len(set(labels)) < len(labels):
        raise ValueError(
            f"two trials are called {next(x for x in labels if labels.count(x) > 1)!r}"
        )
    work = [
        (run_folder(Path(folder).absolute(), trial, backbone, task, seed) / "run.json", trial, seed)
        for trial in trials
        for seed in seeds
    ]
    # by path: labels apart, two trials may be one setting, which then runs once
    left = {path: (trial, seed) for path, trial, seed in work if not path.is_file()}
    jobs_left = [
        joblib.delayed(_run_and_keep)(trial, backbone, task, seed, path.parent, jobs)
        for path, (trial, seed) in left.items()
    ]
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    for _ in tqdm(
        parallel(jobs_left), total=len(jobs_left), unit="run", disable=not progress, ncols=88
    ):
        pass
    return [json.loads(path.read_text()) | {"label": trial.label} for path, trial, _ in work]


def distinct(trials: Iterable[Trial]) -> list[Trial]:
    """The trials without those that have the settings of one before them, whatever the label.

    A setting may belong to two sweeps, and runs once.
    """
    found: list[Trial] = []
    for trial in trials:
        if trial.settings() not in [other.settings() for other in found]:
            found.append(trial)
    return found


def run_folder(folder: str | Path, trial: Trial, backbone: str, task: str, seed: int) -> Path:
    """Where `run_trials` keeps a run; another setting has another folder, another label has not."""
    key = json.dumps([trial.settings(), backbone, task, seed], sort_keys=True)
    return Path(folder) / f"{trial.method.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _run_and_keep(
    trial: Trial, backbone: str, task: str, seed: int, folder: Path, jobs: int
) -> None:
    if jobs > 1:  # workers that share cores; a single run keeps all of them
        torch.set_num_threads(1)
    attachment, run = run_trial(trial, backbone, task, seed, progress=False)
    if run["history"]["interrupted"]:  # half a run must not pass for a whole one
        raise KeyboardInterrupt
    if trial.method.name == "full":
        # its checkpoint would be a whole model; figures need the spectra alone
        moved = analysis.updates(attachment)
        run["spectra"] = {name: analysis.spectrum(delta) for name, delta in moved.items()}
    elif trial.method.name != "head":
        attachment.save(folder)
    with write_whole(folder / "run.json") as beside:
        beside.write_text(json.dumps(run))


def steps_to(run: Mapping[str, Any], accuracy: float) -> int:
    """The first step at which a run reached an accuracy on validation, or its last step.

    Args:
        run: as `run_trial` gives it or a stored record has it.
        accuracy: from 0 to 1.
    """
    looks = run["validation"] if "validation" in run else run["history"]["validation"]
    reached = [look["step"] for look in looks if look["accuracy"] >= accuracy]
    return reached[0] if reached else looks[-1]["step"]


def store(
    name: str, runs: list[dict[str, Any]], command: str, folder: str | Path, **more: Any
) -> Path:
    """Write runs as a stored record, which names the command that made it.

    Args:
        name: of the record, and of its file without the suffix.
        runs: as `run_trials` gives them.
        command: makes the record again.
        folder: where to write it.
        more: further entries of the record, ready for JSON.

    Returns:
        The file, with all numbers rounded to five significant digits.
    """
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

    Args:
        name: of a file in `datasets/records`, without its suffix.

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
    """The runs of exactly this trial, on this backbone and task, whatever the seed and the label.

    Args:
        runs: as `run_trials` gives them or a stored record has them, rounded as `store` does.
        trial: whose settings must be equal, all of them.
        backbone: as given to `run_trials`.
        task: as given to `run_trials`.
    """
    wanted = _rounded(trial.settings() | {"backbone": backbone, "task": task})
    return [run for run in runs if all(_rounded(run.get(key)) == wanted[key] for key in wanted)]


def accuracies(
    runs: Iterable[dict[str, Any]], trial: Trial, *, backbone: str, task: str
) -> list[float]:
    """Test accuracy of `find_runs`, one a seed."""
    return [run["test_accuracy"] for run in find_runs(runs, trial, backbone, task)]


def agreement(
    live: Mapping[str, dict[str, Any]], scores: Mapping[str, Sequence[float]], tolerance: float
) -> list[dict[str, str]]:
    """Whether runs made just now lie within the range of the stored seeds.

    Args:
        live: runs by name.
        scores: stored accuracies by name, one a seed; empty where nothing is stored.
        tolerance: how far outside of the range still agrees, that far included; accuracy from 0
            to 1.

    Returns:
        A row a run: its label, its accuracy, the stored range, and whether they agree.
    """
    slack = tolerance + 1e-9  # 0.07 - 0.03 is a little more than 0.04
    rows = []
    for name, run in live.items():
        now, others = run["test_accuracy"], scores[name]
        row = {"run": run["label"], "live": f"{100 * now:.1f} %"}
        if not others:
            rows.append(row | {"stored": "no stored run of this setting", "agrees": "–"})
            continue
        low, high = min(others), max(others)
        agrees = low - slack <= now <= high + slack
        between = f"{100 * low:.1f} to {100 * high:.1f} %"
        rows.append(row | {"stored": between, "agrees": "yes" if agrees else "no"})
    return rows
