"""The exercises of lab 05: how a template's slots are filled, and where its answer is read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from peftlab.lessons.exercise import Exercise


def _slot_inputs(draw: torch.Generator) -> dict[str, Any]:
    ids = torch.tensor([-2, -1, 7, 0, -3, 5, -4])  # 0 is a token, too
    return {
        "ids": ids.roll(int(torch.randint(len(ids), (), generator=draw))),
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
        "the token 0 is taken for a slot; only negative ids are slots": (
            lambda ids, table, slots: torch.where(
                (ids <= 0)[:, None], slots[(-ids - 1) % len(slots)], table[ids.clamp(min=0)]
            )
        ),
        "the token 0 is taken for the first slot; only negative ids are slots": (
            lambda ids, table, slots: torch.where(
                (ids <= 0)[:, None], slots[(-ids - 1).clamp(min=0)], table[ids.clamp(min=0)]
            )
        ),
        "the slots are given out in the order of the text; the id says which one it is": (
            lambda ids, table, slots: _filled(
                ids, table, slots[((ids < 0).cumsum(0) - 1).clamp(min=0)]
            )
        ),
        "a slot gets the word whose id is its number without the sign; its vector is in slots": (
            lambda ids, table, slots: table[ids.abs()]
        ),
        "all slots stand behind; each stays where the template has it": (
            lambda ids, table, slots: torch.cat([table[ids[ids >= 0]], slots])
        ),
        "the slots are zero; slot -k gets the k-th vector": (
            lambda ids, table, slots: _filled(ids, table, torch.zeros(len(ids), slots.shape[1]))
        ),
        "every slot gets the word 0; slot -k gets the k-th vector": (
            lambda ids, table, slots: table[ids.clamp(min=0)]
        ),
        "words and slots are exchanged: vectors belong where an id is negative": (
            lambda ids, table, slots: torch.where(
                (ids < 0)[:, None],
                table[ids.clamp(min=0)],
                slots[(-ids - 1).clamp(min=0)],
            )
        ),
        "the last slot is left out": (
            lambda ids, table, slots: _filled(
                ids, table, slots[(-ids - 1).clamp(min=0)] * (ids > -len(slots))[:, None]
            )
        ),
        "words and slots are added; a slot has no word": (
            lambda ids, table, slots: (
                table[ids.clamp(min=0)] + (ids < 0)[:, None] * slots[(-ids - 1).clamp(min=0)]
            )
        ),
    },
    hint="Clamp an index before you use it (a word has no slot, and a slot no word), and give the "
    "mask of the tokens a second axis, [:, None], beside rows.",
    praise="words where there are words, trained vectors in between: the model cannot tell which "
    "is which.",
)


def _answer_inputs(draw: torch.Generator) -> dict[str, Any]:
    y = 4 + int(torch.randint(3, (), generator=draw))
    return {"states": torch.randn(15, 4, generator=draw), "y": y}


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
        "both are read behind the target": (
            lambda states, y: torch.stack([states[y + 1], states[y + 1]])
        ),
        "both are one place early; positions count from 0, as in the code": (
            lambda states, y: torch.stack([states[y - 2], states[y - 1]])
        ),
        "the decoder is read two places before the target; the place just before it answers": (
            lambda states, y: torch.stack([states[y - 2], states[y]])
        ),
        "the encoder is read at its first token, as for a classification; its mask answers": (
            lambda states, y: torch.stack([states[y - 1], states[0]])
        ),
        "both are read at the first token, as for a classification": (
            lambda states, y: torch.stack([states[0], states[0]])
        ),
        "both are one place late; the decoder answers before the target, the encoder at it": (
            lambda states, y: torch.stack([states[y], states[y + 1]])
        ),
        "the encoder is read behind the target; its mask stands at the target": (
            lambda states, y: torch.stack([states[y - 1], states[y + 1]])
        ),
        "the encoder is read at the end of the sequence; its mask stands at the target": (
            lambda states, y: torch.stack([states[y - 1], states[-1]])
        ),
        "the decoder is read at the target itself, the encoder at the end; neither is right": (
            lambda states, y: torch.stack([states[y], states[-1]])
        ),
        "the decoder is read at the target itself, the encoder at its first token": (
            lambda states, y: torch.stack([states[y], states[0]])
        ),
        "the encoder's states are averaged; its mask answers": (
            lambda states, y: torch.stack([states[y - 1], states.mean(0)])
        ),
        "both are read two places before the target": (
            lambda states, y: torch.stack([states[y - 2], states[y - 2]])
        ),
        "the encoder is read two places early; its mask stands at the target": (
            lambda states, y: torch.stack([states[y - 1], states[y - 2]])
        ),
        "the decoder is read at the first token; it has seen nothing yet": (
            lambda states, y: torch.stack([states[0], states[y]])
        ),
        "both are read at the end of the sequence; the target may stand anywhere": (
            lambda states, y: torch.stack([states[-1], states[-1]])
        ),
        "the states are averaged; one place has to answer": (
            lambda states, y: torch.stack([states.mean(0), states.mean(0)])
        ),
        "the decoder's states are averaged; the place before the target answers": (
            lambda states, y: torch.stack([states[:y].mean(0), states[y]])
        ),
    },
    praise="a decoder answers from the place before the target, which may well be a slot.",
)
