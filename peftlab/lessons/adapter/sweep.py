"""What lab 02 trains, and what is computed from the checkpoints."""

from __future__ import annotations

from typing import Any

from peftlab.backbones import load_backbone
from peftlab.insight import span_ablation
from peftlab.lessons.lesson import Group, Place, Plan
from peftlab.methods.adapter.method import Adapter
from peftlab.methods.baselines import FullFineTuning, HeadOnly, TopLayers
from peftlab.methods.bitfit.method import BitFit
from peftlab.methods.loading import load
from peftlab.runs.trial import Run, Trial
from peftlab.tasks import load_task
from peftlab.training import evaluate

SIZES = (2, 8, 16, 64)  # of the bottleneck
STDS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of the initial weights


def plan(*, bottleneck: int, init_std: float, learning_rate: float, epochs: int, **_: Any) -> Plan:
    """Plan adapters and their controls, adapters by size and initial deviation, and top layers.

    Args:
        bottleneck: of the live run.
        init_std: of the live run.
        learning_rate: of the live run.
        epochs: of the live run.

    Returns:
        The plan.
    """

    def adapters(label: str, **options: Any) -> Trial:
        return Trial(label=label, method=Adapter(**options), learning_rate=2e-3, epochs=8)

    full = {"method": FullFineTuning(), "learning_rate": 5e-4, "epochs": 6}
    trials = {
        "adapters": Trial(
            label=f"adapters m={bottleneck}",
            method=Adapter(bottleneck=bottleneck, init_std=init_std),
            learning_rate=learning_rate,
            epochs=epochs,
        ),
        "full": Trial(label="full fine-tuning", **full),
        "norms": Trial(
            label="LayerNorms only", method=BitFit(control="norms"), learning_rate=1e-2, epochs=8
        ),
        "head": Trial(label="head only", method=HeadOnly(), learning_rate=1e-2, epochs=8),
        "random": Trial(label="random weights", pretrained=False, **full),
    }
    series = {
        "size": {m: adapters(f"adapters m={m}", bottleneck=m, init_std=1e-2) for m in SIZES},
        "init_std": {
            std: adapters(f"adapters std={std:g}", bottleneck=16, init_std=std) for std in STDS
        },
        "top": {
            k: Trial(
                label="top layer" if k == 1 else f"top {k} layers",
                method=TopLayers(layers=k),
                learning_rate=1e-3,
                epochs=6,
            )
            for k in (1, 2, 3)
        },
    }
    every = [*trials.values(), *(trial for own in series.values() for trial in own.values())]
    return Plan(
        trials=trials, series=series, groups={"stored": Group(trials=every, seeds=(0, 1, 2))}
    )


def findings(plan: Plan, runs: list[Run], place: Place) -> dict[str, Any]:
    """What the adapters of single layers, and of several together, are worth.

    Args:
        plan: the trials hold "adapters".
        runs: of the plan.
        place: where they ran.

    Returns:
        "ablation", test accuracy without the adapters of layers i to j, a map for each seed.
    """
    data, maps = load_task(place.task), []
    for seed in plan.groups["stored"].seeds:
        model, tokenizer = load_backbone(place.backbone, data, seed=seed)
        load(place.run(plan.trials["adapters"], seed), model)
        maps.append(
            span_ablation(model, lambda m=model, t=tokenizer: evaluate(m, t, data.test).accuracy)
        )
    return {"ablation": maps}
