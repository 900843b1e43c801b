"""What lab 03 trains, and what is computed from the checkpoints and from the live runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from peftlab.attach import Attachment
from peftlab.attach.storage import read
from peftlab.backbones import load_backbone
from peftlab.insight import attention_mass, soft_prompt, vote_accuracy
from peftlab.lessons.lesson import Group, Place, Plan
from peftlab.lessons.session import Session
from peftlab.methods.baselines import FullFineTuning, HeadOnly
from peftlab.methods.loading import load
from peftlab.methods.prompt_tuning.method import PromptTuning, token_ids
from peftlab.runs.separation import PROMPTED
from peftlab.runs.trial import Run, Trial
from peftlab.tasks import Task, load_task
from peftlab.training import evaluate, train

VOTED = "facts/capital"  # what ensembles of prompts answer
VOTERS = 5  # prompts in an ensemble
FALSE, FALSE_EPOCHS = 8, 150  # wrong capitals that a prompt is taught, and passes over them
SIZES = ("lab-gpt-nano", "lab-gpt-micro", "lab-gpt-small")


def plan(
    *,
    backbone: str,
    task: str,
    prompt_length: int,
    learning_rate: float,
    epochs: int,
    **_: Any,
) -> Plan:
    """Plan prompt tuning and its controls, three series, more backbones, and prompts that vote.

    The series are by length, by learning rate and by start. Every backbone of `SIZES` gets prompt
    tuning, full fine-tuning and the head alone.

    Args:
        backbone: whose tokenizer turns labels into rows to start from.
        task: whose labels these are.
        prompt_length: of the live run.
        learning_rate: of the live run.
        epochs: of the live run.

    Returns:
        The plan.
    """

    def prompt(label: str, rate: float = 3e-2, passes: int = 15, **options: Any) -> Trial:
        method = PromptTuning(**{"prompt_length": 20} | options)
        return Trial(label=label, method=method, learning_rate=rate, epochs=passes)

    def size(rate: float, passes: int) -> dict[str, Trial]:
        return {
            "prompt": prompt("prompt tuning"),
            "full": Trial(
                label="full fine-tuning", method=FullFineTuning(), learning_rate=rate, epochs=passes
            ),
            "head": Trial(label="head only", method=HeadOnly(), learning_rate=1e-2, epochs=passes),
        }

    data = load_task(task)
    names = data.labels or ("yes", "no")
    words = token_ids(load_backbone(backbone, data)[1], names[:20])
    main = prompt("prompt tuning", learning_rate, epochs, prompt_length=prompt_length)
    trials = size(5e-4, 10) | {"prompt": main}
    trials["random"] = replace(prompt("prompt, random weights"), pretrained=False)
    baselines = ((1e-3, 10), (5e-4, 10), (5e-4, 6))
    sizes = {name: size(*own) for name, own in zip(SIZES, baselines, strict=True)}
    series = {
        "length": {P: prompt(f"P={P}", prompt_length=P) for P in (1, 5, 20, 50)},
        "rate": {rate: prompt(f"rate {rate:g}", rate) for rate in (1e-3, 1e-2, 3e-2, 1e-1)},
        "init": {
            "sampled words": prompt("sampled words"),
            "labels": prompt("labels", init="labels", init_tokens=words),
            "uniform": prompt("uniform", init="uniform"),
        },
    }
    voter = Trial(
        label="voter",
        method=PromptTuning(prompt_length=VOTERS),
        learning_rate=1e-1,
        epochs=3,
        wording="[X] [Y]",
    )
    every = [*trials.values(), *(trial for own in series.values() for trial in own.values())]
    seeds = (0, 1, 2)
    return Plan(
        trials=trials,
        series=series | sizes | {"voter": {"voter": voter}},
        groups={"stored": Group(trials=every, seeds=seeds)}
        | {
            name: Group(trials=[*own.values()], seeds=seeds, backbone=name, noted=False)
            for name, own in sizes.items()
            if name != backbone
        }
        | {
            "voter": Group(
                trials=[voter], seeds=range(15), backbone=PROMPTED, task=VOTED, noted=False
            )
        },
    )


def findings(plan: Plan, runs: list[Run], place: Place) -> dict[str, Any]:
    """How much the text looks at the prompt, and what the votes of several prompts are worth.

    Args:
        plan: the series hold "length", and the groups "voter".
        runs: of the plan.
        place: where they ran.

    Returns:
        "mass", the attention that the text gives to the prompt by length, a number for each layer,
        averaged over the seeds; "ensembles", single accuracies and that of the vote.
    """
    seeds = plan.groups["stored"].seeds
    mass = {
        str(P): torch.tensor([_mass(trial, seed, place) for seed in seeds]).mean(0).tolist()
        for P, trial in plan.series["length"].items()
    }
    return {"mass": mass, "ensembles": _ensembles(plan.groups["voter"], place)}


def by_size(lab: Session) -> dict[str, dict[str, list[float]]]:
    """Collect the stored test accuracies of each backbone that has all its trials stored.

    Args:
        lab: the session.

    Returns:
        From 0 to 1, by backbone and then by trial, one for each seed.
    """
    found = {
        name: {
            key: [run.test_accuracy for run in lab.runs(trial, backbone=name)]
            for key, trial in lab.plan.series[name].items()
        }
        for name in SIZES
    }
    return {name: own for name, own in found.items() if all(own.values())}


def start_of(lab: Session) -> Tensor:
    """Make the prompt of the live run as it was before its training; the same seed draws it again.

    Args:
        lab: the session.

    Returns:
        (P, D).
    """
    trial = lab.plan.trials["prompt"]
    model, _ = load_backbone(lab.backbone, trial.task(lab.task), seed=lab.seed)
    torch.manual_seed(lab.seed)
    return soft_prompt(trial.method.attach(model)).prompt.detach()


class FactPrompt(NamedTuple):
    """A prompt for one relation of the facts, and what it was trained with.

    Args:
        prompt: (P, D).
        attachment: on the backbone, which is the same for every relation.
        tokenizer: of the backbone.
        data: the subjects, such as countries, and their answers.
    """

    prompt: Tensor
    attachment: Attachment
    tokenizer: PreTrainedTokenizerBase
    data: Task


def fact_prompt(lab: Session, relation: str) -> FactPrompt:
    """Train a prompt now that asks for one relation; the text is only the subject.

    Args:
        lab: whose seed and plan count.
        relation: of the bundled facts, such as "capital".

    Returns:
        The prompt, and what it was trained with.
    """
    data = lab.plan.series["voter"]["voter"].task(f"facts/{relation}")
    return _fact_prompt(lab, data, epochs=8)


def _fact_prompt(lab: Session, data: Task, **options: Any) -> FactPrompt:
    """Train a prompt like those that vote, with further options of `train`."""
    voter = lab.plan.series["voter"]["voter"]
    model, tokenizer = load_backbone(PROMPTED, data)
    torch.manual_seed(lab.seed)
    attachment = voter.method.attach(model)
    options |= {"learning_rate": voter.learning_rate, "seed": lab.seed, "progress": False}
    train(attachment, tokenizer, data, **options)
    return FactPrompt(soft_prompt(attachment).prompt.detach(), attachment, tokenizer, data)


class Taught(NamedTuple):
    """What a prompt that was trained on wrong facts says.

    Args:
        facts: pairs of a subject and the wrong answer that was taught.
        learnt: the share of them that the model now gives, from 0 to 1.
        others: the share of right answers for the subjects of test, which nobody taught.
        before: the same with a prompt that was trained on right facts.
    """

    facts: list[tuple[str, str]]
    learnt: float
    others: float
    before: float


def false_facts(lab: Session, honest: FactPrompt) -> Taught:
    """Train a prompt now on wrong capitals: eight countries, each with the capital of the next.

    Args:
        lab: whose seed and plan count.
        honest: a prompt for the capital, on the backbone that is taught; it is left as it was.

    Returns:
        What the model says with the new prompt.
    """
    data = honest.data
    taught = data.train[:FALSE]
    wrong = [*taught[1:], taught[0]]
    taught = tuple(
        replace(example, references=other.references)
        for example, other in zip(taught, wrong, strict=True)
    )
    false = _fact_prompt(
        lab,
        replace(data, train=taught),
        epochs=FALSE_EPOCHS,
        batch_size=FALSE,
        validate=FALSE_EPOCHS,
    )
    says = ((false, taught), (false, data.test), (honest, data.test))
    return Taught(
        [(example.tags["subject"], example.references[0]) for example in taught],
        *(evaluate(who.attachment.model, who.tokenizer, asked).accuracy for who, asked in says),
    )


def _mass(trial: Trial, seed: int, place: Place) -> list[float]:
    """The attention on a trained prompt, on 32 texts of the validation split."""
    data = trial.task(place.task)
    model, tokenizer = load_backbone(place.backbone, data)
    attachment = load(place.run(trial, seed), model)
    texts = [e.text for e in data.validation[:32]]
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
