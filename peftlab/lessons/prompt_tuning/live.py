"""What lab 03 trains while it is read: prompts for facts, honest ones and a false one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from peftlab.attach import Attachment
from peftlab.backbones import load_backbone
from peftlab.insight import soft_prompt
from peftlab.lessons.session import Session
from peftlab.runs.separation import PROMPTED
from peftlab.tasks import Task
from peftlab.training import evaluate, train

FALSE, FALSE_EPOCHS = 8, 150  # wrong capitals that a prompt is taught, and passes over them


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
    return FactPrompt(soft_prompt(attachment).prompt.detach().clone(), attachment, tokenizer, data)


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
        honest: a prompt for the capital; it and its model are left as they were.

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
