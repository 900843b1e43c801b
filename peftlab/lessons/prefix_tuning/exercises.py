"""The exercises of lab 04: attention with a prefix, and what three prefixes cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from peftlab.lessons.exercise import Exercise


def _attention_inputs(draw: torch.Generator) -> dict[str, Any]:
    """Two heads, three rows, five tokens, the first of which is padding and sees itself alone."""
    tokens = {name: torch.randn(2, 5, 4, generator=draw) for name in ("q", "k", "v")}
    rows = {name: torch.randn(2, 3, 4, generator=draw) for name in ("prefix_k", "prefix_v")}
    mask = torch.ones(5, 5, dtype=torch.long).tril()
    mask[1:, 0] = 0
    return tokens | rows | {"mask": mask}


def _attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: Callable[[int], float] = lambda d: d**0.5
) -> Tensor:
    scores = q @ k.transpose(1, 2) / scale(q.shape[-1])  # (H, T, P + T)
    return torch.softmax(scores.masked_fill(mask == 0, -torch.inf), -1) @ v


def _before(rows: Tensor, tokens: Tensor) -> Tensor:
    return torch.cat([rows, tokens], 1)  # (H, P + T, d)


def _all_see(mask: Tensor, rows: Tensor) -> Tensor:
    ones = torch.ones(len(mask), rows.shape[1], dtype=mask.dtype)
    return torch.cat([ones, mask], 1)  # (T, P + T)


def _right(q, k, v, prefix_k, prefix_v, mask, **more):
    wide = _all_see(mask, prefix_k)
    return _attend(q, _before(prefix_k, k), _before(prefix_v, v), wide, **more)


def _from_the_first_key(q, k, v, prefix_k, prefix_v, mask):
    keys = _before(prefix_k, k)
    causal = torch.ones(q.shape[1], keys.shape[1]).tril()
    return _attend(q, keys, _before(prefix_v, v), causal)


def _rows_in_turn(q, k, v, prefix_k, prefix_v, mask):
    wide = torch.cat([torch.ones(q.shape[1], prefix_k.shape[1]).tril(), mask], 1)
    return _attend(q, _before(prefix_k, k), _before(prefix_v, v), wide)


def _rows_ask_too(q, k, v, prefix_k, prefix_v, mask):
    keys, values = _before(prefix_k, k), _before(prefix_v, v)
    P = prefix_k.shape[1]
    wide = torch.cat([torch.eye(P, keys.shape[1]), _all_see(mask, prefix_k)])
    return _attend(_before(prefix_k, q), keys, values, wide)


def _two_softmaxes(q, k, v, prefix_k, prefix_v, mask):
    return _attend(q, prefix_k, prefix_v, _all_see(mask[:, :0], prefix_k)) + _attend(q, k, v, mask)


PREFIX_ATTENTION = Exercise(
    solution=_right,
    inputs=_attention_inputs,
    mistakes={
        "the prefix changes nothing: the mask hides its columns, or they stand behind the tokens, "
        "where a causal mask hides them; every token sees every row": (
            lambda q, k, v, prefix_k, prefix_v, mask: _attend(q, k, v, mask)
        ),
        "the rows have keys but no values: they take attention and give nothing for it": (
            lambda q, k, v, prefix_k, prefix_v, mask: _right(q, k, v, prefix_k, 0 * prefix_v, mask)
        ),
        "keys and mask are in another order: the rows stand behind the tokens, their columns in "
        "front": (
            lambda q, k, v, prefix_k, prefix_v, mask: _attend(
                q, _before(k, prefix_k), _before(v, prefix_v), _all_see(mask, prefix_k)
            )
        ),
        "the causal mask starts at the first row: query i sees the keys 0 to i, which are rows; it "
        "sees all rows and the tokens 0 to i": _from_the_first_key,
        "the rows come in turn, as if they were tokens beside the text; the first token sees all "
        "of them, too": _rows_in_turn,
        "causality is lost: the rows are seen by all, but the mask still holds for the tokens": (
            lambda q, k, v, prefix_k, prefix_v, mask: _right(
                q, k, v, prefix_k, prefix_v, torch.ones_like(mask)
            )
        ),
        "padding is seen: you made a new causal mask; go on with the mask that was given": (
            lambda q, k, v, prefix_k, prefix_v, mask: _right(
                q, k, v, prefix_k, prefix_v, torch.ones_like(mask).tril()
            )
        ),
        "all heads share the rows of the first one; each head has its own": (
            lambda q, k, v, prefix_k, prefix_v, mask: _right(
                q, k, v, prefix_k[:1].expand_as(prefix_k), prefix_v[:1].expand_as(prefix_v), mask
            )
        ),
        "there are two softmaxes, one over the rows and one over the tokens: both compete in one": (
            _two_softmaxes
        ),
        "the scale is missing: scores are divided by the root of d": (
            lambda q, k, v, prefix_k, prefix_v, mask: _right(
                q, k, v, prefix_k, prefix_v, mask, scale=lambda d: 1.0
            )
        ),
        "scores are divided by d; it is the root of d": (
            lambda q, k, v, prefix_k, prefix_v, mask: _right(
                q, k, v, prefix_k, prefix_v, mask, scale=float
            )
        ),
        "keys and values of the prefix are exchanged": (
            lambda q, k, v, prefix_k, prefix_v, mask: _right(q, k, v, prefix_v, prefix_k, mask)
        ),
        "the rows ask, too: a prefix has keys and values but no queries, so T rows come out": (
            _rows_ask_too
        ),
    },
    praise="one softmax over rows and tokens; every token sees every row, and among the tokens "
    "the mask holds as before.",
)


def _count_inputs(draw: torch.Generator) -> dict[str, Any]:
    def one(low: int, high: int) -> int:
        return int(torch.randint(low, high, (1,), generator=draw))

    return {
        "width": one(30, 60),
        "layers": one(3, 9),
        "prefix_length": one(10, 20),
        "hidden": one(61, 99),
    }


def _rows(width: int, layers: int, prefix_length: int, hidden: int, each: int = 6) -> int:
    """`each` tensors of P rows in a layer: keys and values of three attentions are six."""
    return each * layers * prefix_length * width


def _mlp(
    width: int, layers: int, prefix_length: int, hidden: int, numbers: int = 2, biases: int = 1
) -> int:
    """Embedding, narrow map and wide map of one stack."""
    wide = numbers * layers * width
    narrow = prefix_length * width + width * hidden + biases * hidden
    return narrow + hidden * wide + biases * wide


STORED_COUNT = Exercise(
    solution=_rows,
    inputs=_count_inputs,
    mistakes={
        "that is one stack: the encoder, the decoder and the way between them have a prefix each": (
            lambda **inputs: _rows(**inputs, each=2)
        ),
        "the cross-attention is forgotten: the decoder attends to the encoder with rows of its "
        "own": lambda **inputs: _rows(**inputs, each=4),
        "a row has a key and a value; you counted one of them": (
            lambda **inputs: _rows(**inputs, each=3)
        ),
        "the encoder has no cross-attention; three attentions have rows, not four": (
            lambda **inputs: _rows(**inputs, each=8)
        ),
        "that is one layer; every layer has rows of its own": (
            lambda width, layers, prefix_length, hidden: _rows(width, 1, prefix_length, hidden)
        ),
        "that is one row; the prefix has prefix_length of them": (
            lambda width, layers, prefix_length, hidden: _rows(width, layers, 1, hidden)
        ),
        "the MLP is not stored: after training its output is kept and the MLP dropped": (
            lambda **inputs: 3 * _mlp(**inputs)
        ),
        "the MLP is not stored; you counted it beside the rows": (
            lambda **inputs: _rows(**inputs) + 3 * _mlp(**inputs)
        ),
        "the prefix is not in the embeddings alone; each layer has keys and values": (
            lambda width, layers, prefix_length, hidden: prefix_length * width
        ),
    },
    praise="keys and values of three attentions, in every layer, for every row. Whatever made the "
    "rows is gone.",
)


TRAINED_COUNT = Exercise(
    solution=lambda **inputs: 3 * _mlp(**inputs),
    inputs=_count_inputs,
    mistakes={
        "these are the rows, which are stored; what trains is the embedding and the MLP that make "
        "them": _rows,
        "there is one MLP for each of the three stacks": lambda **inputs: _mlp(**inputs),
        "the cross-attention has an MLP, too: three stacks, not two": (
            lambda **inputs: 2 * _mlp(**inputs)
        ),
        "the biases of the two maps are missing": lambda **inputs: 3 * _mlp(**inputs, biases=0),
        "the wide map makes keys and values, 2 numbers for each of the width": (
            lambda **inputs: 3 * _mlp(**inputs, numbers=1)
        ),
        "the small table is missing: prefix_length rows of the width go into the MLP": (
            lambda width, layers, prefix_length, hidden: (
                3 * (_mlp(width, layers, prefix_length, hidden) - prefix_length * width)
            )
        ),
        "rows and MLP are counted together; the rows are what the MLP makes, not parameters": (
            lambda **inputs: 3 * _mlp(**inputs) + _rows(**inputs)
        ),
        "all rows go through one MLP; you counted one for each row": (
            lambda width, layers, prefix_length, hidden: (
                3 * prefix_length * _mlp(width, layers, 1, hidden)
            )
        ),
    },
    praise="three tables and three MLPs. Nearly all of it stands in the wide maps, whatever the "
    "length of the prefix is.",
)
