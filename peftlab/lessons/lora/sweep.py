"""What lab 01 trains, and what is computed from the checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch

from peftlab.backbones import load_backbone
from peftlab.insight import (
    mean_amplification,
    mean_overlap,
    overlap,
    random_directions,
    spectrum,
    stored_updates,
    updates,
    weights,
)
from peftlab.lessons.lesson import Group, Place, Plan
from peftlab.lessons.session import Session
from peftlab.methods.baselines import FullFineTuning, HeadOnly
from peftlab.methods.lora.method import LoRA
from peftlab.runs.trial import Run, Trial
from peftlab.tasks import load_task

ROWS, COLUMNS = 8, 16  # size of the similarity maps
ALL_FOUR = ("query", "key", "value", "attention_output")


def plan(*, rank: int, alpha: float, learning_rate: float, epochs: int, **_: Any) -> Plan:
    """Plan LoRA and its controls, LoRA at several ranks, and several ways to spend one budget.

    Args:
        rank: of the live run.
        alpha: of the live run.
        learning_rate: of the live run.
        epochs: of the live run.

    Returns:
        The plan.
    """

    def lora(label: str, **options: Any) -> Trial:
        return Trial(label=label, method=LoRA(**options), learning_rate=2e-3, epochs=8)

    full = {"method": FullFineTuning(), "learning_rate": 1e-4, "epochs": 4}
    trials = {
        "LoRA": Trial(
            label=f"LoRA r={rank}",
            method=LoRA(rank=rank, alpha=alpha),
            learning_rate=learning_rate,
            epochs=epochs,
        ),
        "full": Trial(label="full fine-tuning", **full),
        "head": Trial(label="head only", method=HeadOnly(), learning_rate=2e-2, epochs=3),
        "random": Trial(label="random weights", pretrained=False, **full),
    }
    ranks = {r: lora(f"LoRA r={r}", rank=r) for r in (1, 4, 8, 64)}
    one_matrix = {
        "query, r=16": lora("query, r=16", rank=16, targets=("query",)),
        "value, r=16": lora("value, r=16", rank=16, targets=("value",)),
        "all four, r=4": lora("all four, r=4", rank=4, targets=ALL_FOUR),
    }
    controls = [trials["full"], trials["head"], trials["random"], ranks[8]]
    others = [trial for r, trial in ranks.items() if r != 8]
    return Plan(
        trials=trials,
        series={"rank": ranks, "budget": {"query and value, r=8": ranks[8]} | one_matrix},
        groups={
            "controls": Group(trials=controls, seeds=(0, 1, 2, 3, 4)),
            "sweeps": Group(trials=[*others, *one_matrix.values()], seeds=(0, 1, 2)),
        },
    )


def findings(plan: Plan, runs: list[Run], place: Place) -> dict[str, Any]:
    """What the updates of rank 8, of rank 64 and of full fine-tuning look like.

    Args:
        plan: the series "rank" holds rank 8 and a larger one, the trials hold "full".
        runs: of the plan.
        place: where they ran.

    Returns:
        "full_spectra", singular values by matrix of the first full fine-tuning; "overlaps",
        similarity maps (8, 16) of small against large rank, of two seeds at the large rank, and of
        random directions; "amplification", one record for each seed at the small rank.
    """
    seeds, ranks = plan.groups["sweeps"].seeds, plan.series["rank"]
    few, many = 8, max(ranks)
    lora = {
        (r, seed): stored_updates(place.run(ranks[r], seed)) for r in (few, many) for seed in seeds
    }
    across = [mean_overlap(lora[few, s], lora[many, s], ROWS, COLUMNS) for s in seeds]
    between = [
        mean_overlap(lora[many, a], lora[many, b], ROWS, COLUMNS) for a, b in pairwise(seeds)
    ]
    chance = [
        overlap(
            random_directions(ROWS, delta.shape[1], 2 * i),
            random_directions(COLUMNS, delta.shape[1], 2 * i + 1),
        )
        for i, delta in enumerate(lora[many, seeds[0]].values())
    ]
    frozen = weights(load_backbone(place.backbone, load_task(place.task))[0])
    full = next(run for run in runs if run.same_setting(plan.trials["full"]))
    return {
        "full_spectra": {"seed": full.seed, "spectra": full.spectra},
        "overlaps": {
            f"r={few} and r={many}": _mean(across),
            f"r={many}, two seeds": _mean(between),
            "random directions": _mean(chance),
        },
        "amplification": [
            {"seed": s, "rank": few} | mean_amplification(frozen, lora[few, s], few) for s in seeds
        ],
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


def _mean(maps: Sequence[list[list[float]]]) -> list[list[float]]:
    return torch.tensor(maps).mean(0).tolist()
