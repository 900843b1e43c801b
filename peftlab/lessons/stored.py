"""The stored runs of a lab's plan: found by the name of a trial, for tables, figures and claims."""

from __future__ import annotations

from functools import cached_property
from statistics import fmean
from typing import Any

from peftlab.figures import Table
from peftlab.lessons.lesson import Lesson, Plan, distinct_runs, sweep
from peftlab.runs.records import find_runs, stored
from peftlab.runs.trial import Run, Trial
from peftlab.tasks import load_task
from peftlab.tasks.scores import headline


class StoredRuns:
    """The stored runs of a lesson: what the lab reads without training anything.

    Args:
        lesson: what the lab is about.
        settings: its parameters by name.
        rerun: train the stored runs again instead of reading them.

    Attributes:
        plan: what the lesson trains with these settings; None where it trains nothing.
        score: which score of a run is shown and judged: that of the lesson where the task has it,
            or else accuracy.
    """

    def __init__(self, lesson: Lesson, settings: dict[str, Any], rerun: bool = False):
        self.lesson, self.settings, self.rerun = lesson, settings, rerun
        self.backbone, self.task = settings["backbone"], settings["task"]
        self.plan: Plan | None = lesson.plan(**settings) if lesson.plan else None
        own = lesson.score == "accuracy" or headline(load_task(self.task)) == lesson.score
        self.score = lesson.score if own else "accuracy"

    @cached_property
    def study(self) -> dict[str, Any]:
        """The stored record: its runs, and what was computed from them; or a sweep run now.

        The runs of other labs' records, see `Group.record`, are among them.
        """
        if self.rerun:
            study = sweep(self.lesson, self.plan, self.backbone, self.task)
        else:
            study = stored(f"{self.lesson.lab}_sweep")
        others = {group.record for group in self.plan.groups.values() if group.record}
        every = [*study["runs"], *(run for name in sorted(others) for run in stored(name)["runs"])]
        return study | {"runs": distinct_runs(every)}

    def runs(
        self, trial: str | Trial, *, backbone: str | None = None, task: str | None = None
    ) -> list[Run]:
        """Find the stored runs of a trial.

        Args:
            trial: a trial, or the name of one in the plan.
            backbone: if it is not the lab's.
            task: if it is not the lab's.

        Returns:
            A run for each seed; empty where nothing is stored. Seeds that only choose a learning
            rate are left out, see `Group.shown`.
        """
        trial = self._trial(trial) if isinstance(trial, str) else trial
        where = (backbone or self.backbone, task or self.task)
        hidden = {s for g in self.plan.groups.values() if not g.shown for s in g.seeds}
        found = find_runs(self.study["runs"], trial, *where)
        return [run for run in found if run.seed not in hidden]

    def scores(self, trial: str | Trial, score: str | None = None) -> list[float]:
        """Find the test scores of the stored runs of a trial; see `runs`.

        Args:
            trial: a trial, or the name of one in the plan.
            score: which score, see `Run.score`; None is `self.score`.

        Returns:
            One for each seed; empty where nothing is stored.
        """
        return [run.score(score or self.score) for run in self.runs(trial)]

    def named(self, name: str) -> tuple[str, list[float]]:
        """Give a trial of the plan as figures and claims want it.

        Args:
            name: of the trial.

        Returns:
            The label of the trial, and its `scores`.
        """
        return self._trial(name).label, self.scores(name)

    def all_scores(self) -> dict[str, list[float]]:
        """`scores` of all trials of the plan, by name."""
        return {name: self.scores(name) for name in self.plan.trials}

    def means(self, *names: str) -> dict[str, float]:
        """Average the `scores` of trials; a trial without a stored run is left out.

        Args:
            *names: of the plan's trials.

        Returns:
            Mean test accuracies from 0 to 1, by name.
        """
        return {name: fmean(self.scores(name)) for name in names if self.scores(name)}

    def series(self, name: str, score: str | None = None) -> dict[Any, list[float]]:
        """Find the `scores` of a series of the plan; a value without a run is left out.

        Args:
            name: of the series.
            score: see `scores`.

        Returns:
            Test scores by value, one for each seed.
        """
        series = self.plan.series[name].items()
        found = {value: self.scores(trial, score) for value, trial in series}
        return {value: scores for value, scores in found.items() if scores}

    def seeds(self, group: str = "stored") -> list[int]:
        """List the seeds of a group of the plan.

        Args:
            group: name of the group.

        Returns:
            The seeds.
        """
        return list(self.plan.groups[group].seeds)

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

    def _trial(self, name: str) -> Trial:
        if name not in self.plan.trials:
            known = ", ".join(self.plan.trials)
            raise ValueError(f"the plan has no trial {name!r}; it has: {known}")
        return self.plan.trials[name]
