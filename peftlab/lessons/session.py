"""A session: what every lab does besides its lesson, so that the notebook shows the lesson alone.

    lab = session(lesson.LESSON, globals())     after the parameters cell
    lab.train("LoRA", "head")                   train trials of the plan now, and note them
    lab.live["LoRA"].run.test_accuracy          one of them; .attachment is the trained model
    lab.scores("LoRA")                          test accuracies of the stored runs, by seed
    lab.series("rank")                          the same for a series: {1: [...], 4: [...], ...}
    lab.agreement(0.03)                         live runs against stored ones, as a table
    lab.three_counts(attachment)                the same count, got in three ways
    lab.write()                                 note the stored runs, and write the record

Nothing is caught here: what goes wrong stops the cell that asked for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from peftlab.anatomy import head_of
from peftlab.attach import Attachment
from peftlab.backbones import count_on_meta
from peftlab.figures import Table
from peftlab.ledger.record import Record
from peftlab.lessons.lesson import Group, Lesson
from peftlab.lessons.stored import StoredRuns
from peftlab.refuse import require_number
from peftlab.runs.records import agreement
from peftlab.runs.trial import Run, distinct, run_trial
from peftlab.tasks import load_task


class Live(NamedTuple):
    """A run made in this session, and the model that it left."""

    attachment: Attachment
    run: Run


def session(lesson: Lesson, parameters: Mapping[str, Any]) -> Session:
    """Open the record of a lab and read its parameters.

    Args:
        lesson: what the lab is about.
        parameters: values by name; a notebook gives `globals()`. The parameters that the lesson
            names are read, and `rerun_sweep`; nothing else is.

    Returns:
        The session of the lab.

    Raises:
        TypeError: a parameter is no number where the lesson's plan needs one, or the seed is none.
        ValueError: a parameter of the lesson is missing, or out of range for its plan, or the task
            is of a kind that the lab does not take, or see `Lesson.fits`. So a wrong value stops
            the cell after the parameters, before anything trains.
    """
    if missing := [name for name in lesson.settings if name not in parameters]:
        raise ValueError(
            f"the parameter {missing[0]!r} of {lesson.lab} is missing; run the parameters cell, "
            f"which sets {', '.join(lesson.settings)}"
        )
    settings = {name: parameters[name] for name in lesson.settings}
    require_number("seed", settings["seed"], 0, 2**32 - 1, integer=True, example=0)
    if lesson.kinds and (kind := load_task(settings["task"]).kind) not in lesson.kinds:
        raise ValueError(
            f"{lesson.lab} takes tasks of kind {' or '.join(lesson.kinds)}, and "
            f"task={settings['task']!r} is of kind {kind}; leave the parameter task as it was"
        )
    rerun = bool(parameters.get("rerun_sweep"))
    if lesson.fits:
        lesson.fits(settings, rerun)
    return Session(lesson, settings, rerun)


class Session(StoredRuns):
    """What a lab trains and measures, beside the stored runs; made by `session`.

    Args:
        lesson: what the lab is about.
        settings: its parameters by name.
        rerun: train the stored runs again instead of reading them.
    """

    def __init__(self, lesson: Lesson, settings: dict[str, Any], rerun: bool = False):
        super().__init__(lesson, settings, rerun)
        self.seed: int = settings["seed"]
        self.live: dict[str, Live] = {}
        self.record = Record(
            lesson.lab, lesson.title, lesson.question, settings, lesson.paper, lesson.claims
        )
        self.record.data["score"] = self.score

    def train(self, *names: str) -> None:
        """Train trials of the plan with the lab's seed, and note their counts and results.

        Args:
            names: of the plan's trials.

        Raises:
            ValueError: the plan has no trial of that name; or see `run_trial`.
            KeyboardInterrupt: the training was stopped; what trained before it is noted.
        """
        for name in names:
            live = Live(*run_trial(self._trial(name), self.backbone, self.task, self.seed))
            self.note(name, live)

    def note(self, name: str, live: Live) -> None:
        """Note counts and results of a run that was made in this session.

        Args:
            name: of its trial in the plan.
            live: the run, and the model that it left.

        Raises:
            KeyboardInterrupt: the run was stopped; half a run must not pass for a whole one.
        """
        if live.run.history["interrupted"]:
            raise KeyboardInterrupt(f"{live.run.label} is half trained; run the cell again")
        self.live[name] = live
        self.record.count(live.run.label, live.attachment.report())
        self.record.result(live.run, "live")
        self.record.data["test_examples"] = len(load_task(self.task).test)

    def accuracy(self, name: str) -> float:
        """Give one test accuracy for a trial.

        Args:
            name: of the trial in the plan.

        Returns:
            That of the live run; where there is none, the mean of the stored ones. From 0 to 1.
        """
        if name in self.live:
            return self.live[name].run.score(self.score)
        return fmean(self.scores(name))

    def point(self, series: str, value: Any, trial: str) -> tuple[Any, float] | None:
        """Say where a live run stands in a series.

        Args:
            series: name of the series.
            value: of the live run.
            trial: name of the live run.

        Returns:
            The value, and the test accuracy from 0 to 1; None if the series has no stored run of
            exactly this setting.
        """
        run = self.live[trial].run
        same = value in self.series(series) and run.same_setting(self.plan.series[series][value])
        return (value, run.score(self.score)) if same else None

    def measured(self) -> dict[str, list[float]]:
        """Test scores of all trials by label: stored, or live where that setting is not stored."""
        found = {}
        for name, trial in self.plan.trials.items():
            live = [self.live[name].run.score(self.score)] if name in self.live else []
            if scores := self.scores(name) or live:
                found[trial.label] = scores
        return found

    def examples(self, *more: str) -> list[Run]:
        """Choose one run of every setting: the live runs, and a stored run of each further trial.

        Args:
            *more: names of trials in the plan; of each one the first stored run is taken, unless it
                was trained live.

        Returns:
            The runs.
        """
        others = [run for name in more if name not in self.live for run in self.runs(name)[:1]]
        return [live.run for live in self.live.values()] + others

    def agreement(self, tolerance: float) -> Table:
        """Compare the live runs with the range of the stored seeds, and note that in the record.

        Args:
            tolerance: how far outside of the range a run still agrees; accuracy from 0 to 1.

        Returns:
            A row for each live run.
        """
        live = {name: live.run for name, live in self.live.items()}
        rows = agreement(live, self.all_scores(), tolerance, self.score)
        self.record.data["agreement"] = rows
        within = f"within {100 * tolerance:.0f} points"
        return Table(rows, caption=f"Live run against the stored seeds, {within}")

    def three_counts(self, attachment: Attachment) -> Table:
        """Count the parameters of a method in closed form, on the meta device, and live.

        Args:
            attachment: of the method, on the model whose config and head are counted.

        Returns:
            A row for each of the three; they agree.
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

    def write(self) -> Path:
        """Note the stored runs, the seeds and the times, and write the record.

        Returns:
            The file, see `Record.write`.
        """
        if self.live:
            groups = self._noted_groups()
            # a setting may stand in two groups
            trials = distinct(trial for group in groups.values() for trial in group.trials)
            runs = [run for trial in trials for run in self.runs(trial)]
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
