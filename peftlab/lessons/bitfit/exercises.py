"""The exercises of lab 07: what trains, why the key's bias cannot learn, and why it moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from peftlab.lessons.exercise import Exercise, whole_numbers
from peftlab.lessons.weighing import WRONG_WAYS, Weigh, weigh


def _counting(
    widths: int = 7, mlp_widths: int = 1, outside: int = 0, head: int = 2, layers: int | None = None
) -> Callable[..., int]:
    """A count with some other numbers.

    Seven kinds have the layer's width: query, key, value, attention output, MLP out and two
    LayerNorms. One has the MLP's width: MLP in. `outside` are further vectors of the width, `head`
    is 0 for none, 1 for its bias alone, 2 for all of it, 3 for its weight alone, 4 for its weight
    and a bias of the width.
    """

    def count(width: int, mlp_width: int, labels: int, **more: int) -> int:
        depth = layers or more["layers"]
        weight = labels * width
        heads = (0, labels, weight + labels, weight, weight + width)[head]
        return depth * (widths * width + mlp_widths * mlp_width) + outside * width + heads

    return count


BITFIT_COUNT = Exercise(
    solution=_counting(),
    inputs=whole_numbers(width=(64, 512), mlp_width=(600, 1000), layers=(5, 13), labels=(3, 9)),
    mistakes={
        "the head is forgotten: it is new, and trains with its weight and its bias": _counting(
            head=0
        ),
        "of the head only the bias is counted; the head is new, so its weight trains too": (
            _counting(head=1)
        ),
        "of the head only the weight is counted; it has a bias, too": _counting(head=3),
        "the head's bias has one entry for each label, not for each feature": _counting(head=4),
        "the gains of the two LayerNorms are counted as biases; they are weights and stay frozen": (
            _counting(widths=9)
        ),
        "the biases of the two LayerNorms are missing": _counting(widths=5),
        "one bias of the width is missing in each layer: go through all eight kinds; the key's is "
        "counted too, though it has no effect": _counting(widths=6),
        "one bias of the width is too many in each layer: seven kinds have the width, one has "
        "mlp_width": _counting(widths=8),
        "the bias on the MLP's way in has mlp_width entries, as many as its outputs": _counting(
            widths=8, mlp_widths=0
        ),
        "11 times the width is BERT's own count, where the MLP is four times as wide; here it is "
        "mlp_width": _counting(widths=11, mlp_widths=0),
        "the bias on the MLP's way out has width entries, as many as its outputs": _counting(
            widths=6, mlp_widths=2
        ),
        "the bias on the MLP's way in is missing": _counting(mlp_widths=0),
        "the bias on the MLP's way out and those of the two LayerNorms are missing": _counting(
            widths=4
        ),
        "that is the attention alone; the MLP has two biases, and each LayerNorm one": _counting(
            widths=4, mlp_widths=0
        ),
        "the LayerNorm behind the embeddings is counted; leave it out here": _counting(outside=1),
        "the LayerNorm behind the embeddings and the pooler are counted; leave them out here": (
            _counting(outside=2)
        ),
        "that is a single layer: every one of the layers has biases of its own": _counting(
            layers=1
        ),
    },
    praise="seven biases of the width and one of the MLP's width in each layer, and the head.",
)


def _shift_inputs(draw: torch.Generator) -> dict[str, Any]:
    queries, keys, d = (3, 5, 4) if draw.initial_seed() else (4, 6, 3)
    shapes = {"q": (queries, d), "k": (keys, d), "v": (keys, d), "b": (d,)}
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


Keys = Callable[[Tensor, Tensor], Tensor]  # from the keys and the bias


def _behind_first(k: Tensor, b: Tensor) -> Tensor:
    return torch.cat([k[:1], k[1:] + b])


def _attending(keys: Keys = _behind_first, weigh: Weigh = weigh) -> Callable[..., Tensor]:
    def attempt(q: Tensor, k: Tensor, v: Tensor, b: Tensor) -> Tensor:
        scores = q @ keys(k, b).T
        return weigh(scores, torch.ones_like(scores), q.shape[-1]) @ v

    return attempt


def _scores_shifted(scaled: bool) -> Callable[..., Tensor]:
    """The bias as a shift of the scores, once forgotten when they are divided."""

    def attempt(q: Tensor, k: Tensor, v: Tensor, b: Tensor) -> Tensor:
        root = q.shape[-1] ** 0.5
        shift = (q @ b)[:, None].expand(-1, len(k)).clone()
        shift[:, 0] = 0
        return torch.softmax(q @ k.T / root + (shift / root if scaled else shift), -1) @ v

    return attempt


def _prepended(row: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """The text read another way: a new row in front of all keys, each of which gets the bias."""

    def attempt(q: Tensor, k: Tensor, v: Tensor, b: Tensor) -> Tensor:
        keys, values = torch.cat([row(k), k + b]), torch.cat([row(v), v])
        return torch.softmax(q @ keys.T / q.shape[-1] ** 0.5, -1) @ values

    return attempt


KEY_SHIFT = Exercise(
    solution=_attending(),
    inputs=_shift_inputs,
    mistakes={
        "the bias is on every key or on none, which is the same by the proof above; it belongs on "
        "all keys but the first": _attending(lambda k, b: k + b),
        "the bias is on the queries; it belongs to the keys": lambda q, k, v, b: _attending(
            lambda k, b: k
        )(q + b, k, v, b),
        "the bias is on the values; it belongs to the keys": lambda q, k, v, b: _attending(
            lambda k, b: k
        )(q, k, torch.cat([v[:1], v[1:] + b]), b),
        "the bias is on all the values; it belongs to the keys": lambda q, k, v, b: _attending(
            lambda k, b: k
        )(q, k, v + b, b),
        "the bias is on keys and values; it belongs to the keys alone": (
            lambda q, k, v, b: _attending()(q, k, torch.cat([v[:1], v[1:] + b]), b)
        ),
        "the bias is on keys and values; it belongs to the keys but the first, and to no value": (
            lambda q, k, v, b: _attending()(q, k, v + b, b)
        ),
        "the first query is left out; it is the first key that has no bias": (
            lambda q, k, v, b: _attending(lambda k, b: k)(torch.cat([q[:1], q[1:] + b]), k, v, b)
        ),
        "you divide by the root of the number of queries; it is the root of d, the width": (
            lambda q, k, v, b: (q @ _behind_first(k, b).T / len(q) ** 0.5).softmax(-1) @ v
        ),
        "the bias is on the first key alone, or subtracted from the others, which is the same by "
        "the proof above; it is added to all keys but the first": _attending(
            lambda k, b: torch.cat([k[:1] + b, k[1:]])
        ),
        "the last key has no bias; it is the first that has none": _attending(
            lambda k, b: torch.cat([k[:-1] + b, k[-1:]])
        ),
        "the first key is dropped; it stays, without the bias": lambda q, k, v, b: _attending(
            lambda k, b: k
        )(q, k[1:], v[1:], b),
        "a row is put in front; the first row of k is the prefix already": _prepended(
            lambda x: torch.zeros_like(x[:1])
        ),
        "the first row is put in front once more; it is the prefix already": _prepended(
            lambda x: x[:1]
        ),
        "the bias is added to the scores as q b, without the division; it is a part of the key, "
        "and q (k + b) is divided as a whole": _scores_shifted(False),
        "the softmax runs over the queries; it runs over the keys, the last dimension": (
            _attending(weigh=lambda scores, mask, d: (scores / d**0.5).softmax(0))
        ),
        **{
            message: _attending(weigh=way)
            for message, way in WRONG_WAYS.items()
            if "mask" not in message
        },
    },
    hint="k[:1] and k[1:] + b put together again have the shape of k.",
    praise="a key that the bias does not reach breaks the symmetry, and the key's bias can learn.",
)


def _adam_inputs(draw: torch.Generator) -> dict[str, Any]:
    sizes = torch.tensor([1e-2, 1e-4, 1e-6, 1e-8, 1e-10])
    # large rates, so that a check sees small differences
    rate, eps = (3.0, 3e-8) if draw.initial_seed() else (2.0, 1e-8)
    return {"gradient": torch.randn(2, 5, generator=draw) * sizes, "rate": rate, "eps": eps}


def _adam(root: Callable[[Tensor, float], Tensor], size: float = 1.0) -> Callable[..., Tensor]:
    """The first step with some other denominator, and a first moment of that size."""

    def attempt(gradient: Tensor, rate: float, eps: float) -> Tensor:
        return -rate * size * gradient / root(gradient, eps)

    return attempt


ADAM_STEP = Exercise(
    solution=_adam(lambda g, eps: g.abs() + eps),
    inputs=_adam_inputs,
    mistakes={
        "the sign is wrong: a step goes against the gradient": _adam(
            lambda g, eps: g.abs() + eps, -1.0
        ),
        "that is a step of plain gradient descent; Adam divides by the root of v": _adam(
            lambda g, eps: torch.ones_like(g)
        ),
        "eps is missing: without it noise of any size makes a whole step": _adam(
            lambda g, eps: g.abs()
        ),
        "eps stands under the root; it is added to the root": _adam(
            lambda g, eps: (g**2 + eps).sqrt()
        ),
        "the root of a square is the size without its sign: gradient.abs()": _adam(
            lambda g, eps: g + eps
        ),
        "you multiply by the root of v; Adam divides by it": _adam(
            lambda g, eps: 1 / (g.abs() + eps)
        ),
        "every number of the gradient has a v of its own; you take one for the whole tensor": _adam(
            lambda g, eps: g.norm() + eps
        ),
        "after the first step the averages hold 0.1 of g and 0.001 of g^2; these are the numbers "
        "to divide by, not 0.9 and 0.999": _adam(
            lambda g, eps: (0.001 / 0.999) ** 0.5 * g.abs() + eps, 0.1 / 0.9
        ),
        "the sign is wrong, and the corrections are missing: divide m by 0.1 and v by 0.001": _adam(
            lambda g, eps: 0.001**0.5 * g.abs() + eps, -0.1
        ),
        "the root is missing: v is the square of the gradient": _adam(lambda g, eps: g**2 + eps),
        "the corrections are missing: at the first step m is 0.1 g and v is 0.001 g^2; divide them "
        "by 0.1 and by 0.001": _adam(lambda g, eps: 0.001**0.5 * g.abs() + eps, 0.1),
        "of the corrections that of v is missing: v is 0.001 g^2; divide it by 0.001": _adam(
            lambda g, eps: 0.001**0.5 * g.abs() + eps
        ),
        "of the corrections that of m is missing: m is 0.1 g; divide it by 0.1": _adam(
            lambda g, eps: g.abs() + eps, 0.1
        ),
        "the rate is missing": lambda gradient, rate, eps: -gradient / (gradient.abs() + eps),
    },
    neutral={"eps": None},
    praise="a gradient far above eps moves its parameter by the whole rate, however small it is.",
)
