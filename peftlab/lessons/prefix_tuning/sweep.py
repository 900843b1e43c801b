"""What lab 04 trains, and what is computed from the checkpoints."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from peftlab import anatomy
from peftlab.backbones import load_backbone
from peftlab.insight import attention_mass
from peftlab.lessons.lesson import Group, Place, Plan
from peftlab.methods.adapter.method import Adapter
from peftlab.methods.base import Method
from peftlab.methods.baselines import FullFineTuning
from peftlab.methods.loading import load
from peftlab.methods.prefix_tuning.method import PrefixTuning
from peftlab.methods.prompt_tuning.method import PromptTuning
from peftlab.runs.trial import Run, Trial, run_trial
from peftlab.tasks import Example, Task, load_task
from peftlab.training import evaluate
from peftlab.training.batches import collator, encode

SEEDS = (0, 1, 2, 3, 4)
MORE_SEEDS = tuple(range(12))  # where differences are small: length and MLP
MOST_SEEDS = tuple(range(20))  # and the place of the rows
FEW_SEEDS = SEEDS[:3]  # of the longest runs
GRID_SEEDS = (100,)  # rates are chosen with a seed of its own, on the validation split
GRID = {  # learning rates tried
    "direct": (1e-1, 3e-1, 1.0),
    "MLP": (3e-3, 1e-2, 3e-2),
    "full": (1e-3, 3e-3, 1e-2),
    "adapters": (3e-3, 1e-2, 3e-2),
    "prompt": (3e-2, 1e-1, 3e-1),
}
RATES = {"direct": 3e-1, "MLP": 1e-2, "full": 3e-3, "adapters": 3e-2, "prompt": 1e-1}
LENGTH, EPOCHS, BATCH = 10, 4, 4  # of every run that is not about one of them
LENGTHS = (1, 5, 10, 20, 40)
PASSES = (4, 16)  # epochs, to see whether a prefix has arrived
PROMPTS = (1, 10, 20)  # rows of a prompt before the input, as in the paper's table 4
FEW = {50: 6, 100: 6, 200: 6}  # epochs by number of examples
FEW_BATCH = 2  # examples in a step, where there are few
MANY = 1000  # examples, the most
WIDTH = 64  # of the MLP, as wide as the backbone
BOTTLENECK = 16  # of the larger adapters
ARROW = " =>"  # ends every input
WORDS = " summarize the table :"  # real words to start at
SHOWN = 4  # test examples whose texts are kept


def plan(
    *,
    backbone: str,
    task: str,
    prefix_length: int,
    reparametrization_width: int,
    learning_rate: float,
    epochs: int,
    examples: int,
    **_: Any,
) -> Plan:
    """Plan prefix-tuning and its controls, by length, amount of data, start and place of the rows.

    Args:
        backbone: whose tokenizer turns words into ids.
        task: whose texts are written.
        prefix_length: of the live run.
        reparametrization_width: of the live run.
        learning_rate: of the live run.
        epochs: of the live run.
        examples: of the training split, in every run that is not about few examples.

    Returns:
        The plan.
    """
    model, tokenizer = load_backbone(backbone, load_task(task))
    mark, words = (tuple(tokenizer(t, add_special_tokens=False).input_ids) for t in (ARROW, WORDS))

    def trial(label: str, method: Method, rate: float, **options: Any) -> Trial:
        given = {"epochs": EPOCHS, "batch_size": BATCH, "examples": examples} | options
        return Trial(label=label, method=method, learning_rate=rate, **given)

    def prefix(label: str, rate: float = RATES["direct"], few: int = 0, **options: Any) -> Trial:
        method = PrefixTuning(**{"prefix_length": LENGTH, "reparametrization_width": 0} | options)
        return trial(label, method, rate, **_few(few))

    def direct(rate: float) -> Trial:
        return prefix(f"rows by themselves, {rate:g}", rate)

    def mlp(rate: float = RATES["MLP"]) -> Trial:
        return prefix(f"prefix with an MLP, {rate:g}", rate, reparametrization_width=WIDTH)

    def prompt(rate: float = RATES["prompt"], P: int = LENGTH) -> Trial:
        return trial(f"prompt tuning, P={P}", PromptTuning(prompt_length=P), rate)

    def adapter(rate: float = RATES["adapters"]) -> Trial:
        return trial(f"adapters, m={BOTTLENECK}", Adapter(bottleneck=BOTTLENECK), rate)

    def full(rate: float = RATES["full"], label: str = "full fine-tuning", **options: Any) -> Trial:
        return trial(label, FullFineTuning(), rate, **options)

    main = PrefixTuning(
        prefix_length=prefix_length, reparametrization_width=reparametrization_width
    )
    trials = {
        "prefix": trial("prefix", main, learning_rate, epochs=epochs),
        "full": full(),
        "random": full(label="random weights", pretrained=False),
        "prompt": prompt(),
    }
    lengths = {P: prefix(f"prefix, P={P}", prefix_length=P) for P in LENGTHS}
    few = {n: prefix(f"prefix, {n} examples", few=n) for n in FEW}
    few_full = {n: full(label=f"full, {n} examples", **_few(n)) for n in FEW}
    many = replace(lengths[LENGTH], label=f"prefix, {MANY} examples", examples=MANY)
    many_full = full(label=f"full, {MANY} examples", examples=MANY)
    places = {"prefix": lengths[LENGTH]}
    if "causal_lm" in anatomy.family(model.config).outputs:  # the others read both ways
        places["infix"] = prefix("infix", infix_after=mark[-1])
    longer = {n: replace(lengths[LENGTH], label=f"prefix, {n} epochs", epochs=n) for n in PASSES}
    longer_full = {n: full(label=f"full, {n} epochs", epochs=n) for n in PASSES}
    starts = {
        "by chance": few[min(FEW)],
        "real words": prefix("prefix, real words", few=min(FEW), init_tokens=words),
    }
    makers = {
        "direct": direct,
        "MLP": mlp,
        "full": full,
        "adapters": adapter,
        "prompt": prompt,
    }
    tried = {f"{name}, {rate:g}": makers[name](rate) for name in GRID for rate in GRID[name]}
    grid = {name: replace(own, label=name) for name, own in tried.items()}
    series = {
        "main": {"prefix": lengths[LENGTH], "full": trials["full"], "prompt": trials["prompt"]},
        "rows": {"by themselves": lengths[LENGTH], "by an MLP": mlp()},
        "examples": few | {examples: lengths[LENGTH]} | {MANY: many},
        "examples, full": few_full | {examples: trials["full"]} | {MANY: many_full},
        "unseen": {"prefix": lengths[LENGTH], "full": trials["full"], "adapters": adapter()},
        "place": places,
        "length": lengths,
        "start": starts,
        "epochs": longer,
        "epochs, full": longer_full,
        "prompt length": {P: prompt(P=P) for P in PROMPTS},
    }
    slow = [own[PASSES[-1]] for own in (longer, longer_full)]
    every = [*trials.values(), *(own for found in series.values() for own in found.values())]
    every = [trial for trial in every if trial not in slow]
    small = [lengths[1], lengths[LENGTH], lengths[LENGTHS[-1]], mlp()]
    groups = {
        "stored": Group(trials=every, seeds=SEEDS),
        "more": Group(trials=small, seeds=MORE_SEEDS, noted=False),
        "place": Group(trials=[*places.values()], seeds=MOST_SEEDS, noted=False),
        "long": Group(trials=slow, seeds=FEW_SEEDS, noted=False),
        "grid": Group(trials=list(grid.values()), seeds=GRID_SEEDS, noted=False, shown=False),
    }
    return Plan(trials=trials, series=series | {"grid": grid}, groups=groups)


def findings(plan: Plan, runs: list[Run], place: Place) -> dict[str, Any]:
    """How much the tokens look at the prefix, and what the models write.

    Args:
        plan: the series hold "length" and "grid", the trials "full" and "prompt".
        runs: of the plan.
        place: where they ran.

    Returns:
        "grid", validation accuracies by setting and rate; "mass", the attention on the prefix by
        length, a number for each layer, averaged over the seeds that ran; "written", by setting
        the texts of `SHOWN` test examples of the first seed, in the order of "shown", which has
        their inputs and references.
    """
    done = {
        P: [run.seed for run in runs if run.same_setting(trial) and run.seed not in GRID_SEEDS]
        for P, trial in plan.series["length"].items()
    }
    mass = {
        str(P): torch.tensor([_mass(trial, seed, place) for seed in done[P]]).mean(0).tolist()
        for P, trial in plan.series["length"].items()
    }
    task = load_task(place.task)
    shown = chosen(task)
    settings = {f"P={P}": trial for P, trial in plan.series["length"].items()}
    settings["prompt tuning"] = plan.trials["prompt"]
    written = {name: _written(trial, SEEDS[0], place) for name, trial in settings.items()}
    attachment, _ = run_trial(  # of a whole trained model a sweep keeps no checkpoint
        plan.trials["full"], place.backbone, place.task, SEEDS[0], progress=False
    )
    tokenizer = load_backbone(place.backbone, task)[1]
    written["full fine-tuning"] = list(evaluate(attachment.model, tokenizer, shown).predictions)
    return {
        "grid": plan.tried(runs, place),
        "mass": mass,
        "shown": [{"input": e.text, "references": list(e.references)} for e in shown],
        "written": written,
    }


def chosen(task: Task) -> list[Example]:
    """Choose the test examples whose texts are shown: the first ones of each kind.

    Args:
        task: whose examples may have a kind.

    Returns:
        `SHOWN` examples, half of them of the first kind that comes.
    """
    kinds: dict[str, list[Example]] = {}
    for example in task.test:
        kinds.setdefault(example.tags.get("kind", ""), []).append(example)
    each = -(-SHOWN // len(kinds))
    return [example for own in kinds.values() for example in own[:each]][:SHOWN]


def looked_at(tokenizer: PreTrainedTokenizerBase, task: Task) -> dict[str, Tensor]:
    """Encode what the attention is measured on: 32 validation inputs, with their texts.

    Args:
        tokenizer: of the backbone.
        task: whose validation split is read.

    Returns:
        Ids and mask, padded on the right.
    """
    batch = collator(tokenizer, "right")(encode(tokenizer, task.validation[:32]))
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


def _mass(trial: Trial, seed: int, place: Place) -> list[float]:
    """The attention on a trained prefix."""
    data = trial.task(place.task)
    model, tokenizer = load_backbone(place.backbone, data)
    attachment = load(place.run(trial, seed), model)
    return attention_mass(attachment, looked_at(tokenizer, data))


def _written(trial: Trial, seed: int, place: Place) -> list[str]:
    """What a stored checkpoint writes."""
    data = trial.task(place.task)
    model, tokenizer = load_backbone(place.backbone, data)
    load(place.run(trial, seed), model)
    return list(evaluate(model, tokenizer, chosen(data)).predictions)


def _few(examples: int) -> dict[str, int]:
    """Examples, batch size and epochs of a run on a few examples; 0 leaves them as they are."""
    if not examples:
        return {}
    return {"examples": examples, "batch_size": FEW_BATCH, "epochs": FEW[examples]}
