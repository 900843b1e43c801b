"""What lab 03 shows of its stored runs: the data of its figures and claims, and tables."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from peftlab import anatomy
from peftlab.figures import Table
from peftlab.lessons.prompt_tuning.sweep import (
    EARLY,
    ELSEWHERE,
    FACT_SEEDS,
    FEW_SEEDS,
    LENGTHS,
    RATES,
    REVIEWED,
    SIZES,
    START_SEEDS,
)
from peftlab.lessons.session import Session
from peftlab.runs.separation import PROMPTED
from peftlab.runs.trial import Run, Trial
from peftlab.tasks import load_task


def on_facts(
    lab: Session, trial: Trial, backbone: str = PROMPTED, seeds: Sequence[int] = FACT_SEEDS
) -> list[Run]:
    """Find the stored runs of a trial on every relation of the facts.

    Args:
        lab: the session.
        trial: what was trained.
        backbone: on which.
        seeds: which runs.

    Returns:
        A run for each pair of relation and seed, in this order.
    """
    return [
        run
        for name in load_task("facts").prompts
        for run in lab.runs(trial, backbone=backbone, task=f"facts/{name}")
        if run.seed in seeds
    ]


def facts_series(
    lab: Session, series: str, backbone: str = PROMPTED, seeds: Sequence[int] = FEW_SEEDS
) -> dict[Any, list[float]]:
    """Find the test accuracies of a series on every relation of the facts.

    Args:
        lab: the session.
        series: of the plan.
        backbone: on which.
        seeds: which runs.

    Returns:
        From 0 to 1 by value, one for each pair of relation and seed; a value without a stored run
        is left out.
    """
    found = {
        value: [run.test_accuracy for run in on_facts(lab, trial, backbone, seeds)]
        for value, trial in lab.plan.series[series].items()
    }
    return {value: own for value, own in found.items() if own}


def by_size(lab: Session) -> dict[str, dict[str, list[float]]]:
    """Find the test accuracies of prompt tuning and full fine-tuning on each size of backbone.

    Args:
        lab: the session.

    Returns:
        From 0 to 1 by backbone, "prompt" and "full", one for each pair of relation and seed.
    """
    found = {size: facts_series(lab, size, size, FACT_SEEDS) for size in SIZES}
    return {size: own for size, own in found.items() if own.keys() == {"prompt", "full"}}


def rate_map(lab: Session) -> list[list[float | None]]:
    """Average the accuracy by length and learning rate over relations and seeds.

    Args:
        lab: the session.

    Returns:
        In percent, a row for each of `LENGTHS` and a column for each of `RATES`; None where nothing
        is stored.
    """
    found = facts_series(lab, "map")
    return [
        [100 * fmean(found[P, rate]) if (P, rate) in found else None for rate in RATES]
        for P in LENGTHS
    ]


def over_time(lab: Session) -> dict[str, dict[int, list[float]]]:
    """Collect the validation accuracy by pass of every start.

    Args:
        lab: the session.

    Returns:
        From 0 to 1 by start and pass, one for each pair of relation and seed.
    """
    curves = {}
    for name, trial in lab.plan.series["start"].items():
        looks = [run.validation for run in on_facts(lab, trial, seeds=START_SEEDS)]
        curves[name] = {
            (i + 1) * trial.look_every: [look[i]["accuracy"] for look in looks]
            for i in range(min(map(len, looks), default=0))
        }
    return {name: own for name, own in curves.items() if own}


def early(lab: Session) -> dict[str, list[float]]:
    """Take from `over_time` what each start has reached after `EARLY` passes.

    Args:
        lab: the session.

    Returns:
        From 0 to 1 by start.
    """
    return {name: own[EARLY] for name, own in over_time(lab).items()}


def real(lab: Session, series: str, seeds: Sequence[int] = FEW_SEEDS) -> dict[Any, list[float]]:
    """Find the test accuracies of a series on the real language model.

    Args:
        lab: the session.
        series: of the plan.
        seeds: which runs; some settings have no more than the first three seeds.

    Returns:
        From 0 to 1 by value, or by label where the values are names; one for each seed.
    """
    found = {}
    for value, trial in lab.plan.series.get(series, {}).items():
        scores = [run.test_accuracy for run in _real_runs(lab, trial) if run.seed in seeds]
        if scores:
            found[trial.label if series == "real" else value] = scores
    return found


def transfer(lab: Session) -> dict[str, dict[str, list[float]]]:
    """Find what the real model reaches where it was trained, and where it was not.

    Args:
        lab: the session.

    Returns:
        Test accuracies from 0 to 1 by task, then by label, one for each seed; the first task is
        the one of training.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for name in ("prompt", "full"):
        trial = lab.plan.series.get("real", {}).get(name)
        for run in _real_runs(lab, trial) if trial else ():
            for task in (REVIEWED, *ELSEWHERE):
                score = run.test_accuracy if task == REVIEWED else run.transfer[task]
                found.setdefault(task, {}).setdefault(trial.label, []).append(score)
    return found


def starts_table(lab: Session) -> Table:
    """Say what each start on the real model reaches after one pass, and after all.

    Args:
        lab: the session.

    Returns:
        A row for each start that has stored runs: validation accuracy after each pass, and test
        accuracy, means in percent.
    """
    rows = []
    for name, trial in lab.plan.series.get("real start", {}).items():
        if runs := [run for run in _real_runs(lab, trial) if run.seed in FEW_SEEDS]:
            passes = range(min(len(run.validation) for run in runs))
            rows.append(
                {"start": name}
                | {
                    f"pass {i + 1}, validation": 100
                    * fmean(run.validation[i]["accuracy"] for run in runs)
                    for i in passes
                }
                | {"test": 100 * fmean(run.test_accuracy for run in runs)}
            )
    return Table(rows, caption="The real model by start of its rows: mean accuracy in % (stored)")


def even_look(model: PreTrainedModel, P: int, mask: Tensor) -> float:
    """Say what share of the attention P rows would get if it were spread evenly.

    Args:
        model: a token of a decoder sees the rows and what stands before it; one of an encoder sees
            everything.
        P: rows before each text.
        mask: of the texts, padded on the right, (B, T).

    Returns:
        From 0 to 1, the mean over all tokens.
    """
    lengths = mask.sum(1, keepdim=True)  # (B, 1)
    decoder = "causal_lm" in anatomy.family(model.config).outputs
    seen = mask.cumsum(1) if decoder else lengths.expand_as(mask)
    return (P / (P + seen))[mask.bool()].mean().item()


def best_wording(lab: Session) -> dict[str, list[float]]:
    """Find what the wording that is best on the training split reaches without any training.

    Args:
        lab: the session.

    Returns:
        Its test accuracy from 0 to 1, by a label; nothing where none was asked.
    """
    found = lab.study.get("worded", {})
    if not (found and real(lab, "real")):
        return {}
    best = max(found, key=lambda wording: found[wording]["train"])
    return {f'"{best}", untrained': [found[best]["test"]]}


def _real_runs(lab: Session, trial: Trial) -> list[Run]:
    return lab.runs(trial, backbone=lab.settings["language_model"], task=REVIEWED)
