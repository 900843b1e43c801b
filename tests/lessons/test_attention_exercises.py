"""Labs 04 and 06: answers that learners write, right ones in other styles and wrong ones."""

import math

import pytest
import torch
import torch.nn.functional as F

from peftlab.lessons.exercise import SOLVED, WRONG
from peftlab.lessons.p_tuning_v2.exercises import BEST_OF_MANY, DEEP_ATTENTION
from peftlab.lessons.prefix_tuning.exercises import (
    PREFIX_ATTENTION,
    STORED_COUNT,
    TRAINED_COUNT,
)
from peftlab.lessons.weighing import WRONG_WAYS, weigh


def inputs_of(exercise, seed=0):
    return exercise.inputs(torch.Generator().manual_seed(seed))


def wide(mask, rows):
    return F.pad(mask, (rows, 0), value=1)


def by_torch(q, k, v, prefix_k, prefix_v, mask):
    seen = wide(mask, prefix_k.shape[1]).bool()
    keys, values = torch.cat([prefix_k, k], 1), torch.cat([prefix_v, v], 1)
    return F.scaled_dot_product_attention(q, keys, values, attn_mask=seen)


def by_adding(q, k, v, prefix_k, prefix_v, mask):
    keys, values = torch.cat((k, prefix_k), -2), torch.cat((v, prefix_v), -2)  # behind
    scores = torch.einsum("htd,hsd->hts", q, keys) / math.sqrt(q.size(-1))
    scores[:, :, : len(mask)] += (1 - mask) * -1e9
    return scores.softmax(-1) @ values


def by_loops(q, k, v, prefix_k, prefix_v, mask):
    out = torch.empty_like(q)
    for h in range(len(q)):
        for i, line in enumerate(mask):
            keys = torch.cat([prefix_k[h], k[h][line == 1]])
            values = torch.cat([prefix_v[h], v[h][line == 1]])
            out[h, i] = torch.softmax(keys @ q[h, i] / q.shape[-1] ** 0.5, 0) @ values
    return out


def by_exponentials(q, k, v, prefix_k, prefix_v, mask):
    rows = (q @ prefix_k.mT / q.shape[-1] ** 0.5).exp()
    tokens = (q @ k.mT / q.shape[-1] ** 0.5).exp() * mask
    return (rows @ prefix_v + tokens @ v) / (rows.sum(-1) + tokens.sum(-1))[..., None]


def deep(q, k, v, mask, keys, values, before=True):
    rows = [r.expand(len(q), -1, -1) for r in (keys, values)]
    keys, values = (
        torch.cat([r, x] if before else [x, r], 1) for r, x in zip(rows, (k, v), strict=True)
    )
    seen = F.pad(mask, (len(rows[0][0]), 0) if before else (0, len(rows[0][0])), value=1)
    return F.scaled_dot_product_attention(q, keys, values, attn_mask=seen[:, None].bool())


def by_view(q, k, v, mask, prefix, layer):
    keys, values = prefix.view(len(prefix), -1, 2, q.shape[-1])[:, layer].unbind(1)
    return deep(q, k, v, mask, keys, values)


def by_split(q, k, v, mask, prefix, layer):
    parts = prefix.split(q.shape[-1], dim=1)
    return deep(q, k, v, mask, *parts[2 * layer : 2 * layer + 2], before=False)


def accuracies(x, p):
    return (x < p).float().mean(-1)


def by_gather(dev, test, p):
    best, which = accuracies(dev, p).max(1)
    return torch.stack([best, accuracies(test, p).gather(1, which[:, None])[:, 0]])


def by_lists(dev, test, p):
    both = [[], []]
    for own_dev, own_test in zip(dev, test, strict=True):
        reached = [(run <= p).double().mean().item() for run in own_dev]
        best = reached.index(max(reached))
        both[0].append(reached[best])
        both[1].append((own_test[best] <= p).double().mean().item())
    return torch.tensor(both)


@pytest.mark.parametrize(
    "exercise, attempt",
    [
        (PREFIX_ATTENTION, by_torch),
        (PREFIX_ATTENTION, by_adding),
        (PREFIX_ATTENTION, by_loops),
        (PREFIX_ATTENTION, by_exponentials),
        (DEEP_ATTENTION, by_view),
        (DEEP_ATTENTION, by_split),
        (BEST_OF_MANY, by_gather),
        (BEST_OF_MANY, by_lists),
    ],
)
def test_a_right_answer_in_another_style_is_accepted(exercise, attempt):
    assert exercise.check(attempt).status == SOLVED


def of_layer(exercise, change):
    """A right answer to lab 06, of which one argument is changed before."""
    return lambda **inputs: exercise.solution(**{**inputs, **change(inputs)})


LAYER, P_TRUE = inputs_of(DEEP_ATTENTION)["layer"], inputs_of(BEST_OF_MANY)["p"]
ROOT = inputs_of(PREFIX_ATTENTION)["q"].shape[-1] ** 0.5


@pytest.mark.parametrize(
    "exercise, attempt",
    [
        (DEEP_ATTENTION, of_layer(DEEP_ATTENTION, lambda inputs: {"layer": LAYER})),
        (BEST_OF_MANY, of_layer(BEST_OF_MANY, lambda inputs: {"p": P_TRUE})),
        (
            PREFIX_ATTENTION,
            of_layer(
                PREFIX_ATTENTION,
                lambda inputs: {"q": inputs["q"] * inputs["q"].shape[-1] ** 0.5 / ROOT},
            ),
        ),
    ],
    ids=["layer", "p", "root of d"],
)
def test_a_number_that_fits_the_first_inputs_alone_is_found(exercise, attempt):
    feedback = exercise.check(attempt)
    assert feedback.status == WRONG and "write no number out" in feedback.message


@pytest.mark.parametrize("exercise", [PREFIX_ATTENTION, DEEP_ATTENTION])
def test_no_two_axes_have_one_size_so_that_a_wrong_axis_shows(exercise):
    for seed in (0, 1):
        inputs = inputs_of(exercise, seed)
        rows = inputs.get("prefix_k", inputs.get("prefix"))
        sizes = [*inputs["q"].shape, rows.shape[-2]]
        assert len(set(sizes)) == 4


def keys_alone(q, k, v, prefix_k, prefix_v, mask):
    keys = torch.cat([prefix_k, k], 1)
    return weigh(q @ keys.mT, wide(mask, prefix_k.shape[1]), q.shape[-1]) @ v


def mask_of_tokens(q, k, v, prefix_k, prefix_v, mask):
    keys, values = torch.cat([prefix_k, k], 1), torch.cat([prefix_v, v], 1)
    return weigh(q @ keys.mT, mask, q.shape[-1]) @ values


def mask_of_numbers(q, k, v, prefix_k, prefix_v, mask):
    keys, values = torch.cat([prefix_k, k], 1), torch.cat([prefix_v, v], 1)
    seen = wide(mask, prefix_k.shape[1]).float()
    return F.scaled_dot_product_attention(q, keys, values, attn_mask=seen)


def causal_by_torch(q, k, v, prefix_k, prefix_v, mask):
    keys, values = torch.cat([prefix_k, k], 1), torch.cat([prefix_v, v], 1)
    return F.scaled_dot_product_attention(q, keys, values, is_causal=True)


def zero_times_infinity(q, k, v, prefix_k, prefix_v, mask):
    keys, values = torch.cat([prefix_k, k], 1), torch.cat([prefix_v, v], 1)
    hidden = (1 - wide(mask, prefix_k.shape[1])) * -torch.inf
    return torch.softmax(q @ keys.mT / q.shape[-1] ** 0.5 + hidden, -1) @ values


def no_batch(q, k, v, mask, prefix, layer):
    return torch.cat([prefix[:, : q.shape[-1]], k], 1)


@pytest.mark.parametrize(
    "exercise, attempt, said",
    [
        (PREFIX_ATTENTION, keys_alone, "values and mask have to be as wide"),
        (PREFIX_ATTENTION, mask_of_tokens, "values and mask have to be as wide"),
        (PREFIX_ATTENTION, mask_of_numbers, "a mask of True and False"),
        (PREFIX_ATTENTION, causal_by_torch, "the causal mask starts at the first row"),
        (PREFIX_ATTENTION, zero_times_infinity, "zero times infinity"),
        (PREFIX_ATTENTION, lambda **i: by_torch(**i).half(), "of type torch.float16"),
        (PREFIX_ATTENTION, lambda **i: by_torch(**i).int(), "of type torch.int32"),
        (PREFIX_ATTENTION, lambda **i: by_torch(**i | {"prefix_k": i["prefix_v"]}), "prefix_k"),
        (DEEP_ATTENTION, no_batch, "expand its rows to (batch, P, D)"),
        (DEEP_ATTENTION, lambda **i: by_view(**i | {"mask": 1 - i["mask"]}), "wrong way round"),
        (BEST_OF_MANY, lambda dev, test, p: (dev < p).mean(-1), ".float() makes numbers"),
        (BEST_OF_MANY, lambda **i: 100 * by_gather(**i), "in percent"),
        (BEST_OF_MANY, lambda dev, test, p: by_gather(test, dev, p), "report that first"),
        (STORED_COUNT, lambda width, layers, prefix_length, hidden: (
            12 * width * layers * prefix_length), "you count them twice"),
        (STORED_COUNT, lambda width, layers, prefix_length, hidden: (
            width * layers * prefix_length), "one of key and value"),
        (TRAINED_COUNT, lambda width, layers, prefix_length, hidden: 3 * (
            prefix_length * width + width * hidden + (hidden + 1) * 2 * layers * width),
         "the bias of the first map"),
        (TRAINED_COUNT, lambda width, layers, prefix_length, hidden: 3 * (
            prefix_length * width + (width + 1) * hidden + hidden * 2 * layers * width),
         "the bias of the second map"),
        (TRAINED_COUNT, lambda width, layers, prefix_length, hidden: 3 * (
            prefix_length * width + (width + 1) * hidden + (hidden + 1) * 2 * width),
         "you counted one layer"),
    ],
)  # fmt: skip
def test_a_wrong_answer_hears_what_is_likely_wrong(exercise, attempt, said):
    feedback = exercise.check(attempt)
    assert feedback.status == WRONG
    assert said in feedback.message


def test_leaving_python_does_not_stop_the_notebook():
    feedback = PREFIX_ATTENTION.check(lambda **inputs: exit(1))
    assert feedback.status == WRONG and "SystemExit" in feedback.message


def test_the_weights_are_torchs_own_and_no_wrong_way_gives_them():
    draw = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 2, 5, 4, generator=draw)
    mask = torch.ones(5, 5).tril()
    right = weigh(q @ k.mT, mask, 4)
    torch.testing.assert_close(
        right, F.scaled_dot_product_attention(q, k, torch.eye(5).expand(2, 5, 5), mask.bool())
    )
    for message, wrong in WRONG_WAYS.items():
        assert not torch.allclose(wrong(q @ k.mT, mask, 4), right, atol=1e-2), message
