"""The exercises of lab 06: a prompt in every layer, and what the best of many runs is worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from peftlab.lessons.exercise import Exercise
from peftlab.lessons.weighing import WRONG_WAYS, Weigh, weigh

LAYERS = 10


def _deep_inputs(draw: torch.Generator) -> dict[str, Any]:
    """Sizes that all differ, and a layer that a wrong count does not hit by chance."""
    B, P, T, D = (3 + torch.randperm(4, generator=draw)).tolist()
    layer = 3 + 2 * int(torch.randint(3, (1,), generator=draw))  # 3, 5 or 7 of 0 to 9
    mask = torch.ones(B, T, dtype=torch.long)
    mask[1, 2:] = 0  # padding
    q, k, v = (torch.randn(B, T, D, generator=draw) for _ in range(3))
    prefix = torch.randn(P, 2 * LAYERS * D, generator=draw)
    return {"q": q, "k": k, "v": v, "mask": mask, "prefix": prefix, "layer": layer}


def _own(prefix: Tensor, layer: int, D: int) -> tuple[Tensor, Tensor]:
    """Keys and values of one layer, each (P, D)."""
    keys, values = prefix[:, 2 * D * layer : 2 * D * (layer + 1)].split(D, dim=1)
    return keys, values


def _attend(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, weigh: Weigh = weigh) -> Tensor:
    return weigh(q @ k.mT, seen, q.shape[-1]) @ v  # (B, T, D)


def _beside(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    seen: Tensor,
    keys: Tensor,
    values: Tensor,
    order: tuple[int, int, int] = (1, 1, 1),
    weigh: Weigh = weigh,
) -> Tensor:
    """Attention with rows, before the tokens of k, v and `seen` where `order` has a 1, else behind.

    `seen` is (B, 1, T), or (B, T, T).
    """
    rows = (keys.expand(len(q), -1, -1), values.expand(len(q), -1, -1))
    ones = torch.ones_like(seen[..., :1]).expand(*seen.shape[:2], len(keys))
    k, v = (torch.cat([r, x][::way], 1) for r, x, way in zip(rows, (k, v), order, strict=False))
    return _attend(q, k, v, torch.cat([ones, seen][:: order[2]], -1), weigh)


def _other(
    choose: Callable[[Tensor, int, int], tuple[Tensor, Tensor]] = _own,
    seen: Callable[[Tensor], Tensor] = lambda mask: mask,
    **options: Any,
) -> Callable[..., Tensor]:
    """The right attention with other rows than those of the layer, or with another mask."""

    def attempt(
        q: Tensor, k: Tensor, v: Tensor, mask: Tensor, prefix: Tensor, layer: int
    ) -> Tensor:
        rows = choose(prefix, layer, q.shape[-1])
        return _beside(q, k, v, seen(mask[:, None]), *rows, **options)

    return attempt


def _of_layers(prefix: Tensor, layers: slice, D: int) -> tuple[Tensor, Tensor]:
    """Keys and values of several layers, each (layers of them times P, D)."""
    keys, values = prefix.view(len(prefix), LAYERS, 2, D)[:, layers].unbind(2)
    return keys.flatten(0, 1), values.flatten(0, 1)


def _viewed(*sizes: int | None) -> Callable[..., Tensor]:
    """Columns in another order: None stands for the width, and LAYERS for the layer."""

    def choose(prefix: Tensor, layer: int, D: int) -> tuple[Tensor, Tensor]:
        parts = prefix.view(len(prefix), *(D if size is None else size for size in sizes))
        keys, values = parts.select(1 + sizes.index(LAYERS), layer).unbind(
            1 + [size for size in sizes if size != LAYERS].index(2)
        )
        return keys, values

    return _other(choose)


def _unseen(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, prefix: Tensor, layer: int) -> Tensor:
    return _attend(q, k, v, mask[:, None])


def _apart(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, prefix: Tensor, layer: int
) -> tuple[Tensor, Tensor]:
    """Two softmaxes, one over the rows and one over the tokens."""
    keys, values = _own(prefix, layer, q.shape[-1])
    rows = _attend(q, keys, values, mask.new_ones(1, len(keys)))
    return rows, _attend(q, k, v, mask[:, None])


def _added(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, prefix: Tensor, layer: int) -> Tensor:
    keys, values = (rows.mean(0) for rows in _own(prefix, layer, q.shape[-1]))
    return _attend(q, k + keys, v + values, mask[:, None])


def _causal(mask: Tensor) -> Tensor:
    T = mask.shape[-1]
    return mask * mask.new_ones(T, T).tril()


DEEP_ATTENTION = Exercise(
    solution=_other(),
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
        "you step over D columns for each layer below; it has 2 D, for keys and values": _other(
            lambda prefix, layer, D: (
                prefix[:, D * layer : D * (layer + 1)],
                prefix[:, D * (layer + 1) : D * (layer + 2)],
            )
        ),
        "you step over 2 columns for each layer below; it has 2 D": _other(
            lambda prefix, layer, D: (
                prefix[:, 2 * layer : 2 * layer + D],
                prefix[:, 2 * layer + D : 2 * layer + 2 * D],
            )
        ),
        "the rows of all layers are seen; each layer has only its own": _other(
            lambda prefix, layer, D: _of_layers(prefix, slice(None), D)
        ),
        "the rows of this layer and of all below it are seen; each layer has only its own": _other(
            lambda prefix, layer, D: _of_layers(prefix, slice(layer + 1), D)
        ),
        "only the first row is there; the prefix has P of them": _other(
            lambda prefix, layer, D: _own(prefix[:1], layer, D)
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
        "only the values come from the prefix; its keys are there, too": _other(
            lambda prefix, layer, D: (
                torch.zeros_like(_own(prefix, layer, D)[0]),
                _own(prefix, layer, D)[1],
            )
        ),
        "the rows' keys are used as their values, too; the next D columns are the values": _other(
            lambda prefix, layer, D: (_own(prefix, layer, D)[0],) * 2
        ),
        "the rows' values are used as their keys, too; the D columns before them are the keys": (
            _other(lambda prefix, layer, D: (_own(prefix, layer, D)[1],) * 2)
        ),
        "you take the keys of all layers to stand first; keys and values alternate by layer": (
            _viewed(2, LAYERS, None)
        ),
        "you take every second column of a layer as a key; the first D are keys, the next D are "
        "values": _viewed(LAYERS, None, 2),
        "you take the numbers of one column of all layers to stand side by side; those of one "
        "layer do": _viewed(2, None, LAYERS),
        "reshape mixes the rows: the lines of prefix are the P rows, so P stays the first size": (
            _other(
                lambda prefix, layer, D: tuple(
                    prefix.reshape(LAYERS, 2, len(prefix), D)[layer].unbind(0)
                )
            )
        ),
        "no token sees the prefix: it is missing, or the mask has zeros for it": _unseen,
        "the rows stand behind the tokens, but the ones in the mask stand before them": _other(
            order=(-1, -1, 1)
        ),
        "the rows stand before the tokens, but the ones in the mask stand behind them": _other(
            order=(1, 1, -1)
        ),
        "the rows stand before the tokens in the keys, but behind them in the values": _other(
            order=(1, -1, 1)
        ),
        "padding is seen again; the mask keeps its zeros, and only grows by ones": _other(
            seen=torch.ones_like
        ),
        "the mask is read the wrong way round: 1 is text, 0 is padding": _other(
            seen=lambda mask: 1 - mask
        ),
        "a causal mask is too much: each token sees all others here, before and behind it": _other(
            seen=_causal
        ),
        "the mask is multiplied with what comes out; it says which keys are seen": (
            lambda q, k, v, mask, prefix, layer: (
                _other()(q, k, v, mask, prefix, layer) * mask[..., None]
            )
        ),
        "rows and tokens have a softmax each; they share one, so that they compete": (
            lambda **inputs: sum(_apart(**inputs))
        ),
        "you take the mean of two softmaxes; rows and tokens share one, so that they compete": (
            lambda **inputs: sum(_apart(**inputs)) / 2
        ),
        "the mean of the rows is added to the tokens' keys and values; rows stand beside the "
        "tokens": _added,
        "the rows go through tanh; here they train themselves, and nothing makes them": _other(
            lambda prefix, layer, D: _own(prefix.tanh(), layer, D)
        ),
    }
    | {message: _other(weigh=wrong) for message, wrong in WRONG_WAYS.items()},
    praise="each layer has keys and values of its own, and they compete with the tokens' for the "
    "attention. Whether they stand before or behind the tokens makes no difference, as long as the "
    "mask goes along.",
    neutral={"layer": 0},
    hint="With the rows there are P + T keys: values and mask have to be as wide. prefix has no "
    "batch: expand its rows to (batch, P, D), then put them beside the tokens.",
)


def _search_inputs(draw: torch.Generator) -> dict[str, Any]:
    """Searches in which one run is clearly the best on the development set."""
    searches, runs, on_dev, on_test = (
        low + int(torch.randint(4, (1,), generator=draw)) for low in (5, 12, 60, 90)
    )
    p = round(0.6 + 0.1 * torch.rand(1, generator=draw).item(), 3)
    while True:
        dev, test = (torch.rand(searches, runs, n, generator=draw) for n in (on_dev, on_test))
        top = (dev < p).sum(-1).topk(2).values  # (searches, 2)
        if (top[:, 0] > top[:, 1]).all():
            return {"dev": dev, "test": test, "p": p}


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


def _by_both(dev: Tensor, test: Tensor, p: float) -> Tensor:
    on_dev, on_test = _accuracies(dev, p), _accuracies(test, p)
    best, each = (on_dev + on_test).argmax(1), torch.arange(len(dev))
    return torch.stack([on_dev[each, best], on_test[each, best]])


def _over_runs(dev: Tensor, test: Tensor, p: float) -> Tensor:
    """The best example, in place of the best run."""
    on_dev, on_test = ((x < p).float().mean(1) for x in (dev, test))
    best, each = on_dev.argmax(1), torch.arange(len(dev))
    return torch.stack([on_dev[each, best], on_test[each, best]])


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
        "you take the first run of each search; a search keeps the one that is best on dev": (
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
        "that is one run for all searches, the best of all; each search has its own best run": (
            lambda dev, test, p: torch.stack(
                [
                    x.flatten()[_accuracies(dev, p).argmax()].expand(len(dev))
                    for x in (_accuracies(dev, p), _accuracies(test, p))
                ]
            )
        ),
        "you choose the run on the test set; it is chosen on the development set": (
            lambda dev, test, p: search(test, dev, p).flip(0)
        ),
        "you choose the run on the test set and report that first; it is chosen on the development "
        "set": lambda dev, test, p: search(test, dev, p),
        "you choose by development and test set together; the test set comes after the choice": (
            _by_both
        ),
        "these are the numbers of the best runs, and not their accuracies": (
            lambda dev, test, p: torch.stack([_accuracies(x, p).argmax(1) for x in (dev, test)])
        ),
        "on_dev[:, best] takes the best runs of all searches from each search; take one of each, "
        "[torch.arange(searches), best]": (
            lambda dev, test, p: torch.stack(
                [_accuracies(x, p)[:, _accuracies(dev, p).argmax(1)] for x in (dev, test)]
            )
        ),
        "the mean goes over the examples, the last dimension; you average over the runs": (
            _over_runs
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
        "an accuracy is a share from 0 to 1; you give it in percent": (
            lambda dev, test, p: 100 * search(dev, test, p)
        ),
        "that is the share of wrong answers; an accuracy is the share of right ones": (
            lambda dev, test, p: 1 - search(dev, test, p)
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
    hint="A comparison gives True and False; .float() makes numbers of them, which have a mean.",
)
