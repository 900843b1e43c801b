"""Taking adapters away, how near to the identity they start, and how far biases moved."""

import math

import pytest
import torch
from tiny import batch, logits, randomise, tiny, unchanged

from peftlab import Adapter, BitFit, LoRA, insight
from peftlab.methods.bitfit.method import KINDS, TWO

HEAD = "sequence_classification"


@pytest.mark.parametrize("family, layers", [("bert", 2), ("gpt2", 2), ("bart", 4), ("llama", 2)])
def test_every_layer_has_its_adapters(family, layers):
    model = tiny(family)
    Adapter(bottleneck=3).attach(model)
    found = insight.adapters_by_layer(model)
    assert len(found) == layers
    assert {len(own) for own in found} <= {2, 3}
    assert len({id(a) for own in found for a in own}) == sum(map(len, found))


def test_without_all_adapters_the_model_is_the_backbone_and_then_itself_again():
    model = tiny("bert", HEAD)
    inputs = batch(model)
    plain = logits(model, inputs)
    attachment = Adapter(bottleneck=3, layer_norms=False).attach(model)
    head = {n: p.clone() for n, p in model.classifier.named_parameters()}
    randomise(attachment)
    model.classifier.load_state_dict(head)
    whole = logits(model, inputs)
    with unchanged(model):
        with insight.without_adapters(model, range(2)):
            assert torch.equal(logits(model, inputs), plain)
        with insight.without_adapters(model, [1]):
            assert not torch.equal(logits(model, inputs), whole)
    assert torch.equal(logits(model, inputs), whole)


def test_spans_cover_every_first_and_last_layer_once():
    model = tiny("bert", HEAD)
    randomise(Adapter(bottleneck=3).attach(model))

    def active():
        return sum(
            a.up.weight.any().item() for own in insight.adapters_by_layer(model) for a in own
        )

    assert insight.span_ablation(model, active) == [[2, 0], [None, 2]]


def test_adapters_come_back_when_the_measure_raises():
    model = tiny("bert", HEAD)
    randomise(Adapter(bottleneck=3).attach(model))
    with unchanged(model), pytest.raises(ZeroDivisionError):
        insight.span_ablation(model, lambda: 1 / 0)


def test_a_model_without_adapters_is_refused():
    model = tiny("bert", HEAD)
    LoRA(rank=2).attach(model)
    with pytest.raises(ValueError, match=r"no adapters; attach Adapter\(\)"):
        insight.adapters_by_layer(model)


def test_the_initial_change_grows_with_the_deviation_and_leaves_the_model_alone():
    model = tiny("bert", HEAD)
    inputs = {k: v for k, v in batch(model).items() if k != "labels"}
    with unchanged(model):
        found = insight.initial_change(model, inputs, (2, 8), (1e-3, 1e-1, 1.0))
    assert set(found) == {(m, std) for m in (2, 8) for std in (1e-3, 1e-1, 1.0)}
    for m in (2, 8):
        assert 0 < found[m, 1e-3] < found[m, 1e-1] < found[m, 1.0]
        assert math.isclose(found[m, 1e-1] / found[m, 1e-3], 1e4, rel_tol=0.5)


@pytest.mark.parametrize("biases, kinds", [(("all",), KINDS), (TWO, TWO)])
def test_bias_change_is_the_mean_distance_by_kind_and_layer(biases, kinds):
    model = tiny("bert", HEAD)
    attachment = BitFit(biases=biases).attach(model)
    with torch.no_grad():
        model.bert.encoder.layer[1].attention.self.query.bias += 0.5
        model.bert.encoder.layer[0].intermediate.dense.bias[:12] -= 2.0  # a quarter of 48
    found = insight.bias_change(attachment)
    assert list(found) == [kind for kind in KINDS if kind in kinds]
    assert found["query"] == pytest.approx([0, 0.5])
    assert found["mlp_in"] == pytest.approx([0.5, 0])
    others = [v for kind, own in found.items() if kind not in TWO for v in own]
    assert not any(others)


def test_the_effect_of_a_bias_is_what_undoing_it_does_to_the_logits():
    model = tiny("bert", HEAD)
    inputs = {k: v for k, v in batch(model).items() if k != "labels"}
    attachment = BitFit().attach(model)
    start = logits(model, inputs)
    with torch.no_grad():
        for layer in model.bert.encoder.layer:
            layer.attention.self.key.bias += 0.5
    shifted = logits(model, inputs)
    with torch.no_grad():
        model.bert.encoder.layer[0].attention.self.query.bias += 0.5
    both = logits(model, inputs)
    found = insight.bias_effect(attachment, inputs)
    assert list(found) == list(KINDS)
    assert torch.equal(logits(model, inputs), both)
    assert found["key"] < 1e-5 < found["query"]
    torch.testing.assert_close(shifted, start, atol=1e-5, rtol=0)
    assert found["query"] == pytest.approx((both - shifted).abs().max().item(), abs=1e-5)
    assert not any(v for kind, v in found.items() if kind not in ("key", "query"))
