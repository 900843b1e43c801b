"""What lab 02 trains, and what is computed from the checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from peftlab.backbones import load_backbone
from peftlab.insight import adapters_by_layer, span_ablation, without_adapters
from peftlab.lessons.adapter.switches import switches
from peftlab.lessons.lesson import Group, Place, Plan
from peftlab.methods.adapter.method import Adapter
from peftlab.methods.base import Method
from peftlab.methods.baselines import FullFineTuning, HeadOnly, TopLayers
from peftlab.methods.bitfit.method import BitFit
from peftlab.methods.loading import load
from peftlab.runs.trial import Run, Trial
from peftlab.tasks import Example, load_task
from peftlab.training import evaluate

SEEDS = (0, 1, 2, 3, 4)
MORE_SEEDS = (*SEEDS, 5, 6, 7)  # where five are too close to call
SWEEP_SEEDS = SEEDS[:3]  # of starts and top layers
GRID_SEEDS = (100,)  # rates are chosen with a seed of its own, on the validation split
EPOCHS = 3
FEW, FEW_EPOCHS = 250, 12  # few sentences: as many steps as with 1,000
SIZES = (2, 8, 64, 192, 256)  # of the bottleneck; 192 costs as much as the top layer of minilm
LARGE = SIZES[2:]
STDS = (1e-4, 1e-2, 1e-1, 1.0)  # of the initial weights
TOP = (1, 2, 3)  # layers from the top
TESTED = 500  # test sentences on which parts of a trained model are taken away
CONTROLS = ("head", "random")

GRID = {  # learning rates tried
    "adapters m=2": (1e-3, 3e-3, 1e-2, 3e-2),
    "adapters m=8": (1e-3, 3e-3),
    "adapters m=64": (3e-4, 1e-3, 3e-3),
    "adapters m=256": (3e-4, 1e-3),
    "LayerNorms only": (3e-3, 1e-2, 3e-2),
    "top layer": (1e-4, 3e-4, 1e-3, 3e-3),
}
RATES = {  # the best of each, on validation; full and head as lab 01 found them
    "small": 3e-3,  # up to 8
    "large": 1e-3,
    "norms": 1e-2,
    "top": 1e-3,
    "full": 1e-4,
    "head": 3e-2,
}


def plan(
    *,
    bottleneck: int,
    init_std: float,
    learning_rate: float,
    epochs: int,
    examples: int,
    **_: Any,
) -> Plan:
    """Plan adapters and their controls, sizes, starts, top layers, few sentences, and rates.

    Args:
        bottleneck: of the live run.
        init_std: of the live run.
        learning_rate: of the live run.
        epochs: of the live run.
        examples: of the training split, in every run but those with few.

    Returns:
        The plan.
    """

    def trial(label: str, method: Method, rate: float, **options: Any) -> Trial:
        options = {"epochs": EPOCHS, "examples": examples, "look_every": EPOCHS} | options
        return Trial(label=label, method=method, learning_rate=rate, **options)

    def adapters(m: int, std: float = 1e-2, rate: float | None = None, label: str = "") -> Trial:
        method = Adapter(bottleneck=m, init_std=std)
        return trial(label or f"adapters m={m}", method, rate or _rate(m))

    def norms(rate: float = RATES["norms"]) -> Trial:
        return trial("LayerNorms only", BitFit(control="norms"), rate)

    def top(layers: int, rate: float = RATES["top"]) -> Trial:
        name = "top layer" if layers == 1 else f"top {layers} layers"
        return trial(name, TopLayers(layers=layers), rate)

    # these three are settings of lab 01, too
    full = trial("full fine-tuning", FullFineTuning(), RATES["full"], look_every=1)
    head = trial("head only", HeadOnly(), RATES["head"], look_every=1)
    trials = {
        "adapters": replace(
            adapters(bottleneck, init_std, learning_rate), epochs=epochs, look_every=EPOCHS
        ),
        "full": full,
        "norms": norms(),
        "head": head,
        "random": replace(full, label="random weights", pretrained=False),
    }
    sizes = {m: adapters(m) for m in SIZES}
    stds = {std: adapters(64, std, label=f"adapters std={std:g}") for std in STDS}
    tops = {layers: top(layers) for layers in TOP}
    few = {
        name: replace(own, examples=FEW, epochs=FEW_EPOCHS, look_every=FEW_EPOCHS)
        for name, own in {
            "adapters m=64": sizes[64],
            "adapters m=2": sizes[2],
            "norms": trials["norms"],
            "full": full,
            "head": trials["head"],
            "random": trials["random"],
        }.items()
    }
    makers: Mapping[str, Callable[[float], Trial]] = {
        **{f"adapters m={m}": partial(adapters, m, 1e-2) for m in (2, 8, 64, 256)},
        "LayerNorms only": norms,
        "top layer": lambda rate: top(1, rate),
    }
    tried = {f"{n}, {rate:g}": makers[n](rate) for n, rates in GRID.items() for rate in rates}
    grid = {name: replace(own, label=name, look_every=1) for name, own in tried.items()}
    controls = [sizes[64], *(trials[name] for name in ("full", "norms", "head", "random"))]
    sweeps = [*stds.values(), *tops.values()]
    return Plan(
        trials=trials,
        series={"size": sizes, "init_std": stds, "top": tops, "few": few, "grid": grid},
        groups={
            "controls": Group(trials=controls, seeds=SEEDS),
            "sizes": Group(trials=[*sizes.values()], seeds=SEEDS),
            "more": Group(trials=[full, *(sizes[m] for m in LARGE)], seeds=MORE_SEEDS),
            "sweeps": Group(trials=sweeps, seeds=SWEEP_SEEDS),
            "few": Group(trials=[few[n] for n in few if n not in CONTROLS], seeds=SEEDS),
            "few, controls": Group(trials=[few[n] for n in CONTROLS], seeds=SEEDS[:3]),
            "grid": Group(trials=[*grid.values()], seeds=GRID_SEEDS, noted=False, shown=False),
        },
    )


def _rate(bottleneck: int) -> float:
    return RATES["small" if bottleneck < 64 else "large"]


def findings(plan: Plan, runs: list[Run], place: Place) -> dict[str, Any]:
    """What the adapters of single layers, and of several together, are worth.

    Args:
        plan: the series "size" holds adapters of size 64.
        runs: of the plan.
        place: where they ran.

    Returns:
        "grid", validation accuracies by setting and rate; "wholes", the scores with all adapters
        for each seed; "spans", those without the adapters of layers i to j, a map for each seed;
        "switches", those of the first seed for every choice of layers, see `switches`. These are
        over the first `TESTED` of the test split; "singles", the accuracies without each layer's
        adapters, are over all of it.
    """
    data, maps, wholes, singles = load_task(place.task), [], [], []
    tested = data.test[:TESTED]
    for seed in MORE_SEEDS:
        model, tokenizer = load_backbone(place.backbone, data, seed=seed)
        load(place.run(plan.series["size"][64], seed), model)
        wholes.append(score(model, tokenizer, tested))
        maps.append(span_ablation(model, lambda m=model, t=tokenizer: score(m, t, tested)))
        singles.append(single_layers(model, tokenizer, data.test))
        if seed == SEEDS[0]:
            found = switches(model, tokenizer, data, TESTED)
    return {
        "grid": plan.tried(runs, place),
        "spans": maps,
        "wholes": wholes,
        "singles": singles,
        "switches": found,
    }


def single_layers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]
) -> list[float]:
    """Take the adapters of one layer after the other away, and put them back.

    Args:
        model: with adapters.
        tokenizer: of the same backbone.
        examples: at least one.

    Returns:
        The accuracy from 0 to 1 without each layer's, the lowest layer first.
    """
    found = []
    for layer in range(len(adapters_by_layer(model))):
        with without_adapters(model, [layer]):
            found.append(score(model, tokenizer, examples)["accuracy"])
    return found


def score(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]
) -> dict[str, float]:
    """Accuracy from 0 to 1 and mean loss of a model as it is now.

    Args:
        model: with its head.
        tokenizer: of the same backbone.
        examples: at least one.

    Returns:
        "accuracy" and "loss".
    """
    found = evaluate(model, tokenizer, examples)
    return {"accuracy": found.accuracy, "loss": found.loss}
