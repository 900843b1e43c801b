"""A session: what every lab does besides its lesson, so that the notebook shows the lesson alone.

    lab = session(lesson.LESSON, globals())     after the parameters cell
    lab.train("LoRA", "head")                   train trials of the plan now, and note them
    lab.live["LoRA"].run.test_accuracy          one of them; .attachment is the trained model
    lab.scores("LoRA")                          test accuracies of the stored runs, one a seed
    lab.series("rank")                          the same for a series: {1: [...], 4: [...], ...}
    lab.agreement(0.03)                         live runs against stored ones, as a table
    lab.three_counts(attachment)                the same count, got in three ways
    lab.write()                                 note the stored runs, and write the record

Nothing is caught here: what goes wrong stops the cell that asked for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from peftlab.anatomy import head_of
from peftlab.attach import Attachment
from peftlab.backbones import count_on_meta
from peftlab.figures import Table
from peftlab.ledger.record import Record
from peftlab.lessons.lesson import Group, Lesson, Plan, sweep
from peftlab.runs.records import agreement, find_runs, stored
from peftlab.runs.separation import below_full
from peftlab.runs.trial import Run, Trial, distinct, run_trial


class Live(NamedTuple):
    """A run made in this session, and the model that it left."""

    attachment: Attachment
    run: Run


def session(lesson: Lesson, parameters: Mapping[str, Any]) -> Session:
    """Open the record of a lab and take what its parameters cell says.

    Args:
        lesson: what the lab is about.
        parameters: the lab's parameters by name; a notebook gives `globals()`. What the lesson does
            not name is left alone, but for `rerun_sweep`.

    Raises:
        ValueError: a parameter of the lesson is missing.
    """
    if missing := [name for name in lesson.settings if name not in parameters]:
        raise ValueError(
            f"the parameter {missing[0]!r} of {lesson.lab} is missing; run the parameters cell, "
            f"which sets {', '.join(lesson.settings)}"
        )
    settings = {name: parameters[name] for name in lesson.settings}
    return Session(lesson, settings, rerun=bool(parameters.get("rerun_sweep")))


class Session:
    """What a lab trained, found stored and measured; made by `session`.

    Args:
        lesson: what the lab is about.
        settings: its parameters by name.
        rerun: train the stored runs again instead of reading them.
    """

    def __init__(self, lesson: Lesson, settings: dict[str, Any], rerun: bool = False):
        self.lesson, self.rerun = lesson, rerun
        self.backbone, self.task = settings["backbone"], settings["task"]
        self.seed: int = settings["seed"]
        self.live: dict[str, Live] = {}
        self.record = Record(
            lesson.lab, lesson.title, lesson.question, settings, lesson.paper, lesson.claims
        )

    @cached_property
    def plan(self) -> Plan:
        """What the lesson trains, with this lab's parameters."""
        return self.lesson.plan(**self.record.data["settings"])

    @cached_property
    def study(self) -> dict[str, Any]:
        """The stored record: its runs, and what was computed from them; or a sweep run now."""
        if self.rerun:
            return sweep(self.lesson, self.plan, self.backbone, self.task)
        return stored(f"{self.lesson.lab}_sweep")

    def train(self, *names: str) -> None:
        """Train trials of the plan with the lab's seed, and note their counts and results.

        Args:
            names: of the plan's trials.

        Raises:
            ValueError: the plan has no trial of that name; or see `run_trial`.
        """
        for name in names:
            live = Live(*run_trial(self._trial(name), self.backbone, self.task, self.seed))
            self.live[name] = live
            self.record.count(live.run.label, live.attachment.report())
            self.record.result(live.run, "live")

    def runs(
        self, trial: str | Trial, *, backbone: str | None = None, task: str | None = None
    ) -> list[Run]:
        """The stored runs of a trial, one a seed; empty where nothing is stored.

        Args:
            trial: a trial, or the name of one in the plan.
            backbone: if it is not the lab's.
            task: if it is not the lab's.
        """
        trial = self._trial(trial) if isinstance(trial, str) else trial
        where = (backbone or self.backbone, task or self.task)
        return find_runs(self.study["runs"], trial, *where)

    def scores(self, trial: str | Trial) -> list[float]:
        """Test accuracies of the stored runs of a trial, one a seed; see `runs`."""
        return [run.test_accuracy for run in self.runs(trial)]

    def named(self, name: str) -> tuple[str, list[float]]:
        """The label of a trial of the plan, and its `scores`."""
        return self._trial(name).label, self.scores(name)

    def all_scores(self) -> dict[str, list[float]]:
        """`scores` of all trials of the plan, by name."""
        return {name: self.scores(name) for name in self.plan.trials}

    def accuracy(self, name: str) -> float:
        """Test accuracy of a trial: of the live run, or else the mean of the stored ones."""
        if name in self.live:
            return self.live[name].run.test_accuracy
        return fmean(self.scores(name))

    def means(self, *names: str) -> dict[str, float]:
        """The mean of `scores`, by name; a trial without a stored run is left out."""
        return {name: fmean(self.scores(name)) for name in names if self.scores(name)}

    def series(self, name: str) -> dict[Any, list[float]]:
        """`scores` of a series of the plan, by value; a value without a run is left out."""
        found = {value: self.scores(trial) for value, trial in self.plan.series[name].items()}
        return {value: scores for value, scores in found.items() if scores}

    def point(self, series: str, value: Any, trial: str) -> tuple[Any, float] | None:
        """Where a live run stands in a series: value and test accuracy.

        Returns:
            None if the series has no stored run of exactly this setting.

        Args:
            series: name of the series.
            value: of the live run.
            trial: name of the live run.
        """
        run = self.live[trial].run
        same = value in self.series(series) and run.same_setting(self.plan.series[series][value])
        return (value, run.test_accuracy) if same else None

    def seeds(self, group: str = "stored") -> list[int]:
        """The seeds of a group of the plan."""
        return list(self.plan.groups[group].seeds)

    def measured(self) -> dict[str, list[float]]:
        """Test accuracies of all trials by label: stored, or live where nothing is stored."""
        found = {t.label: self.scores(t) for t in self.plan.trials.values() if self.scores(t)}
        live = (live.run for live in self.live.values())
        return found or {run.label: [run.test_accuracy] for run in live}

    def examples(self, *more: str) -> list[Run]:
        """One run of every setting: the live ones, and the first stored one of `more`."""
        others = [run for name in more if name not in self.live for run in self.runs(name)[:1]]
        return [live.run for live in self.live.values()] + others

    def trials_table(self) -> Table:
        """The trials of the plan: how each is trained, and how many stored runs there are."""
        rows = [
            {
                "trial": trial.label,
                "learning rate": f"{trial.learning_rate:g}",
                "epochs": trial.epochs,
                "stored runs": len(self.runs(trial)),
            }
            for trial in self.plan.trials.values()
        ]
        return Table(rows, caption=f"Stored by: {self.study['command']}")

    def agreement(self, tolerance: float) -> Table:
        """Whether the live runs lie within the range of the stored seeds; noted in the record.

        Args:
            tolerance: how far outside of the range still agrees; accuracy from 0 to 1.
        """
        live = {name: live.run for name, live in self.live.items()}
        rows = agreement(live, self.all_scores(), tolerance)
        self.record.data["agreement"] = rows
        within = f"within {100 * tolerance:.0f} points"
        return Table(rows, caption=f"Live run against the stored seeds, {within}")

    def three_counts(self, attachment: Attachment) -> Table:
        """The parameters of a method: in closed form, on the meta device, and of the live model.

        Args:
            attachment: of the method, on the model whose config and head are counted.
        """
        method, model = attachment.method, attachment.model
        head = head_of(model)
        counts = {
            "closed form": method.parameter_count(model.config, head),
            "meta device": count_on_meta(method, model.config, head),
            "live model": attachment.report(),
        }
        shown = ("trained", "stored", "head", "backbone", "share")
        return Table([{"": way} | {c: getattr(n, c) for c in shown} for way, n in counts.items()])

    def reviews(self) -> Table:
        """The methods on real sentences: the stored study of `reviews`; noted in the record."""
        real = stored("separation_reviews")
        rows = self.record.data["reviews"] = below_full(real["margins"])
        return Table(rows, caption=f"reviews on minilm, stored by: {real['command']}")

    def write(self) -> Path:
        """Note the stored runs, the seeds and the times, and write the record.

        Returns:
            The file, see `Record.write`.
        """
        if self.live:
            groups = self._noted_groups()
            runs = [r for g in groups.values() for t in distinct(g.trials) for r in self.runs(t)]
            for run in runs:
                self.record.result(run, "stored")
            seeds = {name: list(group.seeds) for name, group in groups.items()} if runs else {}
            self.record.data["seeds"] = {"live": [self.seed]} | seeds
            times = {live.run.label: live.run.seconds for live in self.live.values()}
            self.record.data["times"] = times
        return self.record.write()

    def _noted_groups(self) -> dict[str, Group]:
        here = {(None, None), (self.backbone, self.task)}
        groups = self.plan.groups.items()
        return {n: g for n, g in groups if g.noted and (g.backbone, g.task) in here}

    def _trial(self, name: str) -> Trial:
        if name not in self.plan.trials:
            known = ", ".join(self.plan.trials)
            raise ValueError(f"the plan has no trial {name!r}; it has: {known}")
        return self.plan.trials[name]
