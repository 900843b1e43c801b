"""A trial is one setting to train; a run is a trial that was trained with one seed.

trial = Trial(label="LoRA r=8", method=LoRA(rank=8), learning_rate=5e-3, epochs=5)
attachment, run = run_trial(trial, "minilm", "reviews", seed=0)
run.test_accuracy
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from peftlab.attach import Attachment
from peftlab.backbones import load_backbone
from peftlab.insight import reading_loss
from peftlab.methods.base import Method
from peftlab.methods.distillation.method import Distillation
from peftlab.refuse import require_number
from peftlab.tasks import Task, load_task, verbalized, worded
from peftlab.tasks.scores import scores, scores_by
from peftlab.training import History, evaluate, train


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One setting to train, whatever the seed.

    Args:
        label: what figures call it.
        method: the method with its hyperparameters.
        learning_rate: the highest one.
        epochs: passes over the training split.
        batch_size: examples in each step.
        pretrained: False starts from random weights, the control.
        warmup: share of the steps over which the learning rate rises, from 0 to 1.
        examples: how many of the training examples to use; None uses all.
        drawn: whether the seed of a run draws its examples; else they are the first ones.
        wording: a template that the texts are put into, such as "[X] [Y]"; see `Task.rephrase` and
            `tasks.verbalized`.
        words: pairs of label and word, which make the task a cloze with the word at [Y].
        look_every: epochs between two looks at the validation split.
        validated: how many of the validation examples to look at, from the first on; None
            takes all.
        tested: how many of the test examples to predict, likewise.
        elsewhere: further tasks of the same labels, on whose test examples, as many as `tested`
            says, the trained model is tried without training on them.
        then: a further task of the same labels, on which training goes on afterwards, in the same
            way; the first one is tested again after it.
        read: a task whose test texts, as many as `tested` says, a language model reads before and
            after the training; its head has to be that of a language model.
        distillation: the backbone is a teacher that was fine-tuned for the task, and a student of
            it is trained; None trains the backbone itself.

    Raises:
        TypeError: a number is none.
        ValueError: a number is out of range.
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
    look_every: int = 1
    drawn: bool = False
    validated: int | None = None
    tested: int | None = None
    elsewhere: tuple[str, ...] = ()
    then: str | None = None
    read: str | None = None
    distillation: Distillation | None = None

    def __post_init__(self) -> None:
        require_number("learning_rate", self.learning_rate, 1e-12, 1e3, example=1e-3)
        for name in ("epochs", "look_every"):
            require_number(name, getattr(self, name), 1, integer=True, example=3)
        if isinstance(self.elsewhere, str):
            raise TypeError(
                f"elsewhere must be a tuple of tasks, got {self.elsewhere!r}; write "
                f"elsewhere=({self.elsewhere!r},)"
            )
        for name in ("examples", "validated", "tested"):
            if getattr(self, name) is not None:
                require_number(name, getattr(self, name), 1, integer=True, example=100)

    def settings(self) -> dict[str, Any]:
        """Everything that decides the outcome, as plain values."""
        more = {"examples": self.examples, "wording": self.wording, "words": self.words or None}
        more |= {"drawn": self.drawn or None, "elsewhere": self.elsewhere or None}
        more |= {"validated": self.validated, "tested": self.tested}
        more |= {"then": self.then, "read": self.read}
        if self.look_every > 1:
            more["look_every"] = self.look_every
        if self.distillation:
            more["distillation"] = self.distillation.hyperparameters()
        return {
            "method": self.method.name,
            "hyperparameters": json.loads(json.dumps(self.method.hyperparameters())),
            "learning_rate": self.learning_rate,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "pretrained": self.pretrained,
            "warmup": self.warmup,
        } | {k: json.loads(json.dumps(v)) for k, v in more.items() if v is not None}

    def task(self, name: str, seed: int = 0) -> Task:
        """Load a task as this trial trains on it, with its wording and its number of examples.

        Args:
            name: see `load_task`.
            seed: of the run, which draws the examples where the trial says so.

        Returns:
            The task; each split is cut to what the trial takes of it.

        Raises:
            ValueError: wording or words do not fit the task.
        """
        task = load_task(name)
        if self.words:
            task = verbalized(task, self.wording or "", dict(self.words))
        elif self.wording:
            task = task.rephrase(self.wording) if task.prompts else worded(task, self.wording)
        task = self.method.prepare(task)
        train = task.train
        if self.drawn:
            draw = torch.Generator().manual_seed(seed)
            train = tuple(train[i] for i in torch.randperm(len(train), generator=draw).tolist())
        return replace(
            task,
            train=train[: self.examples],
            validation=task.validation[: self.validated],
            test=task.test[: self.tested],
        )


# What `Trial.settings` may hold; in the file of a run these stand beside what was measured.
_SETTINGS = ("method", "hyperparameters", *(f.name for f in fields(Trial)[2:]))


@dataclass(frozen=True, kw_only=True)
class Run:
    """A trial that was trained with one seed, and what was measured.

    Args:
        label: what figures call it.
        settings: of its trial, see `Trial.settings`.
        backbone: as given to `load_backbone`.
        task: as given to `load_task`.
        seed: decides the random head, what the method draws, the order of the batches, and dropout.
        counts: see `ParameterCount.to_dict`.
        validation_accuracy: when the validation split was last looked at; None where it never was.
        test_accuracy: from 0 to 1.
        test_scores: all scores on the test split; None in old records, which have none.
        test_loss: mean over the test split.
        by_kind: accuracy by kind of example; empty where the task has no kinds.
        scores_by_kind: all scores by kind; None in old records, which have none.
        transfer: accuracy on the test examples of each task of `Trial.elsewhere`.
        afterwards: accuracy on the own test examples after training on `Trial.then`, and on those
            of that task, by the names of the tasks.
        reading: loss on the texts of `Trial.read`, see `insight.reading_loss`: "before", of the
            model without the method, and "after".
        seconds: of the training.
        validation: accuracy and loss on the validation split each time it was looked at, with the
            step; None where a record left them out.
        history: the curves of every step, see `training.History`; None where a record left them
            out.
        spectra: singular values of the update by matrix, where the whole backbone was trained.
    """

    label: str
    settings: Mapping[str, Any]
    backbone: str
    task: str
    seed: int
    counts: Mapping[str, float]
    validation_accuracy: float | None
    test_accuracy: float
    test_scores: Mapping[str, float] | None = None
    test_loss: float
    by_kind: Mapping[str, Mapping[str, float]]
    scores_by_kind: Mapping[str, Mapping[str, float]] | None = None
    transfer: Mapping[str, float] | None = None
    afterwards: Mapping[str, float] | None = None
    reading: Mapping[str, float] | None = None
    seconds: float
    validation: Sequence[Mapping[str, float]] | None = None
    history: Mapping[str, Any] | None = None
    spectra: Mapping[str, Sequence[float]] | None = None

    def score(self, name: str = "accuracy") -> float:
        """Give one score on the test split.

        Args:
            name: of the score, see `tasks.scores`; "accuracy" is what every run has.

        Returns:
            The score.

        Raises:
            ValueError: the run has no score of that name.
        """
        if name == "accuracy":
            return self.test_accuracy
        if name not in (found := self.test_scores or {}):
            known = ", ".join(dict.fromkeys(["accuracy", *found]))
            raise ValueError(f"the runs on {self.task} have no score {name!r}; they have: {known}")
        return found[name]

    def same_setting(self, trial: Trial) -> bool:
        """Say whether this is a run of the trial, whatever its label and seed.

        Numbers are compared as records keep them, with five significant digits.

        Args:
            trial: whose settings are compared.

        Returns:
            True if all settings are equal.
        """
        return rounded(self.settings) == rounded(trial.settings())

    def to_json(self, *, bulky: bool = True) -> dict[str, Any]:
        """Write the run as plain values; its settings stand beside what was measured.

        Args:
            bulky: False leaves out the curves of every step and the spectra, and keeps
                `validation`.

        Returns:
            A dictionary that JSON can hold and `from_json` reads.
        """
        left_out = {"history", "spectra"}
        if bulky:  # the history has the looks already
            left_out = {"validation"} if self.history else set()
        data: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "settings":
                data |= value
            elif field.name == "validation_accuracy" or value is not None:
                data[field.name] = value
        return {name: value for name, value in data.items() if name not in left_out}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Run:
        """Read what `to_json` wrote, with or without what is bulky.

        Args:
            data: as `to_json` gives it.

        Returns:
            The run.
        """
        own = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        settings = {name: data[name] for name in _SETTINGS if name in data}
        looks = data["history"]["validation"] if "history" in data else data.get("validation")
        return cls(**own | {"settings": settings, "validation": looks})


def rounded(value: Any) -> Any:
    """Round numbers to five significant digits, in dictionaries and lists too.

    Records are written like this, so that the curves of many runs stay readable and small.

    Args:
        value: a number, or anything that JSON can hold.

    Returns:
        The same with its floating-point numbers rounded; tuples become lists.
    """
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def run_trial(
    trial: Trial, backbone: str, task_name: str, seed: int, *, progress: bool = True
) -> tuple[Attachment, Run]:
    """Load, attach, train and evaluate once; the same seed gives the same numbers.

    Args:
        trial: what to train.
        backbone: see `load_backbone`.
        task_name: see `load_task`.
        seed: decides the random head, what the method draws, the order of the batches, and dropout.
        progress: show a bar.

    Returns:
        The trained attachment, and the run.

    Raises:
        ValueError: the backbone, the task or a hyperparameter does not fit; see `load_backbone`,
            `load_task` and `train`.
        NonFiniteLossError: see `train`.
    """
    task = trial.task(task_name, seed)
    others = {name: trial.task(name, seed) for name in (*trial.elsewhere, trial.then) if name}
    for name, other in others.items():
        if other.labels != task.labels:
            raise ValueError(
                f"{'then' if name == trial.then else 'elsewhere'}={name!r} has the labels "
                f"{other.labels}, and {task_name} has {task.labels}; name tasks of the same labels"
            )
    texts = [e.text for e in load_task(trial.read).test[: trial.tested]] if trial.read else []
    model, tokenizer = load_backbone(backbone, task, pretrained=trial.pretrained, seed=seed)
    loss = None
    if trial.distillation:
        teacher, model = model, trial.distillation.student(model, seed)
        loss = trial.distillation.distiller(teacher, model).loss
    # of the plain model, and before anything trains: what cannot read is refused here
    reading = {"before": reading_loss(model, tokenizer, texts)} if texts else None
    torch.manual_seed(seed)
    attachment = trial.method.attach(model)

    def trained(data: Task) -> History:
        return train(
            attachment,
            tokenizer,
            data,
            learning_rate=trial.learning_rate,
            epochs=trial.epochs,
            batch_size=trial.batch_size,
            warmup=trial.warmup,
            seed=seed,
            validate=trial.look_every,
            progress=progress,
            loss=loss,
        )

    def accuracy(name: str) -> float:
        return evaluate(model, tokenizer, others[name].test).accuracy

    history = trained(task)
    found = evaluate(model, tokenizer, task.test)
    kinds = "kind" in task.test[0].tags
    transfer = {name: accuracy(name) for name in trial.elsewhere}
    if reading:
        reading["after"] = reading_loss(model, tokenizer, texts)
    afterwards = None
    counts = attachment.report().to_dict()
    if trial.then and not history.interrupted:
        more = trained(others[trial.then])
        history = replace(history, interrupted=more.interrupted)
        afterwards = {
            task_name: evaluate(model, tokenizer, task.test).accuracy,
            trial.then: accuracy(trial.then),
        }
    run = Run(
        label=trial.label,
        settings=trial.settings(),
        backbone=backbone,
        task=task_name,
        seed=seed,
        counts=counts,
        validation_accuracy=history.validation[-1]["accuracy"] if history.validation else None,
        test_accuracy=found.accuracy,
        test_loss=found.loss,
        by_kind=found.by("kind") if kinds else {},
        seconds=history.seconds,
        test_scores=scores(task, found),
        transfer=transfer or None,
        afterwards=afterwards,
        reading=reading,
        scores_by_kind=scores_by(task, found, "kind") if kinds else {},
        validation=history.to_dict()["validation"],
        history=history.to_dict(),
    )
    return attachment, run


def distinct(trials: Iterable[Trial]) -> list[Trial]:
    """Leave out trials whose settings are those of an earlier one, whatever the label.

    A setting may belong to two sweeps; it has to run only once.

    Args:
        trials: any number.

    Returns:
        The trials that are left, in their order.
    """
    found: list[Trial] = []
    for trial in trials:
        if trial.settings() not in [other.settings() for other in found]:
            found.append(trial)
    return found
