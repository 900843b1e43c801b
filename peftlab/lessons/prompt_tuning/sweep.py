"""What lab 03 trains beforehand, and what is computed from the checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from peftlab.attach.storage import read
from peftlab.backbones import load_backbone
from peftlab.insight import attention_mass, vote_accuracy
from peftlab.lessons.lesson import Group, Place, Plan
from peftlab.methods.base import Method
from peftlab.methods.baselines import FullFineTuning, HeadOnly
from peftlab.methods.loading import load
from peftlab.methods.lora.method import LoRA
from peftlab.methods.prompt_tuning.method import PromptTuning
from peftlab.runs.separation import PROMPTED
from peftlab.runs.trial import Run, Trial
from peftlab.tasks import load_task
from peftlab.training import evaluate

SEEDS = (0, 1, 2, 3, 4)
FEW_SEEDS = SEEDS[:3]
FACT_SEEDS = tuple(range(8))
START_SEEDS = tuple(range(40))  # starts differ little, and a run takes a second
GRID_SEEDS = (100,)  # rates are chosen with a seed of its own, on the validation split
VOTED = "facts/capital"  # what ensembles of prompts answer
VOTERS = 5  # prompts in an ensemble

# Facts, without a head and without a word that says what is asked, by three sizes of one family.
SIZES = ("lab-gpt-nano", "lab-gpt-micro", "lab-gpt-small")
BARE = "[X] [Y]"
FACT_LENGTH, FACT_EPOCHS, EARLY = 5, 10, 2  # rows, passes, and after how many it is still early
LENGTHS = (1, 2, 5, 20, 50)
RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
FULL_RATES = (1e-4, 3e-4, 1e-3, 3e-3)
SIZE_RATES = {  # the best of these on validation, over all relations
    "lab-gpt-nano": {"prompt": 1e-1, "full": 1e-3},
    "lab-gpt-micro": {"prompt": 1e-1, "full": 3e-4},
    "lab-gpt-small": {"prompt": 1e-1, "full": 3e-4},
}
LENGTH_RATES = dict.fromkeys(LENGTHS, 1e-1)  # likewise, on lab-gpt-micro
RATE = LENGTH_RATES[FACT_LENGTH]
NEVER = 3553  # a token of the bundled GPTs that pretraining never met

# A real language model on its own task, with a word for each label.
LANGUAGE_MODEL = "smollm2"
REVIEWED, ELSEWHERE = "movies", ("products", "tweets")
WORDS = (("negative", "bad"), ("positive", "good"))
WORDED = "[X] All in all, it was [Y]"  # what rows stand before
WORDINGS = ("Review: [X] Sentiment: [Y]", "[X] The film is [Y]", WORDED)
LM_LENGTH, LM_EXAMPLES, LM_BATCH, LM_EPOCHS = 8, 400, 8, 2
VALIDATED, TESTED = 100, 300
LM_RATES = {"prompt": 1e-1, "full": 1e-4, "lora": 3e-3, "head": 1e-2}
REAL_RATE = LM_RATES["prompt"]
LM_GRID = {
    "prompt": (1e-3, 1e-2, 1e-1, 3e-1),
    "full": (1e-5, 3e-5, 1e-4, 3e-4),
    "lora": (1e-3, 3e-3, 1e-2),
}
LM_WORD_IDS = (
    (3309,),
    (1123,),
)  # ids of WORDS in the tokenizer of smollm2, for the start at labels

Series = dict[str, Mapping[Any, Trial]]


def plan(
    *,
    backbone: str,
    task: str,
    prompt_length: int,
    learning_rate: float,
    epochs: int,
    language_model: str,
    **_: Any,
) -> Plan:
    """Plan prompt tuning and its controls, facts without a head, votes, and a real model.

    Args:
        backbone: of the live runs; not used here.
        task: of the live runs; not used here.
        prompt_length: of the live run.
        learning_rate: of the live run.
        epochs: of the live run.
        language_model: a real one, which is trained on `REVIEWED`; "" leaves it out.

    Returns:
        The plan.
    """

    def trial(label: str, method: Method, rate: float, passes: int) -> Trial:
        return Trial(label=label, method=method, learning_rate=rate, epochs=passes)

    main = trial("prompt tuning", _rows(prompt_length), learning_rate, epochs)
    trials = {
        "prompt": main,
        "full": trial("full fine-tuning", FullFineTuning(), 5e-4, 10),
        "head": trial("head only", HeadOnly(), 1e-2, 10),
        "random": replace(main, label="prompt, random weights", pretrained=False),
    }
    groups = {"stored": Group(trials=[*trials.values()], seeds=SEEDS)}
    series: Series = {}
    grid = _facts(series, groups)
    if language_model:
        grid += _real(language_model, series, groups)
    series["grid"] = {tried.label: tried for tried in grid}
    return Plan(trials=trials, series=series, groups=groups)


def findings(plan: Plan, runs: list[Run], place: Place) -> dict[str, Any]:
    """What the votes of several prompts are worth, how much a text looks at a prompt, and wordings.

    Args:
        plan: the series hold "length", and the groups "voter" and, for `WORDINGS`, "real".
        runs: of the plan.
        place: where they ran.

    Returns:
        "grid", validation accuracies by setting and rate; "mass", the attention that the text gives
        to the prompt by length, a number for each layer, averaged over the seeds; "ensembles",
        single accuracies and that of the vote; "worded", by wording the accuracy of the real model
        on the sentences of "train" and "test" that others train and are tested on.
    """
    there = Place(PROMPTED, VOTED, place.folder)
    mass = {
        str(P): torch.tensor([_mass(trial, seed, there) for seed in FEW_SEEDS]).mean(0).tolist()
        for P, trial in plan.series["length"].items()
    }
    found = {"grid": plan.tried(runs, place), "mass": mass}
    found["ensembles"] = _ensembles(plan.groups["voter"], place)
    if real := plan.groups.get("real"):
        found["worded"] = _worded(plan.series["real"]["prompt"], real.backbone)
    return found


def _rows(P: int, **options: Any) -> PromptTuning:
    return PromptTuning(prompt_length=P, **options)


def _fact(label: str, method: Method, rate: float) -> Trial:
    """A relation whose texts are the subjects alone."""
    return Trial(
        label=label,
        method=method,
        learning_rate=rate,
        epochs=FACT_EPOCHS,
        wording=BARE,
        look_every=FACT_EPOCHS,
    )


def _facts(series: Series, groups: dict[str, Group]) -> list[Trial]:
    """Add what asks for facts: sizes, lengths and rates, starts, voters; gives their grids."""
    tuned = SIZE_RATES[PROMPTED]["prompt"]
    every = {
        (P, rate): _fact(f"P={P}, rate {rate:g}", _rows(P), rate) for P in LENGTHS for rate in RATES
    }
    voter = replace(_fact("voter", _rows(FACT_LENGTH), RATE), epochs=3, look_every=1)
    starts = {
        "sampled words": _rows(FACT_LENGTH),
        "one token nobody met": _rows(FACT_LENGTH, init="text", init_tokens=((NEVER,),)),
        "uniform": _rows(FACT_LENGTH, init="uniform"),
    }
    series["map"] = every
    series["length"] = {P: every[P, LENGTH_RATES[P]] for P in LENGTHS}
    series["rate"] = {rate: every[FACT_LENGTH, rate] for rate in RATES}
    series["start"] = {
        name: replace(_fact(name, method, tuned), look_every=EARLY)
        for name, method in starts.items()
    }
    series["voter"] = {"voter": voter}
    groups["voter"] = Group(
        trials=[voter], seeds=range(15), backbone=PROMPTED, task=VOTED, noted=False
    )
    grid = [*every.values()]
    tried: dict[str, list[Trial]] = {}
    for size, own in SIZE_RATES.items():
        series[size] = {
            "prompt": _fact("prompt tuning", _rows(FACT_LENGTH), own["prompt"]),
            "full": _fact("full fine-tuning", FullFineTuning(), own["full"]),
        }
        tried[size] = [
            _fact(f"prompt on {size}, rate {rate:g}", _rows(FACT_LENGTH), rate) for rate in RATES
        ] + [_fact(f"full on {size}, rate {rate:g}", FullFineTuning(), rate) for rate in FULL_RATES]
        grid += tried[size]
    unseen = {"noted": False, "shown": False, "seeds": GRID_SEEDS}
    for name in load_task("facts").prompts:
        task = f"facts/{name}"
        for size in SIZES:
            there = {"backbone": size, "task": task}
            two = [*series[size].values()]
            groups[f"{name}, {size}"] = Group(trials=two, seeds=FACT_SEEDS, noted=False, **there)
            groups[f"{name}, grid, {size}"] = Group(trials=tried[size], **there, **unseen)
        there = {"backbone": PROMPTED, "task": task}
        lengths, begun = [*every.values()], [*series["start"].values()]
        groups[f"{name}, map"] = Group(trials=lengths, seeds=FEW_SEEDS, noted=False, **there)
        groups[f"{name}, grid, lengths"] = Group(trials=lengths, **there, **unseen)
        groups[f"{name}, starts"] = Group(trials=begun, seeds=START_SEEDS, noted=False, **there)
    return grid


def _worded_trial(label: str, method: Method, rate: float, **more: Any) -> Trial:
    """A trial on reviews, for the real language model."""
    return Trial(
        label=label,
        method=method,
        learning_rate=rate,
        epochs=LM_EPOCHS,
        batch_size=LM_BATCH,
        examples=LM_EXAMPLES,
        validated=VALIDATED,
        tested=TESTED,
        **{"wording": WORDED, "words": WORDS} | more,
    )


def _real(name: str, series: Series, groups: dict[str, Group]) -> list[Trial]:
    """Add what the real language model is trained for; gives its grid."""
    prompt, rate = _rows(LM_LENGTH), LM_RATES["prompt"]
    away, headed = {"elsewhere": ELSEWHERE}, {"wording": None, "words": ()}
    if name != LANGUAGE_MODEL:
        raise ValueError(
            f"the words to start from are known for {LANGUAGE_MODEL} alone, not for {name!r}; "
            'leave the parameter language_model as it was, or give ""'
        )
    real = {
        "prompt": _worded_trial("prompt tuning", prompt, rate, **away),
        "full": _worded_trial("full fine-tuning", FullFineTuning(), LM_RATES["full"], **away),
        "lora": _worded_trial("LoRA r=8", LoRA(), LM_RATES["lora"]),
        "head": _worded_trial("head only", HeadOnly(), LM_RATES["head"], **headed),
    }
    labels = _rows(LM_LENGTH, init="labels", init_tokens=LM_WORD_IDS)
    uniform = _rows(LM_LENGTH, init="uniform")
    starts = {
        "labels": _worded_trial("labels", labels, rate),
        "sampled words": real["prompt"],
        "uniform": _worded_trial("uniform", uniform, rate),
    }
    one, many = (_worded_trial(f"P={P}", _rows(P), rate) for P in (1, 20))
    slow = _worded_trial("rate 0.001", prompt, 1e-3)
    series["real"] = real
    series["real start"] = starts
    series["real length"] = {1: one, LM_LENGTH: real["prompt"], 20: many}
    series["real rate"] = {1e-3: slow, rate: real["prompt"]}
    main = [real["prompt"], real["full"], slow]
    others = [real["lora"], real["head"], starts["labels"], starts["uniform"], one, many]
    there = {"backbone": name, "task": REVIEWED, "noted": False}
    groups["real"] = Group(trials=main, seeds=SEEDS, **there)
    groups["real, few seeds"] = Group(trials=others, seeds=FEW_SEEDS, **there)
    kinds = {
        "prompt": ("prompt", prompt),
        "full": ("full", FullFineTuning()),
        "lora": ("LoRA", LoRA()),
    }
    grid = [
        _worded_trial(f"{kinds[kind][0]} on {name}, rate {own:g}", kinds[kind][1], own)
        for kind, rates in LM_GRID.items()
        for own in rates
    ]
    groups["grid, real"] = Group(trials=grid, seeds=GRID_SEEDS, shown=False, **there)
    return grid


def _worded(trial: Trial, language_model: str) -> dict[str, dict[str, float]]:
    """What wordings reach by themselves."""
    model, tokenizer = load_backbone(language_model, trial.task(REVIEWED))
    found: dict[str, dict[str, float]] = {}
    for wording in WORDINGS:
        data = replace(trial, wording=wording).task(REVIEWED)
        found[wording] = {
            split: evaluate(model, tokenizer, data.split(split)).accuracy
            for split in ("train", "test")
        }
    return found


def _mass(trial: Trial, seed: int, place: Place) -> list[float]:
    """The attention on a trained prompt, of the subjects of the validation split."""
    data = trial.task(place.task)
    model, tokenizer = load_backbone(place.backbone, data)
    attachment = load(place.run(trial, seed), model)
    texts = [e.text.replace("[Y]", "").strip() for e in data.validation]  # the subjects
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right")
    return attention_mass(attachment, {k: batch[k] for k in ("input_ids", "attention_mask")})


def _ensembles(voters: Group, place: Place) -> list[dict[str, Any]]:
    """The vote of every five prompts, beside what each says alone."""
    (voter,) = voters.trials
    there = Place(voters.backbone, voters.task, place.folder)
    data = voter.task(there.task)
    model, tokenizer = load_backbone(there.backbone, data)
    attachment = voter.method.attach(model)
    found = []
    for start in range(0, len(voters.seeds), VOTERS):
        group = voters.seeds[start : start + VOTERS]
        states = [read(there.run(voter, seed))[1] for seed in group]
        rows = [next(iter(state.values())) for state in states]
        alone = [vote_accuracy(attachment, tokenizer, data.test, [row]) for row in rows]
        vote = vote_accuracy(attachment, tokenizer, data.test, rows)
        found.append({"seeds": list(group), "single": alone, "vote": vote})
    return found
