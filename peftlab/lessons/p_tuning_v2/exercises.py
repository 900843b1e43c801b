"""The exercises of lab 06: a prompt in every layer, and what the best of many runs is worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from peftlab.lessons.exercise import Exercise

LAYERS = 7


def _deep_inputs(draw: torch.Generator) -> dict[str, Any]:
    B, T, D, P = 2, 5, 4, 3
    mask = torch.ones(B, T, dtype=torch.long)
    mask[1, 3:] = 0  # padding
    q, k, v = (torch.randn(B, T, D, generator=draw) for _ in range(3))
    prefix = torch.randn(P, 2 * LAYERS * D, generator=draw)
    return {"q": q, "k": k, "v": v, "mask": mask, "prefix": prefix, "layer": 2}


def _own(prefix: Tensor, layer: int, D: int) -> tuple[Tensor, Tensor]:
    """Keys and values of one layer, each (P, D)."""
    keys, values = prefix[:, 2 * D * layer : 2 * D * (layer + 1)].split(D, dim=1)
    return keys, values


def _attend(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, scale: float | None = None) -> Tensor:
    scores = q @ k.mT / (scale or q.shape[-1] ** 0.5)  # (B, T, P + T)
    return scores.masked_fill(seen[:, None] == 0, -torch.inf).softmax(-1) @ v


def _with_rows(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, keys: Tensor, values: Tensor, one: int = 1
) -> Tensor:
    """Attention with rows before the tokens; `one` is what the mask has for them."""
    B, P = len(q), len(keys)
    k, v = (torch.cat([r.expand(B, -1, -1), x], 1) for r, x in ((keys, k), (values, v)))
    return _attend(q, k, v, torch.cat([mask.new_full((B, P), one), mask], 1))


def _other(choose: Callable[[Tensor, int, int], tuple[Tensor, Tensor]]) -> Callable[..., Tensor]:
    """The right attention with other rows than those of the layer."""

    def attempt(
        q: Tensor, k: Tensor, v: Tensor, mask: Tensor, prefix: Tensor, layer: int
    ) -> Tensor:
        return _with_rows(q, k, v, mask, *choose(prefix, layer, q.shape[-1]))

    return attempt


def _unseen(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, prefix: Tensor, layer: int) -> Tensor:
    return _with_rows(q, k, v, mask, *_own(prefix, layer, q.shape[-1]), one=0)


def _behind(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, prefix: Tensor, layer: int) -> Tensor:
    keys, values = _own(prefix, layer, q.shape[-1])
    B, P = len(q), len(keys)
    k, v = (torch.cat([x, r.expand(B, -1, -1)], 1) for r, x in ((keys, k), (values, v)))
    return _attend(q, k, v, torch.cat([mask.new_ones(B, P), mask], 1))


def _no_padding(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, prefix: Tensor, layer: int
) -> Tensor:
    return _with_rows(q, k, v, torch.ones_like(mask), *_own(prefix, layer, q.shape[-1]))


def _apart(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, prefix: Tensor, layer: int) -> Tensor:
    """Two softmaxes, one over the rows and one over the tokens."""
    keys, values = _own(prefix, layer, q.shape[-1])
    rows = _attend(q, keys.expand(len(q), -1, -1), values, mask.new_ones(len(q), len(keys)))
    return rows + _attend(q, k, v, mask)


def _unscaled(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, prefix: Tensor, layer: int) -> Tensor:
    return _other(_own)(q * q.shape[-1] ** 0.5, k, v, mask, prefix, layer)


DEEP_ATTENTION = Exercise(
    solution=_other(_own),
    inputs=_deep_inputs,
    mistakes={
        "every layer gets the rows of the first one; layer l has columns of its own": _other(
            lambda prefix, layer, D: _own(prefix, 0, D)
        ),
        "these are the rows of the next layer; layers are counted from 0 here": _other(
            lambda prefix, layer, D: _own(prefix, layer + 1, D)
        ),
        "these are the rows of the layer below; layers are counted from 0 here": _other(
            lambda prefix, layer, D: _own(prefix, layer - 1, D)
        ),
        "you count the layers from the last one; the first columns belong to the first layer": (
            _other(lambda prefix, layer, D: _own(prefix, LAYERS - 1 - layer, D))
        ),
        "keys and values are exchanged: of a layer's 2 D columns the first D are keys": _other(
            lambda prefix, layer, D: _own(prefix, layer, D)[::-1]
        ),
        "only the keys come from the prefix; its values are there, too": _other(
            lambda prefix, layer, D: (
                _own(prefix, layer, D)[0],
                torch.zeros_like(_own(prefix, layer, D)[0]),
            )
        ),
        "the rows' keys are used as their values, too; the next D columns are the values": _other(
            lambda prefix, layer, D: (_own(prefix, layer, D)[0],) * 2
        ),
        "you take the keys of all layers to stand first; keys and values alternate by layer": (
            _other(
                lambda prefix, layer, D: (
                    prefix[:, D * layer : D * (layer + 1)],
                    prefix[:, D * (LAYERS + layer) : D * (LAYERS + layer + 1)],
                )
            )
        ),
        "no token sees the prefix: it is missing, or the mask has zeros for it": _unseen,
        "the rows stand behind the tokens, but the ones in the mask stand before them": _behind,
        "padding is seen again; the mask keeps its zeros, and only grows by ones": _no_padding,
        "rows and tokens have a softmax each; they share one, so that they compete": _apart,
        "the scores are not divided by the square root of D": _unscaled,
        "the rows go through tanh; here they train themselves, and nothing makes them": _other(
            lambda prefix, layer, D: _own(prefix.tanh(), layer, D)
        ),
    },
    praise="each layer has keys and values of its own, and they compete with the tokens' for the "
    "attention. Whether they stand before or behind the tokens makes no difference, as long as the "
    "mask goes along.",
    neutral={"layer": 0},
)


def _search_inputs(draw: torch.Generator) -> dict[str, Any]:
    """Searches in which one run is clearly the best on the development set."""
    while True:
        dev, test = (torch.rand(5, 12, n, generator=draw) for n in (60, 90))
        top = (dev < 0.7).sum(-1).topk(2).values  # (searches, 2)
        if (top[:, 0] > top[:, 1]).all():
            return {"dev": dev, "test": test, "p": 0.7}


def _accuracies(draws: Tensor, p: float) -> Tensor:
    return (draws < p).float().mean(-1)


def _two(reported: Tensor, honest: Tensor, searches: int) -> Tensor:
    return torch.stack([x.float().expand(searches) for x in (reported, honest)])


def search(dev: Tensor, test: Tensor, p: float) -> Tensor:
    """What a search reports when all of its runs are truly as good: the solution of exercise 2.

    Args:
        dev: numbers from 0 to 1, (searches, runs, examples of the development set); a run is right
            on an example where its number is below p.
        test: the same for the examples of the test set.
        p: the true accuracy of every run.

    Returns:
        (2, searches): for each search the accuracy of its best run on the development set, and that
        of the same run on the test set.
    """
    on_dev, on_test = _accuracies(dev, p), _accuracies(test, p)  # (searches, runs)
    best = on_dev.argmax(1)
    each = torch.arange(len(best))
    return torch.stack([on_dev[each, best], on_test[each, best]])


def _worst(dev: Tensor, test: Tensor, p: float) -> Tensor:
    on_dev, on_test = _accuracies(dev, p), _accuracies(test, p)
    worst = on_dev.argmin(1)
    each = torch.arange(len(worst))
    return torch.stack([on_dev[each, worst], on_test[each, worst]])


BEST_OF_MANY = Exercise(
    solution=search,
    inputs=_search_inputs,
    mistakes={
        "the first row is the mean of the runs; a search reports its best run": (
            lambda dev, test, p: torch.stack([_accuracies(dev, p).mean(1), search(dev, test, p)[1]])
        ),
        "both rows are means over all runs; a search keeps its best run": (
            lambda dev, test, p: torch.stack(
                [_accuracies(dev, p).mean(1), _accuracies(test, p).mean(1)]
            )
        ),
        "you report the true accuracy p; the search sees only its development set": (
            lambda dev, test, p: torch.full((2, len(dev)), float(p))
        ),
        "every run has the same noise: you look at the first run's examples for all": (
            lambda dev, test, p: torch.stack(
                [_accuracies(dev[:, 0], p), _accuracies(test[:, 0], p)]
            )
        ),
        "the second row is of the development set again; the test set is fresh": (
            lambda dev, test, p: search(dev, test, p)[[0, 0]]
        ),
        "you choose on the test set a second time; the run is chosen on the development set": (
            lambda dev, test, p: torch.stack(
                [_accuracies(dev, p).max(1).values, _accuracies(test, p).max(1).values]
            )
        ),
        "you keep the worst run of each search": _worst,
        "that is the best of all searches together; each search has a best run of its own": (
            lambda dev, test, p: _two(_accuracies(dev, p).max(), search(dev, test, p)[1], len(dev))
        ),
        "you choose one run for all searches; each search chooses by itself": (
            lambda dev, test, p: torch.stack(
                [
                    x[:, _accuracies(dev, p).mean(0).argmax()]
                    for x in (_accuracies(dev, p), _accuracies(test, p))
                ]
            )
        ),
        "the two rows are exchanged: first the development set, then the test set": (
            lambda dev, test, p: search(dev, test, p).flip(0)
        ),
        "a run is right where its number is below p, not above it": lambda dev, test, p: search(
            1 - dev, 1 - test, 1 - p
        ),
        "the second row is the mean of all runs on the test set, not that of the chosen one": (
            lambda dev, test, p: torch.stack(
                [_accuracies(dev, p).max(1).values, _accuracies(test, p).mean(1)]
            )
        ),
        "you count right answers; an accuracy is their share of the examples": (
            lambda dev, test, p: (
                search(dev, test, p) * torch.tensor([[dev.shape[2]], [test.shape[2]]])
            )
        ),
    },
    praise="the first number is what gets printed, the second what a user gets. All runs were "
    "equally good, so that the whole difference is luck that was selected.",
    neutral={"p": 0.0},
)
