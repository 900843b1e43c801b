"""Adapter tuning: h + W_up f(W_down h + b_down) + b_up behind both halves of every layer."""

import copy
import math

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from tiny import CELLS, batch, logits, randomise, tiny, tiny_config
from torch import nn

from peftlab import Adapter, anatomy
from peftlab.attach import norms, projections
from peftlab.methods.adapter.layers import AdaptedLinear, Bottleneck
from peftlab.methods.adapter.method import ACTIVATIONS

NAN, INF = float("nan"), float("inf")
PLACES = ("attention_output", "mlp_out")
every_cell = pytest.mark.parametrize(("family", "head"), CELLS)


def adapted(model):
    return {name: m for name, m in model.named_modules() if isinstance(m, AdaptedLinear)}


@every_cell
def test_there_is_an_adapter_behind_every_output_projection_and_nowhere_else(family, head):
    model = tiny(family, head)
    expected = {p.name for p in projections(model) if p.role in PLACES}
    Adapter(bottleneck=4).attach(model)
    assert adapted(model).keys() == expected


@every_cell
def test_a_zero_up_projection_is_the_backbone_exactly(family, head):
    model = tiny(family, head)
    inputs = batch(model)
    plain = logits(model, inputs)
    randomise(Adapter(bottleneck=4, layer_norms=False).attach(model))
    for name in anatomy.head_modules(model):
        source = tiny(family, head).get_submodule(name)
        model.get_submodule(name).load_state_dict(source.state_dict())
    assert not torch.equal(logits(model, inputs), plain)
    for module in adapted(model).values():
        nn.init.zeros_(module.adapter.up.weight)
        nn.init.zeros_(module.adapter.up.bias)
    assert torch.equal(logits(model, inputs), plain)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "gpt2", "bart"])
def test_an_adapter_that_adds_a_constant_is_a_bias_of_the_map_before_it(family):
    model = tiny(family)
    other, inputs = copy.deepcopy(model), batch(model)
    Adapter(bottleneck=3, layer_norms=False).attach(model)
    plain = logits(other, inputs)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, module in adapted(model).items():
            shift = torch.randn(len(module.adapter.up.bias), generator=draw)
            nn.init.zeros_(module.adapter.up.weight)
            module.adapter.up.bias.copy_(shift)
            other.get_submodule(name).bias += shift
    torch.testing.assert_close(logits(model, inputs), logits(other, inputs), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits(model, inputs), plain, atol=1e-2)


@every_cell
def test_every_norm_trains_unless_it_is_switched_off(family, head):
    model = tiny(family, head)
    found = {
        f"{name}.{key}"
        for name, module in model.named_modules()
        if "norm" in type(module).__name__.lower()
        for key, _ in module.named_parameters()
    }
    assert found == {tensor for norm in norms(model) for tensor in norm.tensors}
    attachment = Adapter(bottleneck=4).attach(model)
    assert found <= attachment.named_parameters().keys()
    attachment.detach()
    attachment = Adapter(bottleneck=4, layer_norms=False).attach(model)
    assert not found & attachment.named_parameters().keys()


@every_cell
def test_dense_weights_do_not_train(family, head):
    model = tiny(family, head)
    own = Adapter(bottleneck=4).attach(model).named_parameters()
    assert not any(
        f"{p.name}.base.weight" in own or f"{p.name}.weight" in own
        for p in projections(tiny(family, head))
    )


@given(
    width=st.integers(1, 40),
    bottleneck=st.integers(1, 40),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    shape=st.lists(st.integers(1, 4), max_size=3),
)
def test_an_adapter_is_the_formula(width, bottleneck, activation, shape):
    adapter = Bottleneck(width, bottleneck, init_std=0.5, activation=activation).double()
    nn.init.normal_(adapter.down.bias)
    nn.init.normal_(adapter.up.bias)
    h = torch.randn(*shape, width, dtype=torch.float64)
    middle = getattr(F, activation)(h @ adapter.down.weight.T + adapter.down.bias)
    expected = h + middle @ adapter.up.weight.T + adapter.up.bias
    torch.testing.assert_close(adapter(h), expected)
    count = sum(p.numel() for p in adapter.parameters())
    assert count == 2 * bottleneck * width + width + bottleneck


@pytest.mark.parametrize("std", [1e-7, 1e-3, 1e-2, 1.0])
def test_weights_start_from_a_normal_distribution_cut_at_two_deviations(std):
    torch.manual_seed(0)
    adapter = Bottleneck(300, 300, init_std=std)
    for linear in (adapter.down, adapter.up):
        assert linear.weight.abs().max() <= 2 * std * (1 + 1e-6)
        # the standard deviation of a normal distribution cut at two of its own is 0.88 of it
        assert linear.weight.std().item() == pytest.approx(0.8796 * std, rel=2e-2)
        assert not linear.bias.any()


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5", "llama"])
def test_the_start_is_near_the_backbone_and_nearer_with_a_smaller_deviation(family):
    def moved(std):
        model = tiny(family)
        inputs = batch(model)
        plain = logits(model, inputs)
        torch.manual_seed(0)
        Adapter(bottleneck=8, init_std=std).attach(model)
        return (logits(model, inputs) - plain).abs().max().item()

    far, near, nearest = moved(1.0), moved(1e-1), moved(1e-3)
    assert far > near > nearest
    assert nearest < 1e-3


@pytest.mark.parametrize("family", ["bert", "t5", "llama"])
def test_on_a_half_precision_backbone_adapters_stay_in_float32(family):
    model = tiny(family).to(torch.bfloat16)
    attachment = Adapter(bottleneck=4, layer_norms=False).attach(model)
    heads = tuple(anatomy.head_modules(model))
    kinds = {
        p.dtype for n, p in attachment.named_parameters().items() if not n.startswith(heads or "?")
    }
    assert kinds == {torch.float32}
    assert logits(model, batch(model)).dtype == torch.bfloat16


def test_decoders_with_cross_attention_have_three_adapters_a_layer():
    model = tiny("bart")
    Adapter(bottleneck=4).attach(model)
    names = list(adapted(model))
    assert len([n for n in names if n.startswith("encoder.layers.0.")]) == 2
    assert len([n for n in names if n.startswith("decoder.layers.0.")]) == 3


def test_generation_takes_the_adapters_along():
    model = tiny("gpt2", "causal_lm")
    randomise(Adapter(bottleneck=4).attach(model), std=0.5)
    ids = batch(model, rows=2, padding=None)["input_ids"]
    model.generation_config.eos_token_id = None
    made = model.generate(ids, max_new_tokens=6, do_sample=False, attention_mask=ids * 0 + 1)
    slow = ids
    for _ in range(6):
        slow = torch.cat([slow, model(slow).logits[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(made, slow)


def test_an_adapter_cannot_be_merged():
    attachment = Adapter(bottleneck=4).attach(tiny("bert"))
    with pytest.raises(TypeError, match="AdaptedLinear cannot be merged into a weight"):
        attachment.merge()


def test_bert_large_of_the_paper():
    config = tiny_config(
        "bert",
        hidden_size=1024,
        num_hidden_layers=24,
        intermediate_size=4096,
        vocab_size=30522,
        max_position_embeddings=512,
    )
    alone = Adapter(bottleneck=64, layer_norms=False).parameter_count(config)
    both = Adapter(bottleneck=64).parameter_count(config)
    assert alone.trained == 6_343_680
    assert both.trained - alone.trained == 100_352
    assert math.isclose(both.share, 0.0192, abs_tol=1e-4)


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"bottleneck": 0}, ValueError, "bottleneck must be at least 1"),
        ({"bottleneck": 2.5}, TypeError, "bottleneck must be a whole number"),
        ({"bottleneck": True}, TypeError, "bottleneck must be a whole number"),
        ({"init_std": 0}, ValueError, "init_std must be from 1e-12 to 1000, got 0"),
        ({"init_std": -1e-3}, ValueError, "init_std must be from 1e-12 to 1000"),
        ({"init_std": INF}, ValueError, "init_std must be from 1e-12 to 1000"),
        ({"init_std": NAN}, ValueError, "init_std must be from 1e-12 to 1000"),
        ({"init_std": "a"}, TypeError, "write for example init_std=0.01"),
        ({"activation": "swish"}, ValueError, "activation must be one of gelu, relu, silu, tanh"),
        ({"layer_norms": 1}, TypeError, "layer_norms must be True or False"),
    ],
)
def test_bad_settings_are_refused(settings, error, match):
    with pytest.raises(error, match=match):
        Adapter(**settings)
