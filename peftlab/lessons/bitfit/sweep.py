"""What lab 07 trains, and what is computed from the checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from peftlab.backbones import load_backbone
from peftlab.insight import bias_change, bias_effect
from peftlab.lessons.lesson import Group, Place, Plan
from peftlab.lessons.session import Session
from peftlab.methods.base import Method
from peftlab.methods.baselines import FullFineTuning, HeadOnly
from peftlab.methods.bitfit.method import KINDS, TWO, BitFit
from peftlab.methods.loading import load
from peftlab.refuse import require_number
from peftlab.runs.trial import Run, Trial
from peftlab.tasks import Example, load_task

SEEDS = (0, 1, 2, 3, 4, 5)
MORE_SEEDS = tuple(range(15))  # where six are too close to call
MORE = ("all", "full", "two")
GRID_SEEDS = (100,)  # rates and epochs are chosen with a seed of its own, on the validation split
FEW_GRID_SEEDS = (100, 101, 102)  # 50 sentences differ more

# Learning rates and epochs of each method: the best of `GRID` on validation.
RATES = {
    "all": 3e-3,
    "full": 1e-4,
    "two": 3e-2,
    "query": 1e-1,
    "mlp_in": 3e-2,
    "gains": 3e-3,
    "random": 3e-2,
    "rows_columns": 1e-2,
    "head": 3e-2,
}
LOOK = 6  # epochs, and between two looks at the validation split
EPOCHS = {"all": 12, "gains": 12, "query": 12}  # slower than the others, which have `LOOK`
LIVE_BATCH = 8  # the live run has half the passes, and so as many steps
LONGEST = 128  # tokens, as in training
SIZES = {  # epochs by number of sentences, beside the usual
    "all": {50: 96, 4000: 2},
    "full": {50: 48, 4000: 2},
}
CURVE_SEEDS = {50: MORE_SEEDS[:12], 500: MORE_SEEDS, 4000: SEEDS[:3]}
GRID = {  # learning rates tried
    "all": (1e-3, 3e-3, 1e-2),
    "two": (3e-3, 1e-2, 3e-2, 1e-1),
    "query": (1e-2, 3e-2, 1e-1),
    "mlp_in": (1e-2, 3e-2, 1e-1),
    "gains": (3e-3, 1e-2),
    "random": (3e-3, 1e-2, 3e-2),
    "rows_columns": (3e-3, 1e-2, 3e-2),
    "full": (3e-5, 1e-4, 3e-4),
}
METHODS: Mapping[str, tuple[str, Method]] = {
    "all": ("BitFit", BitFit()),
    "full": ("full fine-tuning", FullFineTuning()),
    "two": ("query and MLP in", BitFit(biases=TWO)),
    "query": ("query alone", BitFit(biases=("query",))),
    "mlp_in": ("MLP in alone", BitFit(biases=("mlp_in",))),
    "gains": ("biases and gains", BitFit(control="gains")),
    "random": ("random scalars", BitFit(control="random")),
    "rows_columns": ("random rows, columns", BitFit(control="rows_columns")),
    "head": ("head only", HeadOnly()),
}
# Each seed has its own places.
SCATTERED = {n: METHODS[n][0] for n in ("random", "rows_columns")}
PLACE_SEEDS = {"random": MORE_SEEDS, "rows_columns": SEEDS}


def plan(*, sentences: int, learning_rate: float, epochs: int, **_: Any) -> Plan:
    """Plan BitFit, its controls, both over the number of sentences, and the learning rates.

    Args:
        sentences: of the training split, in all runs but those of the series.
        learning_rate: of the live run, which is shorter than the others.
        epochs: of the live run.

    Returns:
        The plan.

    Raises:
        TypeError: `sentences` is not a whole number.
        ValueError: `sentences` is below 1.
    """
    require_number("sentences", sentences, 1, integer=True, example=500)

    def trial(name: str, rate: float | None = None, passes: int | None = None) -> Trial:
        label, method = METHODS[name]
        return Trial(
            label=label,
            method=method,
            learning_rate=rate or RATES[name],
            epochs=passes or EPOCHS.get(name, LOOK),
            examples=sentences,
            drawn=True,
            look_every=LOOK,
        )

    usual = {name: trial(name) for name in METHODS}
    usual["scratch"] = replace(usual["full"], label="random weights", pretrained=False)
    scattered = {name: usual.pop(name) for name in SCATTERED}
    places = {
        name: {seed: _placed(own, seed) for seed in PLACE_SEEDS[name]}
        for name, own in scattered.items()
    }
    short = replace(trial("all", passes=LOOK), label="BitFit, half the time", batch_size=LIVE_BATCH)
    usual = {"live": short} | usual
    trials = usual | {"live": replace(short, learning_rate=learning_rate, epochs=epochs)}
    curves = {
        name: {n: _curve(trial(name, passes=passes), n) for n, passes in own.items()}
        | {sentences: usual[name]}
        for name, own in SIZES.items()
    }
    grid = [
        _tried(trial(name, rate, LOOK), f"{rate:g}")
        for name, rates in GRID.items()
        for rate in rates
    ]
    for name, every in (("all", (6, 12, 24)), ("full", (6, 12))):  # have they arrived?
        grid += [_tried(trial(name, passes=passes), f"{passes} epochs") for passes in every]
    for passes in (2, 4):
        grid.append(_tried(_curve(trial("all", passes=passes), 4000), f"{passes} epochs"))
    few = [  # is another rate better with few sentences?
        _tried(_curve(trial("all", rate, SIZES["all"][50]), 50), f"{rate:g}")
        for rate in GRID["all"]
    ]
    groups = {
        "controls": Group(trials=[*usual.values()], seeds=SEEDS),
        "more": Group(trials=[usual[name] for name in MORE], seeds=MORE_SEEDS),
    }
    for seed in MORE_SEEDS:
        own = [own[seed] for own in places.values() if seed in own]
        groups[f"places {seed}"] = Group(trials=own, seeds=(seed,))
    for n in SIZES["all"]:
        own = [curves[name][n] for name in curves]
        groups[f"{n} sentences"] = Group(trials=own, seeds=CURVE_SEEDS[n])
    unseen = {"noted": False, "shown": False}
    groups["grid"] = Group(trials=grid, seeds=GRID_SEEDS, **unseen)
    groups["grid, few"] = Group(trials=few, seeds=FEW_GRID_SEEDS, **unseen)
    series = places | {"BitFit": curves["all"], "full": curves["full"]}
    series["grid"] = {own.label: own for own in (*grid, *few)}
    return Plan(trials=trials, series=series, groups=groups)


def _tried(trial: Trial, what: str) -> Trial:
    """The same with what is tried in its label."""
    return replace(trial, label=f"{trial.label}, {what}")


def _placed(trial: Trial, seed: int) -> Trial:
    """The same with places drawn from another seed."""
    return replace(trial, method=replace(trial.method, seed=seed))


def _curve(trial: Trial, sentences: int) -> Trial:
    label = f"{trial.label}, {sentences:,} sentences"
    return replace(trial, label=label, examples=sentences, look_every=trial.epochs)


def fits(settings: Mapping[str, Any], rerun: bool) -> None:
    """Refuse a backbone without all eight kinds of bias in each layer, before anything trains.

    Args:
        settings: of the lab.
        rerun: makes no difference.

    Raises:
        ValueError: the backbone cannot be loaded, or lacks a kind, or has two stacks of layers.
    """
    given = settings["backbone"]
    model, _ = load_backbone(given, load_task(settings["task"]))
    found = bias_change(BitFit().attach(model))
    if {*map(len, found.values())} != {model.config.num_hidden_layers} or {*found} != {*KINDS}:
        raise ValueError(
            f"lab 07 looks at eight kinds of bias in each layer, and backbone={given!r} has others "
            "or two stacks of layers; take an encoder such as backbone='minilm' or 'lab-bert'"
        )


def all_scores(lab: Session) -> dict[str, list[float]]:
    """Find the stored test accuracies of every setting at one number of sentences.

    Args:
        lab: the session.

    Returns:
        Accuracies from 0 to 1 by name, one for each seed; for "random" and "rows_columns" each seed
        has places of its own.
    """
    placed = {
        name: [
            run.test_accuracy
            for seed, trial in lab.plan.series[name].items()
            for run in lab.runs(trial)
            if run.seed == seed
        ]
        for name in SCATTERED
    }
    return lab.all_scores() | placed


def findings(plan: Plan, runs: list[Run], place: Place) -> dict[str, Any]:
    """How far the biases moved, and what each kind of them does.

    Args:
        plan: the trials hold "all", and the groups "controls".
        runs: of the plan.
        place: where they ran.

    Returns:
        "grid", validation accuracies by setting and rate; "moves", how far each kind of bias moved
        by layer, a map for each seed; "effects", the largest change of a logit when a kind goes
        back to its start, in units of the logits' standard deviation, for each seed.
    """
    data, moves, effects = load_task(place.task), [], []
    for seed in plan.groups["controls"].seeds:
        model, tokenizer = load_backbone(place.backbone, data, seed=seed)
        attachment = load(place.run(plan.trials["all"], seed), model)
        moves.append(bias_change(attachment))
        effects.append(relative_effect(attachment, text_batch(tokenizer, data.validation[:32])))
    return {"grid": plan.tried(runs, place), "moves": moves, "effects": effects}


def relative_effect(attachment: Any, batch: Mapping[str, Tensor]) -> dict[str, float]:
    """Put one kind of bias after the other back, and look at the logits.

    Args:
        attachment: of BitFit, trained; it is left as it was.
        batch: inputs of the model.

    Returns:
        By kind the largest change of a logit, divided by the logits' standard deviation.
    """
    with torch.no_grad():
        spread = attachment.model(**batch).logits.std().item()
    return {kind: effect / spread for kind, effect in bias_effect(attachment, batch).items()}


def text_batch(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]
) -> dict[str, Tensor]:
    """Encode the texts of examples.

    Args:
        tokenizer: of the backbone.
        examples: with whole texts, at least one.

    Returns:
        Inputs of the model.
    """
    texts = [str(example.text) for example in examples]
    more = {"padding": True, "truncation": True, "max_length": LONGEST}
    return dict(tokenizer(texts, return_tensors="pt", **more))
