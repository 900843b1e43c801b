"""What lab 01 trains, and what is computed from the checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from peftlab.backbones import load_backbone
from peftlab.figures import Table
from peftlab.insight import (
    directions,
    mean_amplifications,
    mean_overlap,
    overlap,
    random_directions,
    spectrum,
    stored_updates,
    truncation_curve,
    updates,
    weights,
)
from peftlab.lessons.lesson import Group, Place, Plan
from peftlab.lessons.session import Session
from peftlab.methods.baselines import FullFineTuning, HeadOnly
from peftlab.methods.lora.method import LoRA
from peftlab.runs.trial import Run, Trial, run_trial
from peftlab.tasks import load_task
from peftlab.training import evaluate

SEEDS = (0, 1, 2, 3, 4)
MORE_SEEDS = (5, 6, 7)  # after five, LoRA against full fine-tuning was on the border of its claim
GRID_SEEDS = (100,)  # rates are chosen with a seed of its own, on the validation split
GRID = {  # learning rates tried
    "LoRA": (1e-3, 3e-3, 1e-2),
    "full": (3e-5, 1e-4, 3e-4),
    "head": (1e-2, 3e-2, 1e-1),
}
RATES = {"LoRA": 3e-3, "full": 1e-4, "head": 3e-2}  # the best of each, on validation
SCALED_GRID = {1: (3e-3, 1e-2), 4: (3e-3, 1e-2), 64: (1e-3, 3e-3)}  # with alpha / r held, by rank
SCALED_RATES = {1: 1e-2, 4: 3e-3, 8: 3e-3, 64: 1e-3}
LANGUAGE_MODEL, LANGUAGE_TASK = "smollm2", "tweets"  # for the amplification: fewer sentences

ROWS, COLUMNS = 8, 16  # size of the similarity maps
DIRECTIONS = (1, 2, 4)  # k, of the amplification
CUTS = (0, 1, 2, 4, 8, 16, 64)  # ranks to which the update of full fine-tuning is cut
CUT_EXAMPLES = 500  # of the test split, for cut updates: the lab does the same live
# Alpha / r is 2 in all of them, as in LoRA's own run.
BUDGET: dict[str, dict[str, Any]] = {
    "query, r=16": {"rank": 16, "alpha": 32, "targets": ("query",)},
    "value, r=16": {"rank": 16, "alpha": 32, "targets": ("value",)},
    "all four, r=4": {
        "rank": 4,
        "alpha": 8,
        "targets": ("query", "key", "value", "attention_output"),
    },
    "MLP, r=3": {"rank": 3, "alpha": 6, "targets": ("mlp_in", "mlp_out")},
}
BUDGET_RATES = {"value, r=16": 1e-3}  # the best of its grid; the others keep LoRA's own


def plan(
    *, rank: int, alpha: float, learning_rate: float, epochs: int, examples: int, **_: Any
) -> Plan:
    """Plan LoRA and its controls, its ranks, ways to spend one budget, and the learning rates.

    Args:
        rank: of the live run.
        alpha: of the live run.
        learning_rate: of the live run.
        epochs: of the live run.
        examples: of the training split, in every run.

    Returns:
        The plan.
    """

    def lora(label: str, rate: float = RATES["LoRA"], epochs: int = 3, **options: Any) -> Trial:
        method = LoRA(**options)
        return Trial(
            label=label, method=method, learning_rate=rate, epochs=epochs, examples=examples
        )

    def full(rate: float, label: str = "full fine-tuning", **options: Any) -> Trial:
        method = FullFineTuning()
        return Trial(label=label, method=method, learning_rate=rate, examples=examples, **options)

    def head(rate: float) -> Trial:
        method = HeadOnly()
        return Trial(label="head only", method=method, learning_rate=rate, examples=examples)

    trials = {
        "LoRA": lora(f"LoRA r={rank}", learning_rate, epochs, rank=rank, alpha=alpha),
        "full": full(RATES["full"]),
        "head": head(RATES["head"]),
        "random": full(RATES["full"], "random weights", pretrained=False),
    }
    ranks = {r: lora(f"LoRA r={r}", rank=r) for r in SCALED_RATES}
    scaled = {
        r: lora(f"LoRA r={r}, alpha={2 * r}", rate, rank=r, alpha=2 * r)
        for r, rate in SCALED_RATES.items()
    }
    both = {"query and value, r=8": ranks[8]}
    equal = both | {name: lora(name, **options) for name, options in BUDGET.items()}
    fitted = equal | {
        name: lora(f"{name}, fitted", rate, **BUDGET[name]) for name, rate in BUDGET_RATES.items()
    }
    makers = {"full": full, "head": head, "LoRA": lambda rate: lora("", rate, rank=8)}
    tried = {f"{name}, {rate:g}": makers[name](rate) for name in GRID for rate in GRID[name]}
    for r, rates in SCALED_GRID.items():
        options = {"rank": r, "alpha": 2 * r}
        tried |= {f"r={r}, alpha={2 * r}, {rate:g}": lora("", rate, **options) for rate in rates}
    for name, options in BUDGET.items():
        tried |= {f"{name}, {rate:g}": lora("", rate, **options) for rate in GRID["LoRA"]}
    grid = {name: replace(trial, label=name) for name, trial in tried.items()}
    language = lora("LoRA r=8, language model", 1e-3, epochs=1, rank=8)
    language = replace(language, examples=min(examples, 500))
    controls = [trials["full"], trials["head"], trials["random"], ranks[8]]
    sweeps = [own[r] for own in (ranks, scaled) for r in own if r != 8]
    sweeps += [own[name] for own in (equal, fitted) for name in BUDGET]
    return Plan(
        trials=trials,
        series={
            "rank": ranks,
            "rank, scaling held": scaled,
            "budget": equal,
            "budget, fitted": fitted,
            "grid": grid,
        },
        groups={
            "controls": Group(trials=controls, seeds=SEEDS),
            "quality": Group(trials=[trials["full"], ranks[8]], seeds=MORE_SEEDS),
            "sweeps": Group(trials=sweeps, seeds=SEEDS),
            "grid": Group(trials=list(grid.values()), seeds=GRID_SEEDS, noted=False, shown=False),
            "language model": Group(
                trials=[language],
                seeds=SEEDS[:3],
                backbone=LANGUAGE_MODEL,
                task=LANGUAGE_TASK,
                noted=False,
            ),
        },
    )


def findings(plan: Plan, runs: list[Run], place: Place) -> dict[str, Any]:
    """What the updates of rank 8, of rank 64 and of full fine-tuning look like.

    Args:
        plan: the series "rank" holds rank 8 and a larger one, the trials hold "full".
        runs: of the plan.
        place: where they ran.

    Returns:
        "grid", validation accuracies by setting and rate; "full_spectra", singular values by matrix
        of the first full fine-tuning, and "full_cut", its accuracy on the first `CUT_EXAMPLES` of
        the test split with every update cut to a rank, by that rank; "overlaps", similarity maps
        (8, 16) of small against large rank, of two seeds at the large rank, and of random
        directions; "top_directions", similarities of two top directions, a list over the matrices
        for each seed or pair of seeds; "amplification", one record for each backbone, seed and
        number of directions, at the small rank.
    """
    seeds, ranks = plan.groups["sweeps"].seeds, plan.series["rank"]
    few, many = 8, max(ranks)
    lora = {
        (r, seed): stored_updates(place.run(ranks[r], seed)) for r in (few, many) for seed in seeds
    }
    kinds = {
        f"r={few} and r={many}": [(lora[few, s], lora[many, s]) for s in seeds],
        f"r={many}, two seeds": [(lora[many, a], lora[many, b]) for a, b in pairwise(seeds)],
    }
    chance = [
        overlap(
            random_directions(ROWS, delta.shape[1], 2 * i),
            random_directions(COLUMNS, delta.shape[1], 2 * i + 1),
        )
        for i, delta in enumerate(lora[many, seeds[0]].values())
    ]
    maps = {
        kind: _mean([mean_overlap(*pair, ROWS, COLUMNS) for pair in pairs])
        for kind, pairs in kinds.items()
    }
    tops = {kind: [_tops(*pair) for pair in pairs] for kind, pairs in kinds.items()}
    full = next(run for run in runs if run.same_setting(plan.trials["full"]))
    rows = _amplification(place.backbone, place.task, {s: lora[few, s] for s in seeds})
    if other := plan.groups.get("language model"):
        (trial,) = other.trials
        elsewhere = Place(other.backbone, other.task, place.folder)
        found = {s: stored_updates(elsewhere.run(trial, s)) for s in other.seeds}
        rows += _amplification(other.backbone, other.task, found)
    return {
        "grid": plan.tried(runs, place),
        "full_spectra": {"seed": full.seed, "spectra": full.spectra},
        "full_cut": _full_cut(plan.trials["full"], place, full.seed),
        "overlaps": maps | {"random directions": _mean(chance)},
        "top_directions": tops,
        "amplification": rows,
    }


def full_spectra(lab: Session) -> dict[str, list[float]]:
    """Find the singular values of a full fine-tuning: of the live one, or else of the stored one.

    Args:
        lab: the session.

    Returns:
        By matrix, the largest first.
    """
    if "full" not in lab.live:
        return lab.study["full_spectra"]["spectra"]
    moved = updates(lab.live["full"].attachment)
    return {name: spectrum(delta) for name, delta in moved.items()}


def _full_cut(trial: Trial, place: Place, seed: int) -> dict[int, float]:
    """Train everything once more: of a whole trained model a sweep keeps no checkpoint."""
    attachment, _ = run_trial(trial, place.backbone, place.task, seed, progress=False)
    task, model = load_task(place.task), attachment.model
    tokenizer = load_backbone(place.backbone, task)[1]
    return truncation_curve(
        attachment, CUTS, lambda: evaluate(model, tokenizer, task.test[:CUT_EXAMPLES]).accuracy
    )


def _tops(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> list[float]:
    """Similarity of the two top directions, one for each matrix."""
    return [overlap(directions(first[n], 1), directions(second[n], 1))[0][0] for n in first]


def _amplification(
    backbone: str, task: str, found: Mapping[int, Mapping[str, Tensor]]
) -> list[dict[str, Any]]:
    frozen = weights(load_backbone(backbone, load_task(task))[0])
    return [
        {"backbone": backbone, "seed": seed, "directions": k} | means
        for seed, moved in found.items()
        for k, means in zip(DIRECTIONS, mean_amplifications(frozen, moved, DIRECTIONS), strict=True)
    ]


def _mean(maps: Sequence[list[list[float]]]) -> list[list[float]]:
    return torch.tensor(maps).mean(0).tolist()


def amplification_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The amplification, averaged over the seeds.

    Args:
        rows: one `insight.mean_amplification` each, with "backbone" and "directions".

    Returns:
        A row for each backbone and number of directions.
    """
    columns = {
        "inside": "W in the update's directions",
        "inside_random": "in random ones",
        "inside_own": "in its own top ones",
        "delta": "the update",
        "over_random": "first over random",
        "factor": "factor",
    }
    found = []
    for place in dict.fromkeys((row["backbone"], row["directions"]) for row in rows):
        own = [row for row in rows if (row["backbone"], row["directions"]) == place]
        means = {name: fmean(row[key] for row in own) for key, name in columns.items()}
        found.append({"backbone": place[0], "k": place[1], "seeds": len(own)} | means)
    return Table(found, caption="Frobenius norms, mean over matrices and seeds; ratios run by run")
