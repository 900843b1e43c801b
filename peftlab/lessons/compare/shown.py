"""What lab 09 shows of the stored runs: fronts, curves, best rates, what is forgotten."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from peftlab.figures import Table
from peftlab.lessons.compare.claims import LEARNT
from peftlab.lessons.compare.panel import BASELINES, Measured
from peftlab.lessons.compare.sweep import (
    ELSEWHERE,
    FEW,
    GROUND,
    LANGUAGE_MODEL,
    LM_TASKS,
    MANY,
    MIDDLE,
    RATED,
    RATED_TASKS,
    SECOND,
)
from peftlab.lessons.session import Session
from peftlab.runs.trial import Run, Trial
from peftlab.seeds import Interval, differences, interval, paired

Scores = list[float]


def runs_of(lab: Session, trial: Trial, place: tuple[str, str] = GROUND) -> list[Run]:
    """Find the stored runs of a trial, in the order of their seeds.

    Args:
        lab: the session.
        trial: what was trained.
        place: backbone and task.

    Returns:
        A run for each seed; empty where nothing is stored.
    """
    found = lab.runs(trial, backbone=place[0], task=place[1])
    return sorted(found, key=lambda run: run.seed)


def fronts(lab: Session) -> dict[str, dict[int, Scores]]:
    """Find the test accuracies of every method at every size.

    Args:
        lab: the session.

    Returns:
        From 0 to 1 by method and number of trained parameters, one for each seed.
    """
    found: dict[str, dict[int, Scores]] = {}
    for (name, _), trial in lab.plan.series["front"].items():
        if runs := runs_of(lab, trial):
            trained = int(runs[0].counts["trained"])
            found.setdefault(name, {})[trained] = [run.test_accuracy for run in runs]
    return found


def panel_data(lab: Session, config: Any, head: str | None) -> Measured:
    """Collect what the budget panel looks at.

    Args:
        lab: the session.
        config: of the lab's backbone.
        head: its task head.

    Returns:
        The data; stored accuracies only where the lab runs on the ground that they are of.
    """
    if (lab.backbone, lab.task) != GROUND:
        return Measured(config, head, {}, {})
    trained = {name: own for name, own in fronts(lab).items() if min(own)}  # the head trains none
    return Measured(config, head, trained, controls(lab))


def controls(lab: Session) -> dict[str, float]:
    """Average the accuracy of the head alone and of random weights.

    Args:
        lab: the session.

    Returns:
        From 0 to 1 by label.
    """
    found = scores(methods(lab))
    return {n: fmean(found[n]) for n in ("head only", "random weights") if n in found}


def methods(lab: Session) -> dict[str, list[Run]]:
    """Find the stored runs of every method at its middle size.

    Args:
        lab: the session.

    Returns:
        By method a run for each seed; methods without stored runs are left out.
    """
    front = lab.plan.series["front"]
    found = {name: runs_of(lab, front[name, size]) for name, size in MIDDLE.items()}
    found["random weights"] = runs_of(lab, lab.plan.series["control"]["random"])
    return {name: runs for name, runs in found.items() if runs}


def scores(runs: Mapping[str, Sequence[Run]]) -> dict[str, Scores]:
    """Take the test accuracies of runs.

    Args:
        runs: by method.

    Returns:
        From 0 to 1 by method, one for each seed.
    """
    return {name: [run.test_accuracy for run in own] for name, own in runs.items()}


def kinds(runs: Mapping[str, Sequence[Run]]) -> dict[str, dict[str, dict[str, float]]]:
    """Average the accuracy by kind of sentence over the seeds.

    Args:
        runs: by method.

    Returns:
        By method and kind "accuracy" and "examples", see `figures.accuracy_by_kind`.
    """
    return {
        name: {
            kind: {
                "accuracy": fmean(run.by_kind[kind]["accuracy"] for run in own),
                "examples": one["examples"],
            }
            for kind, one in own[0].by_kind.items()
        }
        for name, own in runs.items()
    }


def by_amount(lab: Session) -> dict[str, dict[int, Scores]]:
    """Find the test accuracies by number of training sentences, at equal numbers of steps.

    Args:
        lab: the session.

    Returns:
        From 0 to 1 by method and number of sentences, one for each seed.
    """
    front = lab.plan.series["front"]
    found: dict[str, dict[int, Scores]] = {}
    for name in lab.plan.series["few"]:
        usual = front[name, MIDDLE[name]]
        for n, trial in (
            (FEW["examples"], lab.plan.series["few"][name]),
            (usual.examples, usual),
            (MANY["examples"], lab.plan.series["many"][name]),
        ):
            if runs := runs_of(lab, trial):
                found.setdefault(name, {})[n] = [run.test_accuracy for run in runs]
    return found


def curves(lab: Session) -> dict[str, dict[int, Scores]]:
    """Collect what every method looked like on the validation split while it trained.

    Args:
        lab: the session.

    Returns:
        Accuracies from 0 to 1 by method and step, one for each seed.
    """
    found: dict[str, dict[int, Scores]] = {}
    for name, runs in turns(lab).items():
        for run in runs:
            for look in run.validation:
                found.setdefault(name, {}).setdefault(look["step"], []).append(look["accuracy"])
    return found


def turns(lab: Session) -> dict[str, list[Run]]:
    """Find the stored runs that trained on one task after the other.

    Args:
        lab: the session.

    Returns:
        By method a run for each seed.
    """
    found = {name: runs_of(lab, trial) for name, trial in lab.plan.series["turn"].items()}
    return {name: runs for name, runs in found.items() if runs}


def lost(runs: Mapping[str, Sequence[Run]]) -> dict[str, Scores]:
    """Say how many points of the first task were lost while the second was learnt.

    Args:
        runs: by method, see `turns`.

    Returns:
        Points of accuracy by method, one for each seed; above 0 where something was lost.
    """
    return {
        name: [100 * (run.test_accuracy - run.afterwards[run.task]) for run in own]
        for name, own in runs.items()
    }


def turns_table(lab: Session) -> Table:
    """Say what each method knew of the first task before and after the second.

    Args:
        lab: the session.

    Returns:
        A row for each method, in percent and points with 95 % intervals.
    """
    runs = turns(lab)
    points = lost(runs)
    rows = [
        {
            "method": name,
            f"{GROUND[1]}, before": _mean(run.test_accuracy for run in own),
            f"{GROUND[1]}, after {SECOND}": _mean(run.afterwards[GROUND[1]] for run in own),
            "lost": with_ends(points[name]),
            SECOND: _mean(run.afterwards[SECOND] for run in own),
        }
        for name, own in runs.items()
    ]
    return Table(rows, caption=f"First {GROUND[1]}, then {SECOND}: test accuracy in % (stored)")


def _mean(shares: Iterable[float]) -> float:
    """In percent, to one digit."""
    return round(100 * fmean(shares), 1)


def transfer(runs: Mapping[str, Sequence[Run]]) -> dict[str, dict[str, Scores]]:
    """Find what was reached on tasks that no run trained on.

    Args:
        runs: by method, with `Run.transfer`.

    Returns:
        From 0 to 1 by task, the one of training first, and by method.
    """
    found: dict[str, dict[str, Scores]] = {}
    for name, own in runs.items():
        for run in own:
            found.setdefault(run.task, {}).setdefault(name, []).append(run.test_accuracy)
            for task in ELSEWHERE:
                found.setdefault(task, {}).setdefault(name, []).append(run.transfer[task])
    return found


def language(lab: Session, task: str) -> dict[str, list[Run]]:
    """Find the stored runs of the language model.

    Args:
        lab: the session.
        task: one of `LM_TASKS`.

    Returns:
        By method a run for each seed.
    """
    trials = lab.plan.series[f"language, {task}"]
    found = {name: runs_of(lab, own, (LANGUAGE_MODEL, task)) for name, own in trials.items()}
    return {name: runs for name, runs in found.items() if runs}


def language_table(lab: Session) -> Table:
    """Say what each method reaches on the language model, and how it reads afterwards.

    Args:
        lab: the session.

    Returns:
        A row for each method: accuracies in percent, and the growth of the loss on other text, in
        nats a token, with 95 % intervals.
    """
    found = {task: language(lab, task) for task in LM_TASKS}
    grown = reading(found[LM_TASKS[0]])
    rows = []
    for name in found[LM_TASKS[0]]:
        own = {task: found[task][name] for task in LM_TASKS if name in found[task]}
        if own:
            first = next(iter(own.values()))[0]
            row = {"method": name, "trained": int(first.counts["trained"])}
            row |= {t: with_ends([100 * r.test_accuracy for r in runs]) for t, runs in own.items()}
            row["loss on other text grows by"] = (
                with_ends(grown[name], "{:.2f}") if name in grown else "–"
            )
            rows.append(row)
    return Table(rows, caption=f"{LANGUAGE_MODEL}: test accuracy in %, nats a token (stored)")


def reading(runs: Mapping[str, Sequence[Run]]) -> dict[str, Scores]:
    """Say by how much the loss on other text grew.

    Args:
        runs: by method; those that read nothing are left out.

    Returns:
        Nats a token by method, one for each seed.
    """
    return {
        name: [run.reading["after"] - run.reading["before"] for run in own]
        for name, own in runs.items()
        if all(run.reading for run in own)
    }


def rated(lab: Session, backbone: str) -> dict[str, dict[float, Scores]]:
    """Find the validation accuracies by learning rate: they choose one.

    Args:
        lab: the session.
        backbone: one of `RATED`.

    Returns:
        From 0 to 1 by method and rate, one for each seed.
    """
    found: dict[str, dict[float, Scores]] = {}
    for (name, rate), trial in lab.plan.series[f"rate, {backbone}"].items():
        if runs := runs_of(lab, trial, (backbone, RATED_TASKS[backbone])):
            found.setdefault(name, {})[rate] = [run.validation_accuracy for run in runs]
    return found


def best_rate(points: Mapping[float, float]) -> float:
    """Find where accuracy is highest: on a parabola through the best rate and its two neighbours.

    Args:
        points: accuracy by learning rate.

    Returns:
        The rate; the best one that was tried where it stands at an end.
    """
    rates = sorted(points)
    i = max(range(len(rates)), key=lambda j: points[rates[j]])
    if i in (0, len(rates) - 1):
        return rates[i]
    (x0, x1, x2), (y0, y1, y2) = zip(
        *((math.log10(r), points[r]) for r in rates[i - 1 : i + 2]), strict=True
    )
    left, right = (x1 - x0) * (y1 - y2), (x1 - x2) * (y1 - y0)
    if left == right:
        return rates[i]
    top = x1 - ((x1 - x0) * left - (x1 - x2) * right) / (2 * (left - right))
    return 10 ** min(max(top, x0), x2)


def ratios(lab: Session, backbone: str) -> dict[str, Scores]:
    """Divide the best rate of LoRA by that of full fine-tuning, seed by seed.

    Args:
        lab: the session.
        backbone: one of `RATED`.

    Returns:
        By rank the decimal logarithm of the ratio, one for each seed.
    """
    found = rated(lab, backbone)
    if len(found) < 2:
        return {}
    best = {
        name: [
            math.log10(best_rate(dict(zip(own, point, strict=True))))
            for point in zip(*own.values(), strict=True)
        ]
        for name, own in found.items()
    }
    full = best.pop("full")
    return {name: differences(*paired(own, full)) for name, own in best.items()}


def ratio_table(lab: Session) -> Table:
    """Say the best rates on each backbone, and LoRA's over full fine-tuning's.

    Args:
        lab: the session.

    Returns:
        A row for each backbone: the rates at which the mean accuracy is highest, and the ratios
        with their 95 % intervals.
    """
    rows = []
    for backbone in RATED:
        if found := rated(lab, backbone):
            means = {n: {r: fmean(v) for r, v in own.items()} for n, own in found.items()}
            row: dict[str, Any] = {"backbone": backbone}
            row |= {f"best, {name}": f"{best_rate(own):.1e}" for name, own in means.items()}
            for name, own in ratios(lab, backbone).items():
                row[f"{name} / full"] = _times(interval(own))
            rows.append(row)
    return Table(rows, caption="Best learning rates; LoRA's over full fine-tuning's (stored)")


def backbone_sizes(lab: Session) -> dict[str, int]:
    """Find the sizes of the backbones on which learning rates were tried.

    Args:
        lab: the session.

    Returns:
        Parameters without a head by backbone; those without stored runs are left out.
    """
    return {
        run.backbone: int(run.counts["backbone"])
        for run in lab.study["runs"]
        if run.backbone in RATED
    }


def places(lab: Session) -> dict[str, Scores]:
    """Find the test accuracies of one budget of LoRA by place.

    Args:
        lab: the session.

    Returns:
        From 0 to 1 by place, one for each of the seeds that all have.
    """
    every = {name: runs_of(lab, trial) for name, trial in lab.plan.series["place"].items()}
    fewest = min(map(len, every.values()))
    return {name: [r.test_accuracy for r in runs[:fewest]] for name, runs in every.items() if runs}


def with_ends(values: Sequence[float], form: str = "{:.1f}") -> str:
    """Write a mean with its 95 % interval.

    Args:
        values: one for each seed.
        form: of each number.

    Returns:
        Such as "80.9 (80.1 to 81.7)".
    """
    found = interval(values)
    mean = form.format(found.mean)
    if math.isinf(found.low):
        return mean
    return f"{mean} ({form.format(found.low)} to {form.format(found.high)})"


def _times(found: Interval) -> str:
    mean, low, high = (
        10**x if math.isfinite(x) else x for x in (found.mean, found.low, found.high)
    )
    return f"{mean:.1f}" if math.isinf(high) else f"{mean:.1f} ({low:.1f} to {high:.1f})"


def not_apart(best: str, values: Mapping[str, Sequence[float]], sign: float = 1.0) -> list[str]:
    """Find the methods that the seeds do not tell apart from the best one.

    Args:
        best: a name in `values`.
        values: by method, one for each seed, in the same order.
        sign: 1 where more is better, -1 where less is.

    Returns:
        The others whose difference to the best has a 95 % interval that reaches 0; of a single
        value each, those within 5 %.
    """
    found = []
    for name, own in values.items():
        if name == best:
            continue
        if len(own) == 1:  # a cost that was measured once
            apart = max(own[0], values[best][0]) > 1.05 * min(own[0], values[best][0])
        else:
            gap = interval([sign * d for d in differences(*paired(values[best], own))])
            apart = gap.low > 0
        if not apart:
            found.append(name)
    return found


def decisions(lab: Session, costs: Mapping[str, Mapping[str, float]]) -> Table:
    """Say which method to take for what, from what was measured.

    Args:
        lab: the session.
        costs: by method what was measured in this session, see `costs.costs`.

    Returns:
        A row for each need: the method, what was measured, and which others cannot be told apart.
    """
    main = {n: own for n, own in methods(lab).items() if n != "random weights"}
    percents = _percents(main)
    amount = by_amount(lab)
    rows = []

    def row(
        need: str,
        values: Mapping[str, Sequence[float]],
        form: str,
        least: bool = False,
        runs: Mapping[str, Sequence[Run]] | None = None,
    ) -> None:
        if not values:
            return
        sign = -1.0 if least else 1.0
        best = max(values, key=lambda name: sign * fmean(values[name]))
        others = not_apart(best, values, sign)
        rows.append(
            {
                "if you need": need,
                "take": best,
                "measured": form.format(fmean(values[best])),
                "not told apart from it": ", ".join(others) or "–",
                "and its accuracy": f"{fmean(_percents(runs)[best]):.1f} %" if runs else "–",
            }
        )

    row("the highest accuracy", percents, "{:.1f} %")
    for n, what in ((FEW["examples"], "few sentences"), (MANY["examples"], "more of them")):
        own = {m: [100 * s for s in c[n]] for m, c in amount.items() if n in c}
        row(f"{what}, {n:,}", own, "{:.1f} %")
    frozen = {n: own for n, own in percents.items() if n not in BASELINES}
    row("a frozen backbone", frozen, "{:.1f} %")
    in_turn = turns(lab)
    best = max((fmean(own) for own in scores(in_turn).values()), default=0.0)
    learnt = {n: o for n, o in in_turn.items() if fmean(scores(in_turn)[n]) > best - LEARNT}
    row(f"the first task to last while {SECOND} is learnt", lost(learnt), "{:+.1f} points lost",
        least=True, runs=in_turn)  # fmt: skip
    first = language(lab, LM_TASKS[0])
    row("a language model that reads on", reading(first), "loss +{:.2f} nats", least=True,
        runs=first)  # fmt: skip
    learning = {n: own for n, own in costs.items() if n != "head only"}
    for what, need, form in (
        ("time", "the fastest step, in full fine-tuning's", "{:.2f}"),
        ("memory", "the least memory for a step", "{:.0f} MiB"),
        ("stored", "the smallest file for a task", "{:.3f} MiB"),
        ("latency", "the fastest answer, in the backbone's time", "{:.2f}"),
    ):
        row(need, {n: [own[what]] for n, own in learning.items()}, form, least=True, runs=main)
    return Table(rows, caption="Which method for what: from the stored runs, costs measured now")


def _percents(runs: Mapping[str, Sequence[Run]]) -> dict[str, Scores]:
    return {name: [100 * score for score in own] for name, own in scores(runs).items()}
