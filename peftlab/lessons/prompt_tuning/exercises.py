"""The exercises of lab 03: a prompt's mask and labels, states to read, several prompts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from peftlab.lessons.exercise import Exercise
from peftlab.training.batches import IGNORED


def _batch_inputs(draw: torch.Generator) -> dict[str, Any]:
    P = 4 + int(torch.randint(2, (), generator=draw))
    mask = torch.ones(3, 6, dtype=torch.long)
    mask[1, 4:] = mask[2, 5:] = 0
    labels = torch.randint(5, 90, (3, 6), generator=draw).masked_fill(mask == 0, IGNORED)
    labels[0, 0] = labels[1, 1] = IGNORED  # text may have no label, too
    return {"mask": mask, "labels": labels, "P": P}


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
        "the labels are right, but -100 is nothing for a mask, which knows 0 and 1 only": (
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
        "the mask is made of the labels; text without a label is looked at all the same": (
            lambda mask, labels, P: _front((labels != IGNORED).long(), labels, P, 1, IGNORED)
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


def _read_inputs(draw: torch.Generator) -> dict[str, Any]:
    P = 3 - int(torch.randint(2, (), generator=draw))
    mask = torch.arange(10) < P + torch.tensor([[2], [4], [3], [1]])  # rows, and tokens behind them
    return {"states": torch.randn(4, 10, 5, generator=draw), "mask": mask.long(), "P": P}


def _states_at(states: Tensor, encoder: Tensor | int, decoder: Tensor | int) -> Tensor:
    rows = torch.arange(len(states))
    return torch.stack([states[rows, encoder], states[rows, decoder]])


def _ends(mask: Tensor) -> Tensor:
    return mask.sum(1) - 1


READ_STATE = Exercise(
    solution=lambda states, mask, P: _states_at(states, P, _ends(mask)),
    inputs=_read_inputs,
    mistakes={
        "the encoder's head reads place 0, which is a virtual token now; [CLS] stands at place P": (
            lambda states, mask, P: _states_at(states, 0, _ends(mask))
        ),
        "the decoder's head reads the last place, which is padding in a shorter text": (
            lambda states, mask, P: _states_at(states, P, -1)
        ),
        "the prompt is forgotten in both places: the text stands P places further back": (
            lambda states, mask, P: _states_at(states, 0, _ends(mask[:, P:]))
        ),
        "the decoder's state is one too far: places are counted from 0": (
            lambda states, mask, P: _states_at(states, P, mask.sum(1))
        ),
        "every text is read where the longest one ends; each ends at its own place": (
            lambda states, mask, P: _states_at(states, P, int(_ends(mask).max()))
        ),
        "two slips: [CLS] no longer stands first, and the last place may be padding": (
            lambda states, mask, P: _states_at(states, 0, -1)
        ),
        "the mask has the rows already, so that P is counted twice": (
            lambda states, mask, P: _states_at(states, P, P + _ends(mask))
        ),
        "the rows are taken off the mask, so that the decoder's state is P places too early": (
            lambda states, mask, P: _states_at(states, P, _ends(mask[:, P:]))
        ),
        "the decoder's state is one too early; the last token stands at the mask's sum less one": (
            lambda states, mask, P: _states_at(states, P, _ends(mask) - 1)
        ),
        "the encoder's state is that of the last row; [CLS] stands behind it": (
            lambda states, mask, P: _states_at(states, P - 1, _ends(mask))
        ),
        "the encoder's state is one too far: place P is the first behind P rows": (
            lambda states, mask, P: _states_at(states, P + 1, _ends(mask))
        ),
        "encoder and decoder are exchanged: the encoder comes first": (
            lambda states, mask, P: _states_at(states, P, _ends(mask)).flip(0)
        ),
        "both are the encoder's state; a decoder's first token has not seen the text": (
            lambda states, mask, P: _states_at(states, P, P)
        ),
        "both are the decoder's state; an encoder's head reads [CLS]": (
            lambda states, mask, P: _states_at(states, _ends(mask), _ends(mask))
        ),
        "every text is read where the first one ends; each ends at its own place": (
            lambda states, mask, P: _states_at(states, P, int(_ends(mask)[0]))
        ),
        "both are a mean over all states; a head reads one state": (
            lambda states, mask, P: states.mean(1).expand(2, -1, -1)
        ),
    },
    praise="no state of a virtual token, and none of padding.",
    hint="the last token of a text stands at the sum of its mask less one",
)


def _mixed_inputs(draw: torch.Generator) -> dict[str, Any]:
    return {
        "prompts": torch.randn(4, 2, 6, generator=draw),
        "task": torch.tensor([2, 0, 2, 1, 0]).roll(int(torch.randint(5, (), generator=draw))),
        "x": torch.randn(5, 7, 6, generator=draw),
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
        "the tasks are taken from the last row on; row i has the prompt of task[i]": (
            lambda prompts, task, x: torch.cat([prompts[task.flip(0)], x], 1)
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
    praise="one indexing, and a single batch serves all tasks with one frozen model.",
    neutral={"prompts": None},
)
