"""The exercises of lab 03: a prompt's mask and labels, a training step, several prompts at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from peftlab.lessons.exercise import Exercise
from peftlab.training.batches import IGNORED


def _batch_inputs(draw: torch.Generator) -> dict[str, Any]:
    mask = torch.ones(3, 6, dtype=torch.long)
    mask[1, 4:] = mask[2, 5:] = 0
    labels = torch.randint(5, 90, (3, 6), generator=draw).masked_fill(mask == 0, IGNORED)
    return {"mask": mask, "labels": labels, "P": 4}


def _front(mask: Tensor, labels: Tensor, P: int, one: int, label: int) -> Tensor:
    rows = torch.ones(len(mask), P, dtype=torch.long)
    return torch.stack([torch.cat([one * rows, mask], 1), torch.cat([label * rows, labels], 1)])


PROMPT_BATCH = Exercise(
    solution=lambda mask, labels, P: _front(mask, labels, P, 1, IGNORED),
    inputs=_batch_inputs,
    mistakes={
        "the prompt is left out of the mask: with zeros there, no token can see it": (
            lambda mask, labels, P: _front(mask, labels, P, 0, IGNORED)
        ),
        "the prompt's positions have the label 0, so they enter the loss; -100 is left out": (
            lambda mask, labels, P: _front(mask, labels, P, 1, 0)
        ),
        "the prompt's positions have the label 1, so they enter the loss; -100 is left out": (
            lambda mask, labels, P: _front(mask, labels, P, 1, 1)
        ),
        "the mask is right, but -100 belongs to the labels; the mask knows 0 and 1 only": (
            lambda mask, labels, P: _front(mask, labels, P, IGNORED, IGNORED)
        ),
        "the new columns stand behind the text; the prompt stands before it": (
            lambda mask, labels, P: _front(mask, labels, P, 1, IGNORED).roll(-P, 2)
        ),
        "zeros in the mask hide the prompt from every token, zeros in the labels enter the loss": (
            lambda mask, labels, P: _front(mask, labels, P, 0, 0)
        ),
        "the label -1 is no label to torch; -100 is the one that the loss leaves out": (
            lambda mask, labels, P: _front(mask, labels, P, 1, -1)
        ),
        "mask and labels are exchanged: the mask comes first": (
            lambda mask, labels, P: _front(mask, labels, P, 1, IGNORED).flip(0)
        ),
        "there is one new column; the prompt has P": (
            lambda mask, labels, P: _front(mask, labels, 1, 1, IGNORED)
        ),
        "the mask is all ones, so that the padding is looked at, too; keep the mask of the text": (
            lambda mask, labels, P: _front(torch.ones_like(mask), labels, P, 1, IGNORED)
        ),
        "the new columns repeat the first ones of mask and labels; they are 1 and -100": (
            lambda mask, labels, P: torch.stack(
                [torch.cat([own[:, :1].expand(-1, P), own], 1) for own in (mask, labels)]
            )
        ),
        "all labels are -100, so that nothing is learnt; the text keeps its own": (
            lambda mask, labels, P: _front(mask, torch.full_like(labels, IGNORED), P, 1, IGNORED)
        ),
        "the labels are moved by one; the model does that itself": (
            lambda mask, labels, P: _front(mask, labels.roll(-1, 1), P, 1, IGNORED)
        ),
        "the prompt takes the place of the text's first columns; it stands before them": (
            lambda mask, labels, P: _front(mask[:, P:], labels[:, P:], P, 1, IGNORED)
        ),
    },
    praise="ones in the mask, so that the text can look at the prompt, and -100 in the labels, so "
    "that nobody asks what word a virtual token is.",
)


def _step_inputs(draw: torch.Generator) -> dict[str, Any]:
    return {
        "table": torch.randn(9, 4, generator=draw),
        "ids": torch.tensor([2, 3, 4]),
        "gradient": torch.randn(3, 4, generator=draw),
        "rate": 0.3,
    }


def _stepped(table: Tensor, ids: Tensor, change: Tensor) -> Tensor:
    return torch.cat([table[ids] + change, table])


def _aliased(table: Tensor, ids: Tensor, gradient: Tensor, rate: float) -> Tensor:
    table = table.index_add(0, ids, -rate * gradient)
    return torch.cat([table[ids], table])


PROMPT_STEP = Exercise(
    solution=lambda table, ids, gradient, rate: _stepped(table, ids, -rate * gradient),
    inputs=_step_inputs,
    mistakes={
        "the step has changed the vocabulary: the prompt has to be a copy of the rows, or the "
        "words of every text change with it": _aliased,
        "the prompt is as it was; a step subtracts rate * gradient": (
            lambda table, ids, gradient, rate: _stepped(table, ids, 0 * gradient)
        ),
        "the step goes uphill: it subtracts the gradient": (
            lambda table, ids, gradient, rate: _stepped(table, ids, rate * gradient)
        ),
        "the learning rate is missing": (
            lambda table, ids, gradient, rate: _stepped(table, ids, -gradient)
        ),
        "the prompt starts with the first rows of the table; it starts with those of ids": (
            lambda table, ids, gradient, rate: torch.cat(
                [table[: len(ids)] - rate * gradient, table]
            )
        ),
        "the prompt starts at zero; it starts with the rows of ids": (
            lambda table, ids, gradient, rate: torch.cat([-rate * gradient, table])
        ),
        "the table comes first; return the prompt, and the table below it": (
            lambda table, ids, gradient, rate: torch.cat([table, table[ids] - rate * gradient])
        ),
        "the step is divided by the rate; it is multiplied by it": (
            lambda table, ids, gradient, rate: _stepped(table, ids, -gradient / rate)
        ),
    },
    praise="the prompt starts as words, and goes its own way: the vocabulary stays.",
    in_place="that is a word of the vocabulary in every text; give the prompt a copy of the rows",
)


def _mixed_inputs(draw: torch.Generator) -> dict[str, Any]:
    return {
        "prompts": torch.randn(3, 2, 4, generator=draw),
        "task": torch.tensor([2, 0, 2, 1]),
        "x": torch.randn(4, 5, 4, generator=draw),
    }


MIXED_PROMPTS = Exercise(
    solution=lambda prompts, task, x: torch.cat([prompts[task], x], 1),
    inputs=_mixed_inputs,
    mistakes={
        "every row has the prompt of the first row's task; each has its own": (
            lambda prompts, task, x: torch.cat([prompts[task[0]].expand(len(x), -1, -1), x], 1)
        ),
        "every row has the first prompt; each has the one of its task": (
            lambda prompts, task, x: torch.cat([prompts[:1].expand(len(x), -1, -1), x], 1)
        ),
        "the prompts are averaged; each row has the one of its task": (
            lambda prompts, task, x: torch.cat([prompts.mean(0).expand(len(x), -1, -1), x], 1)
        ),
        "the prompts stand behind the text": (
            lambda prompts, task, x: torch.cat([x, prompts[task]], 1)
        ),
        "the prompts are given out in turn; `task` says which one a row gets": (
            lambda prompts, task, x: torch.cat([prompts[torch.arange(len(x)) % len(prompts)], x], 1)
        ),
        "the tasks are numbered from 1; task 0 is the first prompt": (
            lambda prompts, task, x: torch.cat([prompts[task - 1], x], 1)
        ),
        "the tasks are sorted; row i has the prompt of task[i]": (
            lambda prompts, task, x: torch.cat([prompts[task.sort().values], x], 1)
        ),
        "every row has the prompt of the last row's task; each has its own": (
            lambda prompts, task, x: torch.cat([prompts[task[-1]].expand(len(x), -1, -1), x], 1)
        ),
        "the prompts are added to the first tokens; they stand before them": (
            lambda prompts, task, x: torch.cat(
                [x[:, : prompts.shape[1]] + prompts[task], x[:, prompts.shape[1] :]], 1
            )
        ),
        "the prompt takes the place of the first tokens; it stands before them": (
            lambda prompts, task, x: torch.cat([prompts[task], x[:, prompts.shape[1] :]], 1)
        ),
        "every row has all prompts; each has the one of its task": (
            lambda prompts, task, x: torch.cat([prompts.flatten(0, 1).expand(len(x), -1, -1), x], 1)
        ),
    },
    praise="one indexing, and a single batch serves three tasks with one frozen model.",
)
