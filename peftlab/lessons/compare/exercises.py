"""The exercises of lab 09: the gated form of a prefix, what is forgotten, and the front."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from peftlab.lessons.exercise import Exercise


def _gate_inputs(draw: torch.Generator) -> dict[str, Any]:
    """One head; all sizes differ."""
    P, d, T, K = (3 + torch.randperm(4, generator=draw)).tolist()
    q, k, v = (torch.randn(n, d, generator=draw) for n in (T, K, K))
    prefix_k, prefix_v = (torch.randn(P, d, generator=draw) for _ in range(2))
    h = (q @ k.T / d**0.5).softmax(-1) @ v
    return {"h": h, "q": q, "k": k, "prefix_k": prefix_k, "prefix_v": prefix_v}


def _scores(q: Tensor, keys: Tensor, scale: float = 0.5) -> Tensor:
    return q @ keys.T / q.shape[-1] ** scale


def _share(rows: Tensor, tokens: Tensor) -> Tensor:
    """lambda: what the rows get of a softmax over rows and tokens, (T, 1)."""
    both = torch.cat([rows, tokens], -1).softmax(-1)
    return both[:, : rows.shape[-1]].sum(-1, keepdim=True)


def gated(h: Tensor, q: Tensor, k: Tensor, prefix_k: Tensor, prefix_v: Tensor) -> Tensor:
    """Write attention with a prefix as a gated sum: (1 - lambda) h + lambda softmax(q P_k) P_v.

    He, Zhou, Ma, Berg-Kirkpatrick, Neubig (2022), arXiv 2110.04366, equation (5).

    Args:
        h: what attention gives without the prefix, (T, d).
        q: queries, (T, d).
        k: keys of the tokens, (K, d).
        prefix_k: keys of the rows, (P, d).
        prefix_v: values of the rows, (P, d).

    Returns:
        What attention gives with the prefix, (T, d).
    """
    rows = _scores(q, prefix_k)
    share = _share(rows, _scores(q, k))
    return (1 - share) * h + share * (rows.softmax(-1) @ prefix_v)


def _with_share(change: Any) -> Any:
    """Everything right, but for the gate."""

    def attempt(h, q, k, prefix_k, prefix_v):
        rows, tokens = _scores(q, prefix_k), _scores(q, k)
        share = change(rows, tokens)
        return (1 - share) * h + share * (rows.softmax(-1) @ prefix_v)

    return attempt


def _with_rows(change: Any) -> Any:
    """Everything right, but for what the rows answer."""

    def attempt(h, q, k, prefix_k, prefix_v):
        rows = _scores(q, prefix_k)
        share = _share(rows, _scores(q, k))
        return (1 - share) * h + share * change(rows, prefix_k, prefix_v)

    return attempt


def _ungated(h, q, k, prefix_k, prefix_v):
    return h + _scores(q, prefix_k).softmax(-1) @ prefix_v


def _added(h, q, k, prefix_k, prefix_v):
    rows = _scores(q, prefix_k)
    return h + _share(rows, _scores(q, k)) * (rows.softmax(-1) @ prefix_v)


def _twice_gated(h, q, k, prefix_k, prefix_v):
    rows = _scores(q, prefix_k)
    share = _share(rows, _scores(q, k))
    return (1 - share) * h + share * (share * rows.softmax(-1) @ prefix_v)


def _rows_unscaled(h, q, k, prefix_k, prefix_v):
    rows = _scores(q, prefix_k, 0.0)
    share = _share(rows, _scores(q, k))
    return (1 - share) * h + share * (rows.softmax(-1) @ prefix_v)


def _rescaled(gate: float, rows: float) -> Any:
    """Scores divided by another power of d, in the gate and in what the rows answer."""

    def attempt(h, q, k, prefix_k, prefix_v):
        share = _share(_scores(q, prefix_k, gate), _scores(q, k, gate))
        return (1 - share) * h + share * (_scores(q, prefix_k, rows).softmax(-1) @ prefix_v)

    return attempt


GATED = Exercise(
    solution=gated,
    inputs=_gate_inputs,
    mistakes={
        "the rows' answer is added, and nothing is taken from h for it: where is 1 - lambda?": (
            _added
        ),
        "there is no gate: h and the rows' answer are just added": _ungated,
        "the gate is the wrong way round: lambda is the share of the rows": _with_share(
            lambda rows, tokens: 1 - _share(rows, tokens)
        ),
        "lambda is P / (P + K), as if attention were spread evenly; it is what the softmax over "
        "rows and tokens gives to the rows": _with_share(
            lambda rows, tokens: rows.shape[1] / (rows.shape[1] + tokens.shape[1])
        ),
        "lambda is one number for all queries; each query has its own": _with_share(
            lambda rows, tokens: rows.exp().sum() / (rows.exp().sum() + tokens.exp().sum())
        ),
        "lambda is averaged over the queries; each has its own": _with_share(
            lambda rows, tokens: _share(rows, tokens).mean()
        ),
        "lambda is only the largest share of a row; add up what all rows get": _with_share(
            lambda rows, tokens: (
                torch.cat([rows, tokens], -1).softmax(-1)[:, : rows.shape[1]].amax(-1, keepdim=True)
            )
        ),
        "lambda is the mean over the rows of what each gets; add it up": _with_share(
            lambda rows, tokens: _share(rows, tokens) / rows.shape[1]
        ),
        "lambda is what the first P of all get, and the tokens stand first here; put the rows "
        "first, or take the last P": _with_share(
            lambda rows, tokens: (
                torch.cat([tokens, rows], -1).softmax(-1)[:, : rows.shape[1]].sum(-1, keepdim=True)
            )
        ),
        "lambda compares sums of scores; it compares sums of their exponentials": _with_share(
            lambda rows, tokens: (
                rows.sum(-1, keepdim=True)
                / (rows.sum(-1, keepdim=True) + tokens.sum(-1, keepdim=True))
            )
        ),
        "lambda compares means of exponentials; it compares their sums, so that more rows get "
        "more": _with_share(
            lambda rows, tokens: (
                rows.exp().mean(-1, keepdim=True)
                / (rows.exp().mean(-1, keepdim=True) + tokens.exp().mean(-1, keepdim=True))
            )
        ),
        "lambda is the rows' sum over the tokens' sum; it is over both together": _with_share(
            lambda rows, tokens: (
                rows.exp().sum(-1, keepdim=True) / tokens.exp().sum(-1, keepdim=True)
            )
        ),
        "the rows' answer is not normalised: its weights are a softmax over the rows, and sum to "
        "1": _with_rows(lambda rows, keys, values: rows.exp() @ values),
        "the rows' answer is their mean; it is weighted by a softmax over the rows": _with_rows(
            lambda rows, keys, values: values.mean(0, keepdim=True).expand(len(rows), -1)
        ),
        "the rows answer with their keys; prefix_v holds what they answer": _with_rows(
            lambda rows, keys, values: rows.softmax(-1) @ keys
        ),
        "the softmax over the rows runs along the queries; take the last dimension": _with_rows(
            lambda rows, keys, values: rows.softmax(0) @ values
        ),
        "the gate is there twice in the rows' answer": _twice_gated,
        "the scale is missing: scores are divided by the root of d": _rescaled(0.0, 0.0),
        "the scale is missing in the rows' scores: they are divided by the root of d, too": (
            _rows_unscaled
        ),
        "the scale is missing in lambda: all scores are divided by the root of d": _rescaled(
            0, 0.5
        ),
        "the scale is missing in what the rows answer: all scores are divided by the root of d": (
            _rescaled(0.5, 0.0)
        ),
        "scores are divided by d; it is the root of d": _rescaled(1.0, 1.0),
    },
    praise="that is attention with the prefix, exactly: what the rows get is taken from what the "
    "tokens had.",
    hint="lambda is a sum over the rows, of shape (T, 1): sum(-1, keepdim=True).",
    infinite="look for exponentials of scores that were not divided by the root of d",
)


def _reading_inputs(draw: torch.Generator) -> dict[str, Any]:
    """Logits on three texts, two of them padded; either the trained or the plain model is best."""
    trained_is_best = torch.rand((), generator=draw) < 0.5
    B, T, V = 3, 6, 11
    ids = torch.randint(V, (B, T), generator=draw)
    mask = torch.ones(B, T, dtype=torch.long)
    mask[0, 3:], mask[1, 5:] = 0, 0
    logits = [torch.randn(B, T, V, generator=draw) for _ in range(3)]
    best = logits[2 if trained_is_best else 0]
    best[:, :-1] += 2 * F.one_hot(ids[:, 1:], V)
    names = ("plain", "fresh", "trained")
    return dict(zip(names, logits, strict=True)) | {"ids": ids, "mask": mask}


def _loss(logits: Tensor, ids: Tensor, mask: Tensor, shift: int = 1, pads: bool = False) -> Tensor:
    """Mean loss over the tokens that a text has, predicted from the token before."""
    given = logits[:, : logits.shape[1] - shift] if shift >= 0 else logits[:, -shift:]
    wanted = ids[:, shift:] if shift >= 0 else ids[:, :shift]
    real = mask[:, shift:] if shift >= 0 else mask[:, -shift:]
    kept = torch.ones_like(real).bool() if pads else real.bool()
    return F.cross_entropy(given[kept], wanted[kept])


def forgotten(plain: Tensor, fresh: Tensor, trained: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Say by how much the loss on a text has grown.

    Args:
        plain: logits with the method disabled, (B, T, V).
        fresh: logits with the method attached and not trained yet, (B, T, V).
        trained: logits after training, (B, T, V).
        ids: of the texts, (B, T).
        mask: 1 for a token, 0 for padding, which stands on the right, (B, T).

    Returns:
        Nats a token, one number.
    """
    return _loss(trained, ids, mask) - _loss(plain, ids, mask)


def _faulty(plain, fresh, trained, ids, mask):
    return _loss(trained, ids, mask, 0) - _loss(fresh, ids, mask, 0)


def _by_text(plain, fresh, trained, ids, mask):
    """Each text counts the same, however long it is."""
    own = [slice(i, i + 1) for i in range(len(ids))]
    grown = [forgotten(plain[i], fresh[i], trained[i], ids[i], mask[i]) for i in own]
    return torch.stack(grown).mean()


def _grown(loss: Any) -> Any:
    """The difference of another loss."""
    return lambda plain, fresh, trained, ids, mask: (
        loss(trained, ids, mask) - loss(plain, ids, mask)
    )


def _half_shifted(logits: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """The mask stands where the logits do, so that the first padding is counted."""
    real = mask[:, :-1].bool()
    return F.cross_entropy(logits[:, :-1][real], ids[:, 1:][real])


def _flat(logits: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """All texts in one row are shifted, so that a text's last token predicts the next text."""
    real = mask.bool()
    return F.cross_entropy(logits[real][:-1], ids[real][1:])


def _of(before: str, shift: int = 1, pads: bool = False) -> Any:
    def attempt(plain, fresh, trained, ids, mask):
        start = {"plain": plain, "fresh": fresh}[before]
        return _loss(trained, ids, mask, shift, pads) - _loss(start, ids, mask, shift, pads)

    return attempt


FORGOTTEN = Exercise(
    solution=forgotten,
    inputs=_reading_inputs,
    mistakes={
        "both faults are still there: what is the model's answer before the method, and which "
        "token do the logits at token t predict?": _faulty,
        "before is measured with the fresh method attached; a fresh prompt or prefix changes what "
        "the model says, so before is the plain model": _of("fresh"),
        "the logits at token t are held against token t, which the model has just read; they "
        "predict token t + 1": _of("plain", 0),
        "the shift goes the wrong way: the logits at token t predict token t + 1, not t - 1": _of(
            "plain", -1
        ),
        "padding is counted: mask says which tokens are real": _of("plain", pads=True),
        "the plain model and the trained one are exchanged: forgetting makes the loss grow": (
            lambda **given: -forgotten(**given)
        ),
        "this is the loss after training alone; take the plain model's from it": (
            lambda plain, fresh, trained, ids, mask: _loss(trained, ids, mask)
        ),
        "this is a ratio of two losses; take their difference": (
            lambda plain, fresh, trained, ids, mask: (
                _loss(trained, ids, mask) / _loss(plain, ids, mask)
            )
        ),
        "each text counts the same here; average over all real tokens": _by_text,
        "mask is not shifted: a token is predicted, so mask stands where ids do, mask[:, 1:]": (
            _grown(_half_shifted)
        ),
        "the texts are put in one row before the shift, so that the end of one predicts the next; "
        "shift each text": _grown(_flat),
        "this is a sum over the tokens; take the mean, in nats a token": _grown(
            lambda logits, ids, mask: _loss(logits, ids, mask) * mask[:, 1:].sum()
        ),
        "the sum is divided by all real tokens; the first of each text is not predicted": _grown(
            lambda logits, ids, mask: _loss(logits, ids, mask) * mask[:, 1:].sum() / mask.sum()
        ),
        "padding is counted, and the logits at token t are held against token t": _of(
            "plain", 0, pads=True
        ),
        "below 0 is an answer, too: here the trained model reads better than the plain one": (
            lambda **given: forgotten(**given).abs()
        ),
        "0 is not the least: a trained model may read better than the plain one, below 0": (
            lambda **given: forgotten(**given).relu()
        ),
    },
    praise="before is the plain model, and each token is predicted from those before it.",
    neutral={"mask": None, "ids": None},
    hint="logits[:, :-1] stand against ids[:, 1:] and mask[:, 1:].",
    plain=True,
)


def _front_inputs(draw: torch.Generator) -> dict[str, Any]:
    """Eight methods in no order: two of one size, and two with one score."""
    counts = torch.randperm(40, generator=draw)[:8].float() + 11
    scores = 0.5 * torch.rand(8, generator=draw)
    tied = torch.randperm(8, generator=draw)[:4]  # small and good, so that ties matter
    counts[tied] = torch.tensor([10.0, 10, 9, 8])
    scores[tied] = torch.tensor([0.9, 0.8, 0.7, 0.7])
    scores[counts.argmax()] = 0.85
    return {"counts": counts, "scores": scores}


def front(counts: Tensor, scores: Tensor) -> Tensor:
    """Say which methods no other one beats: none is as small and better, or smaller and as good.

    Args:
        counts: trained parameters, (n,).
        scores: accuracies, (n,).

    Returns:
        True for those on the Pareto front, (n,).
    """
    smaller = counts[None] <= counts[:, None]
    better = scores[None] >= scores[:, None]
    strictly = (counts[None] < counts[:, None]) | (scores[None] > scores[:, None])
    return ~(smaller & better & strictly).any(1)


FRONT = Exercise(
    solution=front,
    inputs=_front_inputs,
    mistakes={
        "these are the ones that are beaten; the front is the others": (
            lambda counts, scores: ~front(counts, scores)
        ),
        "this front is of large and good methods; small is better": (
            lambda counts, scores: front(-counts, scores)
        ),
        "this front is of small and bad methods; a higher score is better": (
            lambda counts, scores: front(counts, -scores)
        ),
        "these are the methods that beat no other, large and bad: ask along the other dimension, "
        "or turn both signs": lambda counts, scores: front(-counts, -scores),
        "only the best method is here; a smaller one that is worse may be on the front": (
            lambda counts, scores: scores == scores.max()
        ),
        "only the smallest method is here; a larger one that is better may be on the front": (
            lambda counts, scores: counts == counts.min()
        ),
        "of two methods of one size the worse one is beaten, too: as small and better is enough": (
            lambda counts, scores: (
                ~((counts[None] < counts[:, None]) & (scores[None] >= scores[:, None])).any(1)
            )
        ),
        "of two methods with one score the larger one is beaten, too: smaller and as good is "
        "enough": lambda counts, scores: (
            ~((counts[None] <= counts[:, None]) & (scores[None] > scores[:, None])).any(1)
        ),
        "of two methods of one size the worse one is beaten; and of two with one score the larger "
        "one: one strict comparison of the two is enough": lambda counts, scores: (
            ~((counts[None] < counts[:, None]) & (scores[None] > scores[:, None])).any(1)
        ),
        "none is left: either every method beats itself, where one of two comparisons has to be "
        "strict; or whoever is smaller or better beats a method, where it has to be both": (
            lambda counts, scores: torch.zeros_like(counts).bool()
        ),
    },
    praise="no other method is as small and better, or smaller and as good.",
    in_place="compute a new mask instead",
)
