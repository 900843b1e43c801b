"""The exercises of lab 04: attention with a prefix, and what three prefixes cost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from peftlab.lessons.exercise import Exercise
from peftlab.lessons.weighing import WRONG_WAYS, Weigh, weigh


def _attention_inputs(draw: torch.Generator) -> dict[str, Any]:
    """Sizes that all differ; the first token is padding and sees itself alone."""
    H, P, d, T = (3 + torch.randperm(4, generator=draw)).tolist()
    tokens = {name: torch.randn(H, T, d, generator=draw) for name in ("q", "k", "v")}
    rows = {name: torch.randn(H, P, d, generator=draw) for name in ("prefix_k", "prefix_v")}
    mask = torch.ones(T, T, dtype=torch.long).tril()
    mask[1:, 0] = 0
    return tokens | rows | {"mask": mask}


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, weigh: Weigh = weigh) -> Tensor:
    return weigh(q @ k.mT, mask, q.shape[-1]) @ v  # (H, T, d)


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


def _apart(q, k, v, prefix_k, prefix_v, mask):
    return _attend(q, prefix_k, prefix_v, _all_see(mask[:, :0], prefix_k)), _attend(q, k, v, mask)


def _of_tokens(change: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Everything right, but among the tokens another mask holds."""

    def attempt(q, k, v, prefix_k, prefix_v, mask):
        return _right(q, k, v, prefix_k, prefix_v, change(mask))

    return attempt


def _of_rows(change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Callable[..., Tensor]:
    """Everything right, but with other rows."""

    def attempt(q, k, v, prefix_k, prefix_v, mask):
        return _right(q, k, v, *change(prefix_k, prefix_v), mask)

    return attempt


def _in_order(keys: int, values: int, columns: int) -> Callable[..., Tensor]:
    """Rows before the tokens where an argument is 1, behind them where it is -1."""

    def attempt(q, k, v, prefix_k, prefix_v, mask):
        wide = torch.cat(
            [torch.ones_like(mask[:, :1]).expand(-1, prefix_k.shape[1]), mask][::columns], 1
        )
        k, v = torch.cat([prefix_k, k][::keys], 1), torch.cat([prefix_v, v][::values], 1)
        return _attend(q, k, v, wide)

    return attempt


PREFIX_ATTENTION = Exercise(
    solution=_right,
    inputs=_attention_inputs,
    mistakes={
        "the prefix changes nothing: the mask hides its columns, or they stand behind the tokens, "
        "where a causal mask hides them; every token sees every row": (
            lambda q, k, v, prefix_k, prefix_v, mask: _attend(q, k, v, mask)
        ),
        "the rows have keys but no values: they take attention and give nothing for it": _of_rows(
            lambda keys, values: (keys, 0 * values)
        ),
        "the rows have values but no keys: the query has to be compared with prefix_k": _of_rows(
            lambda keys, values: (0 * keys, values)
        ),
        "the rows' keys are used as their values, too; prefix_v holds the values": _of_rows(
            lambda keys, values: (keys, keys)
        ),
        "keys and values of the prefix are exchanged": _of_rows(
            lambda keys, values: (values, keys)
        ),
        "only the first row is there; the prefix has P of them": _of_rows(
            lambda keys, values: (keys[:, :1], values[:, :1])
        ),
        "all heads share the rows of the first one; each head has its own": _of_rows(
            lambda keys, values: (keys[:1].expand_as(keys), values[:1].expand_as(values))
        ),
        "all heads share the mean of their rows; each head has its own": _of_rows(
            lambda keys, values: tuple(r.mean(0, keepdim=True).expand_as(r) for r in (keys, values))
        ),
        "keys and mask have different orders: the rows stand behind the tokens, their columns in "
        "front": _in_order(-1, -1, 1),
        "keys and mask have different orders: the rows stand before the tokens, their columns "
        "behind": _in_order(1, 1, -1),
        "keys and values have different orders: the rows stand before the tokens in the keys, but "
        "behind them in the values": _in_order(1, -1, 1),
        "keys and values have different orders: the rows stand behind the tokens in the keys, but "
        "before them in the values": _in_order(-1, 1, -1),
        "the causal mask starts at the first row: query i sees the keys 0 to i, which are rows; it "
        "sees all rows and the tokens 0 to i": _from_the_first_key,
        "the rows come in turn, as if they were tokens beside the text; the first token sees all "
        "of them, too": _rows_in_turn,
        "causality is lost: the rows are seen by all, but the mask still holds for the tokens": (
            _of_tokens(torch.ones_like)
        ),
        "padding is seen: you made a new causal mask; go on with the mask that was given": (
            _of_tokens(lambda mask: torch.ones_like(mask).tril())
        ),
        "no token sees itself: the diagonal of a causal mask is 1; go on with the mask that was "
        "given": _of_tokens(lambda mask: torch.ones_like(mask).tril(-1)),
        "the mask is read the wrong way round: 1 is seen, 0 is hidden": _of_tokens(
            lambda mask: 1 - mask
        ),
        "the whole mask is read the wrong way round, so that no token sees a row: 1 is seen, 0 is "
        "hidden": lambda q, k, v, prefix_k, prefix_v, mask: _right(
            q, k, v, prefix_k, prefix_v, mask, weigh=lambda s, m, d: weigh(s, 1 - m, d)
        ),
        "lines and columns of the mask are exchanged: a line is a query, a column is a token that "
        "is seen": _of_tokens(lambda mask: mask.T),
        "there are two softmaxes, one over the rows and one over the tokens: both compete in one": (
            lambda **inputs: sum(_apart(**inputs))
        ),
        "you take the mean of two softmaxes, one over the rows and one over the tokens: both "
        "compete in one": lambda **inputs: sum(_apart(**inputs)) / 2,
        "the mean of the rows is added to the tokens' keys and values; rows stand beside the "
        "tokens": lambda q, k, v, prefix_k, prefix_v, mask: _attend(
            q, k + prefix_k.mean(1, keepdim=True), v + prefix_v.mean(1, keepdim=True), mask
        ),
        "softmax runs over the queries; for each query it runs over the keys, the last dimension": (
            lambda **inputs: _right(**inputs, weigh=lambda s, m, d: weigh(s.mT, m.mT, d).mT)
        ),
        "the rows ask, too: a prefix has keys and values but no queries, so T rows come out": (
            _rows_ask_too
        ),
    }
    | {message: partial(_right, weigh=wrong) for message, wrong in WRONG_WAYS.items()},
    praise="one softmax over rows and tokens; every token sees every row, and among the tokens "
    "the mask holds as before.",
    hint="With the rows there are P + T keys: values and mask have to be as wide. Rows and tokens "
    "stand side by side along dimension 1 of keys and values.",
)


def _count_inputs(draw: torch.Generator) -> dict[str, Any]:
    def one(low: int, high: int) -> int:
        return int(torch.randint(low, high, (1,), generator=draw))

    return {
        "width": one(30, 60),
        "layers": (5, 7, 11)[one(0, 3)],  # primes: no wrong factor looks like them
        "prefix_length": one(10, 20),
        "hidden": one(61, 99),
    }


def _rows(width: int, layers: int, prefix_length: int, hidden: int, each: int = 6) -> int:
    """`each` tensors of P rows in a layer: keys and values of three attentions are six."""
    return each * layers * prefix_length * width


def _mlp(
    width: int,
    layers: int,
    prefix_length: int,
    hidden: int,
    *,
    numbers: int = 2,
    biases: tuple[int, int] = (1, 1),
    table: int = 1,
) -> int:
    """Table, narrow map and wide map of one stack."""
    wide = numbers * layers * width
    narrow = table * prefix_length * width + width * hidden + biases[0] * hidden
    return narrow + hidden * wide + biases[1] * wide


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
        "that is one stack, and one of key and value; three attentions have both": (
            lambda **inputs: _rows(**inputs, each=1)
        ),
        "`layers` layers have each of the three attentions; you count them twice": (
            lambda **inputs: _rows(**inputs, each=12)
        ),
        "a row has a key and a value but no query: two numbers for each of the width": (
            lambda **inputs: _rows(**inputs, each=9)
        ),
        "the MLP is not stored: after training its output is kept and the MLP dropped": (
            lambda **inputs: 3 * _mlp(**inputs)
        ),
        "the MLP is not stored, and there is one for each of the three stacks": (
            lambda **inputs: _mlp(**inputs)
        ),
        "the small table is not stored: its rows went through the MLP, and what came out is kept": (
            lambda width, layers, prefix_length, hidden: (
                _rows(width, layers, prefix_length, hidden) + 3 * prefix_length * width
            )
        ),
        "the width of the MLP does not count here: keys and values are as wide as the model": (
            lambda width, layers, prefix_length, hidden: _rows(
                hidden, layers, prefix_length, hidden
            )
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
        "the biases of the two maps are missing": (
            lambda **inputs: 3 * _mlp(**inputs, biases=(0, 0))
        ),
        "the bias of the first map is missing, `hidden` numbers": (
            lambda **inputs: 3 * _mlp(**inputs, biases=(0, 1))
        ),
        "the bias of the second map is missing: one for each number that comes out": (
            lambda **inputs: 3 * _mlp(**inputs, biases=(1, 0))
        ),
        "a bias has one number for each that comes out of a map, not for each that goes in": (
            lambda width, layers, prefix_length, hidden: (
                3 * (_mlp(width, layers, prefix_length, hidden, biases=(0, 0)) + width + hidden)
            )
        ),
        "the wide map makes keys and values, 2 numbers for each of the width": (
            lambda **inputs: 3 * _mlp(**inputs, numbers=1)
        ),
        "the small table is missing: prefix_length rows of the width go into the MLP": (
            lambda **inputs: 3 * _mlp(**inputs, table=0)
        ),
        "there are three small tables, one for each stack": (
            lambda width, layers, prefix_length, hidden: (
                3 * _mlp(width, layers, prefix_length, hidden, table=0) + prefix_length * width
            )
        ),
        "the three tables share one MLP in your count; each stack has an MLP of its own": (
            lambda width, layers, prefix_length, hidden: (
                _mlp(width, layers, prefix_length, hidden) + 2 * prefix_length * width
            )
        ),
        "one table and one MLP make the rows of all three stacks in your count; each stack has its "
        "own": lambda **inputs: _mlp(**inputs, numbers=6),
        "the small table has rows of `width`; only inside the MLP there are `hidden` numbers": (
            lambda width, layers, prefix_length, hidden: (
                3 * (_mlp(width, layers, prefix_length, hidden, table=0) + prefix_length * hidden)
            )
        ),
        "the small table has rows of `width`, so the first map has `width` times `hidden` weights; "
        "you put `hidden` for both": (
            lambda width, layers, prefix_length, hidden: (
                3 * (prefix_length * hidden + hidden * hidden + hidden)
                + 3 * (hidden + 1) * 2 * layers * width
            )
        ),
        "the wide map makes one row at a time; prefix_length is no factor of its weights": (
            lambda width, layers, prefix_length, hidden: (
                3 * _mlp(width, layers * prefix_length, 1, hidden) + 3 * (prefix_length - 1) * width
            )
        ),
        "the wide map makes the numbers of all layers; you counted one layer": (
            lambda width, layers, prefix_length, hidden: 3 * _mlp(width, 1, prefix_length, hidden)
        ),
        "one MLP of a stack makes the numbers of all layers; you counted one for each layer": (
            lambda width, layers, prefix_length, hidden: (
                3 * layers * _mlp(width, 1, prefix_length, hidden, table=0)
                + 3 * prefix_length * width
            )
        ),
        "one table and one MLP of a stack serve all layers; you counted them for each layer": (
            lambda width, layers, prefix_length, hidden: (
                3 * layers * _mlp(width, 1, prefix_length, hidden)
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
