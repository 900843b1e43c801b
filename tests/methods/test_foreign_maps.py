"""Where something else stands than a linear map, methods refuse it and name its type."""

from functools import partial

import peft
import pytest
import torch
from tiny import batch, logits, randomise, tiny, unchanged
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.prune import l1_unstructured

from peftlab import Adapter, BitFit, LoRA, PromptTuning, anatomy
from peftlab.attach import attachment_of, projections
from peftlab.methods.lora.layers import LoRAFusedLinear, LoRALinear, LowRankUpdate

#: Methods that put something beside a linear map, or train its bias.
BESIDE = [LoRA(rank=2), Adapter(bottleneck=2), BitFit(), BitFit(control="random")]
READING = [LoRA(rank=2), BitFit(control="random")]  # these read and change its weight


def by_name(methods):
    return pytest.mark.parametrize("method", methods, ids=lambda m: f"{m.name}-{vars(m)}"[:40])


def int8(model):
    """The weights of the blocks as integers, as a quantized file has them."""
    for projection in projections(model):
        weight = model.get_submodule(projection.name).weight
        weight.requires_grad_(False).data = (10 * weight.data).to(torch.int8)
    return model


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")  # PEFT asks so
@by_name(BESIDE)
@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_projection_that_peft_has_wrapped_is_refused_with_its_type(method, family):
    model = tiny(family)
    names = [p.name for p in projections(model) if p.role in ("query", "attention_output")]
    peft.get_peft_model(
        model, peft.LoraConfig(target_modules=names, fan_in_fan_out=family == "gpt2")
    )
    with (
        unchanged(model),
        pytest.raises(TypeError, match=r"Conv1D, got peft\.tuners\.lora") as error,
    ):
        method.attach(model)
    assert str(error.value).startswith(tuple(names))
    assert attachment_of(model) is None


@by_name(READING)
def test_a_weight_of_integers_is_refused_by_what_changes_the_weight(method):
    model = int8(tiny("bert"))
    with pytest.raises(TypeError, match=r"weight of floating point, got torch\.int8.*dtype="):
        method.attach(model)
    assert attachment_of(model) is None


class Halved(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(x, self.weight / 2, self.bias)


def halved(module):
    module.__class__ = Halved
    return module


@by_name(READING)
@pytest.mark.parametrize(
    "change",
    [parametrizations.weight_norm, partial(l1_unstructured, name="weight", amount=0.5), halved],
    ids=["parametrized", "pruned", "another forward"],
)
def test_a_map_that_computes_with_another_weight_than_it_stores_is_refused(method, change):
    """Merging into what the map stores would move the logits without a word."""
    model = tiny("bert")
    change(model.encoder.layer[0].attention.self.query)
    with unchanged(model), pytest.raises(TypeError, match=r"query must be a plain nn\.Linear"):
        method.attach(model)


@by_name(READING)
def test_a_weight_of_eight_bits_is_refused_though_it_is_of_floating_point(method):
    model = tiny("bert")
    weight = model.encoder.layer[0].attention.self.query.weight
    weight.requires_grad_(False).data = weight.data.to(torch.float8_e4m3fn)
    with pytest.raises(TypeError, match=r"got torch\.float8_e4m3fn: it is quantized"):
        method.attach(model)


@pytest.mark.parametrize("init", ["vocabulary", "uniform"])
def test_a_table_of_integers_gets_no_soft_prompt(init):
    model = tiny("bert")
    weight = model.embeddings.word_embeddings.weight
    weight.requires_grad_(False).data = (10 * weight.data).to(torch.int8)
    with (
        unchanged(model),
        pytest.raises(TypeError, match=r"tokens is stored as torch\.int8"),
    ):
        PromptTuning(init=init).attach(model)


def test_an_adapter_only_needs_what_a_map_gives():
    class Quantized(nn.Linear):
        def forward(self, x):
            return nn.functional.linear(x, self.weight.to(x.dtype) / 10, self.bias)

    model = int8(tiny("bert"))
    for projection in projections(model):
        model.get_submodule(projection.name).__class__ = Quantized
    inputs = batch(model)
    plain = logits(model, inputs)
    randomise(Adapter(bottleneck=2).attach(model))
    assert not torch.allclose(logits(model, inputs), plain)


def test_half_precision_is_floating_point():
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        assert LoRA(rank=2, targets=anatomy.ROLES).attach(tiny("bert").to(dtype)).parameters()


def test_the_layers_themselves_refuse_another_module():
    with pytest.raises(
        TypeError, match=r"base must be .* got torch\.nn\.modules\.sparse\.Embedding"
    ):
        LoRALinear(nn.Embedding(4, 4), rank=1, alpha=1)
    with pytest.raises(TypeError, match="base must be"):
        LoRAFusedLinear(nn.Embedding(4, 12), {"query": (0, LowRankUpdate(4, 4, 1, alpha=1))})
