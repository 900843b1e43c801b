"""A lesson as a value: what its lab is about, what it trains, and what it computes from the runs.

    lessons/lora/__init__.py   LESSON = Lesson(lab="01_lora", plan=plan, findings=findings, ...)
    lessons/lora/sweep.py      plan(...), the trials; findings(...), what is computed from them
    lessons/lora/claims.py     CLAIMS, the paper's claims; a function for each decides it

The lab and the sweep behind its stored record take their trials from the same plan.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from peftlab.ledger.verdicts import Claim
from peftlab.methods.base import Paper
from peftlab.runs.engine import run_folder, run_trials
from peftlab.runs.records import store
from peftlab.runs.trial import Run, Trial, distinct, rounded


@dataclass(frozen=True, kw_only=True)
class Group:
    """Trials that a sweep runs with the same seeds.

    Args:
        trials: what to run; of equal settings only the first one runs.
        seeds: at least one.
        backbone: see `load_backbone`; None is the one that the lab was given.
        task: see `load_task`; None is the one that the lab was given.
        noted: whether the lab's record lists these runs.
        shown: whether figures and claims may use runs of these seeds; False for a grid, whose runs
            choose a learning rate and are reported nowhere.
        record: the stored record of another lab that holds these runs, such as "01_lora_sweep"; a
            sweep does not run them.

    Raises:
        ValueError: no seed, or a seed twice.
    """

    trials: Sequence[Trial]
    seeds: Sequence[int]
    backbone: str | None = None
    task: str | None = None
    noted: bool = True
    shown: bool = True
    record: str | None = None

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(
                f"seeds must be at least one, each of them once; got {self.seeds!r}; "
                "write for example seeds=(0, 1, 2)"
            )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a lesson trains.

    Args:
        trials: the method and its controls, by a short name such as "full". The lab trains some of
            them live.
        series: trials that differ in one thing. The first key says what differs, the second its
            value: the trial of rank 4 is `series["rank"][4]`.
        groups: what a sweep runs and a stored record holds, by the name that the lab's record gives
            to the seeds of the group.
    """

    trials: Mapping[str, Trial]
    groups: Mapping[str, Group]
    series: Mapping[str, Mapping[Any, Trial]] = field(default_factory=dict)

    def tried(self, runs: Sequence[Run], place: Place) -> dict[str, float]:
        """Collect what the series "grid" was tried for; its groups are not shown.

        Args:
            runs: of this plan.
            place: where they ran.

        Returns:
            By name the mean validation accuracy over the seeds of the group, from 0 to 1.
        """
        return {
            name: fmean(
                run.validation_accuracy
                for group in self.groups.values()
                if not group.shown and trial in group.trials
                for run in runs
                if run.seed in group.seeds
                and run.same_setting(trial)
                and run.task == (group.task or place.task)
                and run.backbone == (group.backbone or place.backbone)
            )
            for name, trial in self.series.get("grid", {}).items()
        }


@dataclass(frozen=True)
class Place:
    """Where a sweep runs.

    Args:
        backbone: see `load_backbone`.
        task: see `load_task`.
        folder: keeps the finished runs.
    """

    backbone: str
    task: str
    folder: str | Path

    def run(self, trial: Trial, seed: int) -> Path:
        """Name the folder of one run, which holds its checkpoint.

        Args:
            trial: what was trained.
            seed: of the run.

        Returns:
            The path.
        """
        return run_folder(self.folder, trial, self.backbone, self.task, seed)


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What a lab is about.

    Args:
        lab: name of the notebook, such as "01_lora".
        title: as in the lab's first line.
        question: what the lab answers, in one sentence.
        paper: where the method was published, or None.
        kinds: of the tasks that the lab takes, see `tasks.task.KINDS`; empty takes all.
        settings: names of the lab's parameters that its record keeps.
        claims: what the lab has to decide, by key.
        plan: takes `settings` by name and gives the plan; None where the lab trains no trial.
        fits: takes the settings and whether the sweep runs again, and raises a ValueError where the
            lab cannot use them; None takes all.
        prepare: takes plan and place of a sweep, and makes what its groups name as backbones.
        findings: takes plan, runs and place of a sweep, and gives what is computed from the runs
            and their checkpoints, ready for JSON.
        score: which score of a run the lab shows and judges, where its task has that score; see
            `tasks.scores`.
    """

    lab: str
    title: str
    question: str
    paper: Paper | None = None
    kinds: Sequence[str] = ()
    settings: Sequence[str] = ("backbone", "task", "seed")
    claims: Mapping[str, Claim] = field(default_factory=dict)
    plan: Callable[..., Plan] | None = None
    fits: Callable[[Mapping[str, Any], bool], None] | None = None
    prepare: Callable[[Plan, Place], None] | None = None
    findings: Callable[[Plan, list[Run], Place], dict[str, Any]] | None = None
    score: str = "accuracy"


def sweep(lesson: Lesson, plan: Plan, backbone: str, task: str) -> dict[str, Any]:
    """Run a plan and write `LAB_sweep.json` to the working directory.

    Finished runs are kept in `LAB_runs`, so that an interrupted sweep goes on.

    Args:
        lesson: whose findings are computed.
        plan: what to run.
        backbone: see `load_backbone`.
        task: see `load_task`.

    Returns:
        The record: "runs", and the lesson's findings.

    Raises:
        ValueError: a trial does not fit; see `run_trials`.
    """
    place = Place(backbone, task, f"{lesson.lab}_runs")
    runs: list[Run] = []
    if lesson.prepare:
        lesson.prepare(plan, place)
    for group in plan.groups.values():
        if group.record:
            continue
        found = run_trials(
            distinct(group.trials),
            backbone=group.backbone or backbone,
            task=group.task or task,
            seeds=group.seeds,
            folder=place.folder,
        )
        runs = distinct_runs([*runs, *found])
    findings = lesson.findings(plan, runs, place) if lesson.findings else {}
    command = f"peftlab run {lesson.lab} -p rerun_sweep true -p backbone {backbone} -p task {task}"
    return store(f"{lesson.lab}_sweep", runs, command, ".", **findings)


def distinct_runs(runs: Iterable[Run]) -> list[Run]:
    """Leave out runs of a setting, a place and a seed that an earlier one has.

    A setting may stand in two groups of a plan, and in the records of two labs.

    Args:
        runs: any number.

    Returns:
        The runs that are left, in their order.
    """
    found: dict[str, Run] = {}
    for run in runs:
        key = [run.backbone, run.task, run.seed, rounded(run.settings)]
        found.setdefault(json.dumps(key, sort_keys=True), run)
    return [*found.values()]
