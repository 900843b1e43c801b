"""The exercises of lab 05: how a template's slots are filled, and where its answer is read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from peftlab.lessons.exercise import Exercise


def _slot_inputs(draw: torch.Generator) -> dict[str, Any]:
    return {
        "ids": torch.tensor([-2, -1, 7, 0, -3, 5, -4]),  # 0 is a token, too
        "table": torch.randn(9, 4, generator=draw),
        "slots": torch.randn(4, 4, generator=draw),
    }


def _filled(ids: Tensor, table: Tensor, vectors: Tensor) -> Tensor:
    """The rows of the table for `ids` (T). Where an id is negative: the row of `vectors` (T, D)."""
    return torch.where((ids < 0)[:, None], vectors, table[ids.clamp(min=0)])


TEMPLATE_EMBEDDING = Exercise(
    solution=lambda ids, table, slots: _filled(ids, table, slots[(-ids - 1).clamp(min=0)]),
    inputs=_slot_inputs,
    mistakes={
        "the slots are in the wrong order: -1 is the first slot, and slots[-1] would be the last": (
            lambda ids, table, slots: _filled(ids, table, slots[ids.clamp(max=-1)])
        ),
        "every slot gets the first vector; slot -k gets the k-th": (
            lambda ids, table, slots: _filled(ids, table, slots[:1].expand(len(ids), -1))
        ),
        "the slots are off by one: -1 is the first, which Python counts as 0": (
            lambda ids, table, slots: _filled(
                ids, table, slots[(-ids).clamp(min=0, max=len(slots) - 1)]
            )
        ),
        "all slots stand in front; each stays where the template has it": (
            lambda ids, table, slots: torch.cat([slots, table[ids[ids >= 0]]])
        ),
        "the slots are read from the vocabulary: a negative index counts from its end": (
            lambda ids, table, slots: table[ids]
        ),
        "the slots are left out": lambda ids, table, slots: table[ids[ids >= 0]],
    },
    praise="words where there are words, trained vectors in between: the model cannot tell which "
    "is which.",
)


def _answer_inputs(draw: torch.Generator) -> dict[str, Any]:
    return {"states": torch.randn(7, 4, generator=draw), "y": 4}


ANSWER_STATE = Exercise(
    solution=lambda states, y: torch.stack([states[y - 1], states[y]]),
    inputs=_answer_inputs,
    mistakes={
        "the decoder is read at the target itself; it has to say the target before it sees it": (
            lambda states, y: torch.stack([states[y], states[y]])
        ),
        "the encoder is read one place early; its mask stands where the target belongs": (
            lambda states, y: torch.stack([states[y - 1], states[y - 1]])
        ),
        "decoder and encoder are exchanged": (
            lambda states, y: torch.stack([states[y], states[y - 1]])
        ),
        "the decoder is read at the end of the sequence; the target may stand anywhere": (
            lambda states, y: torch.stack([states[-1], states[y]])
        ),
        "the decoder is read behind the target": (
            lambda states, y: torch.stack([states[y + 1], states[y]])
        ),
    },
    praise="a decoder answers from the place before the target, which may well be a slot.",
)
