"""What lab 06 trains, and what is computed from the checkpoints.

Three grounds: tagging on the lab's own task, classification on `opinions` with the same backbone,
and classification of real sentences, `movies` on minilm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from peftlab.attach import Attachment
from peftlab.attach.attention import without_rows
from peftlab.backbones import load_backbone
from peftlab.insight import attention_mass
from peftlab.lessons.lesson import Group, Place, Plan
from peftlab.lessons.session import Session
from peftlab.methods.baselines import FullFineTuning, HeadOnly
from peftlab.methods.loading import load
from peftlab.methods.p_tuning_v2.method import PTuningV2, layer_of
from peftlab.methods.prefix_tuning.layers import Prefix
from peftlab.methods.prompt_tuning.method import PromptTuning
from peftlab.runs.trial import Run, Trial
from peftlab.tasks import Task
from peftlab.tasks.scores import headline, scores
from peftlab.training import evaluate

SEEDS = (0, 1, 2, 3, 4)
FEW_SEEDS = (0, 1, 2)  # where a run takes more than two minutes, and for the controls
GRID_SEEDS = (100,)  # rates are chosen with a seed of its own, on the validation split
CLASSES = "opinions"  # classification on the lab's backbone
REAL = ("minilm", "movies")  # classification of real sentences
REAL_EXAMPLES = 1000  # of their training split, as in lab 01

LENGTHS = (1, 5, 20, 50)
SPANS = {"layers 1 to 3": (1, 3), "layers 4 to 6": (4, 6)}
EPOCHS = {"tagging": 5, CLASSES: 6, "movies": 3}  # as many as full fine-tuning has
SOFT = (1e-2, 3e-2, 1e-1)
GRID = {  # learning rates tried, by ground and method
    "tagging": {"deep": SOFT[1:], "shallow": SOFT[1:]},
    CLASSES: {"deep": SOFT, "shallow": SOFT},
    "movies": {"deep": SOFT[:2], "shallow": SOFT[:2]},
}
RATES = {  # the best of each, on validation; full, head and random as the other labs have them
    "tagging": {"deep": 1e-1, "shallow": 3e-2, "full": 5e-4, "head": 1e-2},
    CLASSES: {"deep": 3e-2, "shallow": 1e-2, "full": 5e-4, "head": 1e-2},
    "movies": {"deep": 3e-2, "shallow": 3e-2, "full": 1e-4, "head": 3e-2},
}
WORDING, WORDS = "[X] It was [Y].", (("negative", "bad"), ("positive", "good"))


def plan(
    *,
    backbone: str,
    task: str,
    prefix_length: int,
    learning_rate: float,
    epochs: int,
    **_: Any,
) -> Plan:
    """Plan deep and shallow prompts on three grounds, lengths, spans of layers, and a verbalizer.

    Args:
        backbone: of the live run, and of the classification beside it.
        task: of the live run.
        prefix_length: of the live run.
        learning_rate: of the live run.
        epochs: of the live run.

    Returns:
        The plan.
    """

    def deep(ground: str, label: str, rate: float | None = None, **options: Any) -> Trial:
        method = PTuningV2(**{"prefix_length": 20} | options)
        return _trial(ground, label, method, rate or RATES[ground]["deep"])

    def shallow(ground: str, rate: float | None = None) -> Trial:
        method = PromptTuning(prompt_length=20)
        return _trial(ground, "shallow, P=20", method, rate or RATES[ground]["shallow"])

    def both(ground: str) -> dict[str, Trial]:
        return {"deep": deep(ground, "deep, P=20"), "shallow": shallow(ground)} | _controls(ground)

    tagging, classes, real = (both(ground) for ground in EPOCHS)
    main = Trial(
        label=f"deep, P={prefix_length}",
        method=PTuningV2(prefix_length=prefix_length),
        learning_rate=learning_rate,
        epochs=epochs,
    )
    lengths = {
        f"length, {ground}": {P: deep(ground, f"{ground}, P={P}", prefix_length=P) for P in LENGTHS}
        for ground in ("tagging", CLASSES)
    }
    spans = {
        "span, tagging": {
            name: deep("tagging", f"tagging, {name}", layers=own) for name, own in SPANS.items()
        }
    }

    word = replace(deep(CLASSES, "verbalizer"), wording=WORDING, words=WORDS)
    series = {CLASSES: classes, "movies": real, "verbalizer": {"word": word}}
    series |= lengths | spans
    makers = {"deep": lambda ground, rate: deep(ground, "", rate), "shallow": shallow}
    grid = {
        ground: [
            replace(makers[name](ground, rate), label=f"{ground}, {name}, {rate:g}")
            for name, rates in own.items()
            for rate in rates
        ]
        for ground, own in GRID.items()
    }
    series["grid"] = {trial.label: trial for own in grid.values() for trial in own}
    places = {
        "tagging": (None, None),
        CLASSES: (None, None if task == CLASSES else CLASSES),
        "movies": REAL,
    }

    def group(ground: str, trials: Iterable[Trial], seeds: Sequence[int], noted: bool) -> Group:
        backbone, task = places[ground]
        shown = seeds is not GRID_SEEDS
        return Group(
            trials=[*trials], seeds=seeds, backbone=backbone, task=task, noted=noted, shown=shown
        )

    methods, controls = ("deep", "shallow", "full"), ("head", "random")
    groups = {
        "stored": group("tagging", [tagging[n] for n in methods], SEEDS, True),
        "controls": group("tagging", [tagging[n] for n in controls], FEW_SEEDS, True),
        CLASSES: group(CLASSES, [classes[n] for n in methods], SEEDS, False),
        "controls, opinions": group(CLASSES, [classes[n] for n in controls], FEW_SEEDS, False),
        "movies": group("movies", [real[n] for n in methods], SEEDS, False),
        "controls, movies": group("movies", [real[n] for n in controls], FEW_SEEDS, False),
        "verbalizer": group(CLASSES, [word], SEEDS, False),
    }
    for name, trials in (spans | lengths).items():
        groups[name] = group(name.split(", ")[1], trials.values(), SEEDS, False)
    for ground, trials in grid.items():
        groups[f"grid, {ground}"] = group(ground, trials, GRID_SEEDS, False)
    return Plan(trials=tagging | {"deep": main}, series=series, groups=groups)


def _trial(ground: str, label: str, method: Any, rate: float, **options: Any) -> Trial:
    examples = REAL_EXAMPLES if ground == "movies" else None
    return Trial(
        label=label,
        method=method,
        learning_rate=rate,
        epochs=EPOCHS[ground],
        examples=examples,
        **options,
    )


def _controls(ground: str) -> dict[str, Trial]:
    rates = RATES[ground]
    full = _trial(ground, "full fine-tuning", FullFineTuning(), rates["full"])
    head = _trial(ground, "head only", HeadOnly(), rates["head"])
    return {
        "full": full,
        "head": replace(head, epochs=8) if ground == CLASSES else head,  # it needs more
        "random": replace(full, label="random weights", pretrained=False),
    }


def scores_of(lab: Session, name: str, ground: str = "tagging") -> list[float]:
    """Find the stored test scores of a trial on one of the three grounds.

    Args:
        lab: the session.
        name: of a trial of the ground, such as "deep".
        ground: "tagging", the lab's own; or "opinions" or "movies".

    Returns:
        From 0 to 1, one for each seed: entity F1 of a tagging task, accuracy of the others.
    """
    if ground == "tagging":
        return lab.scores(name)
    return _scores(lab, lab.plan.series[ground][name], ground)


def series_of(lab: Session, name: str, ground: str) -> dict[Any, list[float]]:
    """Find the stored test scores of a series on one of the three grounds.

    Args:
        lab: the session.
        name: of the series, such as "length".
        ground: see `scores_of`.

    Returns:
        The scores by value; a value without a stored run is left out.
    """
    trials = lab.plan.series.get(f"{name}, {ground}", {})
    found = {value: _scores(lab, trial, ground) for value, trial in trials.items()}
    return {value: own for value, own in found.items() if own}


def verbalizer_scores(lab: Session) -> list[float]:
    """Find the stored test scores of the prompt that answers with a word.

    Args:
        lab: the session.

    Returns:
        Accuracies from 0 to 1, one for each seed.
    """
    return _scores(lab, lab.plan.series["verbalizer"]["word"], CLASSES)


def _scores(lab: Session, trial: Trial, ground: str) -> list[float]:
    if ground == "tagging":
        return lab.scores(trial)
    backbone, task = REAL if ground == "movies" else (None, CLASSES)
    return [run.test_accuracy for run in lab.runs(trial, backbone=backbone, task=task)]


def findings(plan: Plan, runs: list[Run], place: Place) -> dict[str, Any]:
    """How much the text looks at the rows of each layer, and what each layer's rows are worth.

    Args:
        plan: the series hold "length, tagging" and "span, tagging".
        runs: of the plan.
        place: where they ran.

    Returns:
        "grid", validation accuracies by setting and rate; "mass", the attention on the rows for
        each length and span, a number for each layer, averaged over the seeds; "without", the
        test score of the deep prompt with the rows of one layer taken out, by layer, a number for
        each seed.
    """
    seeds = plan.groups["controls"].seeds
    mass = {
        str(value): torch.tensor([_mass(trial, seed, place) for seed in seeds]).mean(0).tolist()
        for name in ("length, tagging", "span, tagging")
        for value, trial in plan.series[name].items()
    }
    twenty = plan.series["length, tagging"][20]
    without: dict[str, list[float]] = {}
    for seed in seeds:
        left = without_layers(*_loaded(twenty, seed, place))
        for layer, score in left.items():
            without.setdefault(layer, []).append(score)
    return {"grid": plan.tried(runs, place), "mass": mass, "without": without}


def without_layers(attachment: Attachment, tokenizer: Any, data: Task) -> dict[str, float]:
    """Take the rows out of one layer after the other, and score what is left; nothing trains.

    Args:
        attachment: of P-Tuning v2 or prefix-tuning, trained; its rows are back afterwards.
        tokenizer: of the same backbone.
        data: the task that it was trained for.

    Returns:
        The headline score on the test split, from 0 to 1: "none" with all rows, then by layer,
        counted from 1.
    """
    model = attachment.model

    def score() -> float:
        return scores(data, evaluate(model, tokenizer, data.test))[headline(data)]

    found = {"none": score()}
    for path in _prefix(attachment).widths:
        with without_rows(model.get_submodule(path)):
            found[str(layer_of(path))] = score()
    return found


def _loaded(
    trial: Trial, seed: int, place: Place
) -> tuple[Attachment, PreTrainedTokenizerBase, Task]:
    data = trial.task(place.task)
    model, tokenizer = load_backbone(place.backbone, data)
    return load(place.run(trial, seed), model), tokenizer, data


def _mass(trial: Trial, seed: int, place: Place) -> list[float]:
    """The attention on the rows of each layer, on texts of the validation split."""
    attachment, tokenizer, data = _loaded(trial, seed, place)
    mass = attention_mass(attachment, text_batch(tokenizer, data))
    layers = {layer_of(path) for path in _prefix(attachment).widths}
    return [share if layer in layers else 0.0 for layer, share in enumerate(mass, start=1)]


def _prefix(attachment: Attachment) -> Prefix:
    (prefix,) = (m for m in attachment.insertions() if isinstance(m, Prefix))
    return prefix


def text_batch(
    tokenizer: PreTrainedTokenizerBase, data: Task, count: int = 32
) -> dict[str, torch.Tensor]:
    """Encode the first validation texts, padded on the right.

    Args:
        tokenizer: of the backbone.
        data: a task, of words with tags or of whole texts.
        count: of the texts.

    Returns:
        Input ids and attention mask.
    """
    texts = [e.text if isinstance(e.text, str) else " ".join(e.text) for e in data.validation]
    batch = tokenizer(texts[:count], return_tensors="pt", padding=True, padding_side="right")
    return {name: batch[name] for name in ("input_ids", "attention_mask")}
