"""The gated form of a prefix: equal to what the model computes, in families of several kinds."""

import pytest
import torch
from tiny import batch, tiny
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from peftlab import PrefixTuning, PTuningV2
from peftlab.lessons.compare import gated_and_whole
from peftlab.lessons.compare.exercises import GATED, gated

FAMILIES = ["bert", "roberta", "distilbert", "gpt2", "llama", "qwen3"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("padding", [None, "right", "left"])
@pytest.mark.parametrize("method", [PrefixTuning(prefix_length=4), PTuningV2(prefix_length=4)])
def test_the_gated_sum_is_the_attention_with_the_prefix_in_every_layer(family, padding, method):
    model = tiny(family, "sequence_classification")
    attachment = method.attach(model)
    found = gated_and_whole(attachment, batch(model, padding=padding))
    assert [layer["layer"] for layer in found] == [1, 2]
    assert all(layer["apart"] < 1e-5 and 0 < layer["gate"] < 1 for layer in found)


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen3"])
def test_the_side_of_the_padding_changes_nothing(family):
    model = tiny(family, "sequence_classification")
    attachment = PTuningV2(prefix_length=4).attach(model)
    left, right = (
        [layer["gate"] for layer in gated_and_whole(attachment, batch(model, padding=side))]
        for side in ("left", "right")
    )
    assert left == pytest.approx(right, rel=1e-4)


def test_the_attention_function_is_put_back():
    model = tiny("bert", "sequence_classification")
    attachment = PrefixTuning(prefix_length=4).attach(model)
    before = ALL_ATTENTION_FUNCTIONS["sdpa"]
    gated_and_whole(attachment, batch(model))
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is before


def test_another_attention_is_refused():
    model = tiny("bert", "sequence_classification")
    model.set_attn_implementation("eager")
    attachment = PrefixTuning(prefix_length=4).attach(model)
    with pytest.raises(ValueError, match="load it with attn_implementation='sdpa'"):
        gated_and_whole(attachment, batch(model))


def test_the_solution_of_the_exercise_is_attention_over_rows_and_tokens():
    inputs = GATED.inputs(torch.Generator().manual_seed(5))
    q, k, rows_k, rows_v = (inputs[name] for name in ("q", "k", "prefix_k", "prefix_v"))
    v = torch.randn(k.shape)
    inputs["h"] = torch.softmax(q @ k.T / q.shape[1] ** 0.5, -1) @ v
    keys, values = torch.cat([rows_k, k]), torch.cat([rows_v, v])
    whole = torch.nn.functional.scaled_dot_product_attention(q, keys, values)
    torch.testing.assert_close(gated(**inputs), whole)
