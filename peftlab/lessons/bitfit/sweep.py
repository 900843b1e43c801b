"""What lab 07 trains, and what is computed from the checkpoints."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from peftlab.backbones import load_backbone
from peftlab.insight import bias_change
from peftlab.lessons.lesson import Group, Place, Plan
from peftlab.methods.base import Method
from peftlab.methods.baselines import FullFineTuning, HeadOnly
from peftlab.methods.bitfit.method import TWO, BitFit
from peftlab.methods.loading import load
from peftlab.refuse import require_number
from peftlab.runs.trial import Run, Trial
from peftlab.tasks import load_task

SIZES = (50, 100, 250, 500, 1000)  # training sentences


def plan(*, sentences: int, learning_rate: float, epochs: int, **_: Any) -> Plan:
    """Plan BitFit and its controls on few sentences, and two series by the number of sentences.

    Args:
        sentences: of the training split, in all runs but those of the series.
        learning_rate: of the live run.
        epochs: of the live run.

    Returns:
        The plan.

    Raises:
        TypeError: `sentences` is not a whole number.
        ValueError: `sentences` is below 1.
    """
    require_number("sentences", sentences, 1, integer=True, example=250)

    def trial(
        label: str, method: Method, rate: float = 1e-2, passes: int = 15, n: int = sentences
    ) -> Trial:
        return Trial(label=label, method=method, learning_rate=rate, epochs=passes, examples=n)

    def curve(method: Method, rate: float, steps: int) -> dict[int, Trial]:
        # equally many steps for every size: a batch has 16 sentences
        return {
            n: trial(f"{method.name}, {n} sentences", method, rate, steps // -(-n // 16), n)
            for n in SIZES
        }

    trials = {
        "all": trial("BitFit", BitFit(), learning_rate, epochs),
        "full": trial("full fine-tuning", FullFineTuning(), 5e-4),
        "two": trial("query and MLP in", BitFit(biases=TWO), 1e-1),
        "query": trial("query alone", BitFit(biases=("query",)), 5e-2),
        "mlp_in": trial("MLP in alone", BitFit(biases=("mlp_in",)), 1e-1),
        "norms": trial("LayerNorms, gains too", BitFit(control="norms")),
        "random": trial("random scalars", BitFit(control="random"), 3e-2),
        "head": trial("head only", HeadOnly()),
        "scratch": replace(trial("random weights", FullFineTuning(), 5e-4), pretrained=False),
    }
    # ten passes over a thousand sentences, and six
    series = {"BitFit": curve(BitFit(), 1e-2, 630), "full": curve(FullFineTuning(), 5e-4, 378)}
    curves = [*series["BitFit"].values(), *series["full"].values()]
    return Plan(
        trials=trials,
        series=series,
        groups={
            "stored": Group(trials=[*trials.values()], seeds=range(8)),
            "stored curves": Group(trials=curves, seeds=(0, 1, 2)),
        },
    )


def findings(plan: Plan, runs: list[Run], place: Place) -> dict[str, Any]:
    """How far the biases moved.

    Args:
        plan: the trials hold "all".
        runs: of the plan.
        place: where they ran.

    Returns:
        "moves", how far each kind of bias moved by layer, a map for each seed.
    """
    data, moves = load_task(place.task), []
    for seed in plan.groups["stored"].seeds:
        model, _ = load_backbone(place.backbone, data, seed=seed)
        moves.append(bias_change(load(place.run(plan.trials["all"], seed), model)))
    return {"moves": moves}
