"""BitFit: of every map and every norm only the bias trains; and the controls of the paper."""

import copy
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tiny import CELLS, batch, logits, loss, randomise, tiny, tiny_config, train_steps

from peftlab import BitFit, LoRA, anatomy
from peftlab.attach import projections
from peftlab.methods.bitfit.layers import PartialBias, SparseUpdate, lines
from peftlab.methods.bitfit.method import KINDS, OUTSIDE, TWO

BIASED = ("bert", "roberta", "distilbert", "gpt2", "bart")
UNBIASED = ("t5", "llama", "qwen3")
BIASED_CELLS = [cell for cell in CELLS if cell[0] in BIASED]


def own(model, attachment):
    """Names of what trains, the head left aside."""
    heads = tuple(anatomy.head_modules(model))
    return {n for n in attachment.named_parameters() if n.split(".")[0] not in heads}


@pytest.mark.parametrize(("family", "head"), BIASED_CELLS)
def test_all_is_every_bias_of_the_backbone_and_no_gain(family, head):
    model = tiny(family, head)
    names = own(model, BitFit().attach(model))
    heads = tuple(anatomy.head_modules(model))
    biases = {n for n, _ in model.named_parameters() if n.endswith("bias")}
    assert names == {n for n in biases if n.split(".")[0] not in heads}


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("tied", [True, False])
def test_of_a_language_model_head_the_biases_that_its_output_reads_train(family, tied):
    model = tiny(family, "masked_lm", tie_word_embeddings=tied)
    method = BitFit(biases="outside")
    attachment = method.attach(model)
    assert attachment.report() == method.parameter_count(model.config, "masked_lm")
    loss(model, batch(model)).backward()
    assert all((p.grad != 0).any() for p in attachment.parameters())
    output = model.get_output_embeddings().bias
    assert any(p is output for p in attachment.parameters())


@pytest.mark.parametrize(("family", "head"), BIASED_CELLS)
def test_only_biases_and_the_head_move(family, head):
    model = tiny(family, head)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    BitFit().attach(model)
    train_steps(model, batch(model), steps=3)
    heads = tuple(anatomy.head_modules(model))
    for name, parameter in model.named_parameters():
        if not name.endswith("bias") and name.split(".")[0] not in heads:
            assert torch.equal(parameter, before[name]), name


@pytest.mark.parametrize("family", BIASED)
@pytest.mark.parametrize("kind", [*KINDS, OUTSIDE])
def test_each_kind_moves_what_it_names(family, kind):
    model = tiny(family)
    method = BitFit(biases=kind)
    attachment = method.attach(model)
    size = sum(p.numel() for p in attachment.parameters())
    assert size == method.parameter_count(model.config).trained > 0
    maps = {p.name: p for p in projections(model)}
    for name in own(model, attachment):
        module = name.rsplit(".bias", 1)[0]
        if kind in anatomy.ROLES and module in maps and maps[module].part is None:
            assert maps[module].role == kind
        else:
            assert "norm" in name.lower() or "ln_" in name or "pooler" in name or "shift" in name


@pytest.mark.parametrize("head", [None, "causal_lm"])
def test_of_a_fused_bias_only_the_chosen_part_changes(head):
    model = tiny("gpt2", head)
    plain, inputs = copy.deepcopy(model), batch(model)
    attachment = BitFit(biases=("query", "value")).attach(model)
    fused = [m for m in model.modules() if isinstance(m, PartialBias)]
    assert len(fused) == 2
    expected = logits(plain, inputs)
    assert torch.equal(logits(model, inputs), expected)
    randomise(attachment)
    with torch.no_grad():
        for layer, module in enumerate(fused):
            bias = plain.get_submodule(attachment_names(model, PartialBias)[layer]).bias
            bias[:32] += module.shift["query"]
            bias[64:] += module.shift["value"]
    torch.testing.assert_close(logits(model, inputs), logits(plain, inputs), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits(model, inputs), expected, atol=1e-3)


def attachment_names(model, kind):
    return [name for name, module in model.named_modules() if isinstance(module, kind)]


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "bart"])
def test_key_biases_have_no_gradient_and_query_biases_have_one(family):
    model = tiny(family)
    BitFit().attach(model)
    loss(model, batch(model)).backward()
    found = {"query": [], "key": []}
    for p in projections(model):
        if p.role in found:
            found[p.role].append(model.get_submodule(p.name).bias.grad.abs().max().item())
    assert max(found["key"]) < 1e-6 < 1e-4 * max(found["query"]) * 1e3
    assert max(found["key"]) < 1e-3 * min(found["query"])


def test_key_biases_of_gpt2_have_no_gradient():
    model = tiny("gpt2", "causal_lm")
    BitFit(biases=("query", "key")).attach(model)
    loss(model, batch(model)).backward()
    for name in attachment_names(model, PartialBias):
        shift = model.get_submodule(name).shift
        assert shift["key"].grad.abs().max() < 1e-3 * shift["query"].grad.abs().max()


def test_with_rotary_positions_a_key_bias_has_a_gradient():
    model = tiny("llama", "causal_lm", attention_bias=True)
    BitFit(biases="key").attach(model)
    loss(model, batch(model)).backward()
    grads = [model.get_submodule(p.name).bias.grad for p in projections(model) if p.role == "key"]
    assert all(grad.abs().max() > 1e-6 for grad in grads)


@pytest.mark.parametrize("family", UNBIASED)
def test_a_backbone_without_biases_is_refused_with_what_it_has_instead(family):
    model = tiny(family)
    gains = BitFit(control="norms").parameter_count(model.config).trained
    with pytest.raises(ValueError, match=f"{family} backbone has no biases.*{gains} numbers"):
        BitFit().attach(model)
    with pytest.raises(ValueError, match="has no biases"):
        BitFit(control="random").parameter_count(model.config)
    assert all(p.requires_grad for p in model.parameters())


def test_a_kind_that_this_backbone_lacks_is_refused_with_those_it_has():
    config = tiny_config("llama", attention_bias=True)
    with pytest.raises(ValueError, match="no bias of 'mlp_in'; it has: query, key, value, att"):
        BitFit(biases=TWO).parameter_count(config)
    with pytest.raises(ValueError, match="no bias of 'outside'"):
        BitFit(biases=("outside",)).parameter_count(config)


# The controls


@pytest.mark.parametrize("control", ["random", "rows_columns"])
@pytest.mark.parametrize("family", BIASED)
def test_random_trains_as_many_scalars_elsewhere(family, control):
    model = tiny(family)
    inputs = batch(model)
    plain = logits(model, inputs)
    count = BitFit(biases=TWO).parameter_count(model.config)
    attachment = BitFit(biases=TWO, control=control).attach(model)
    assert attachment.report() == count
    assert torch.equal(logits(model, inputs), plain)
    weights = {n: m.weight.clone() for n, m in sparse(model).items()}
    randomise(attachment)
    changed = 0
    for name, module in sparse(model).items():
        assert len(set(module.index.tolist())) == len(module.index)
        moved = (module.merged_weight() != weights[name]).flatten().nonzero().flatten()
        assert torch.equal(moved, module.index)
        changed += len(moved)
    assert changed == count.trained
    expected = logits(model, inputs)
    attachment.merge()
    torch.testing.assert_close(logits(model, inputs), expected, atol=1e-5, rtol=1e-5)


def sparse(model):
    return {name: m for name, m in model.named_modules() if isinstance(m, SparseUpdate)}


@pytest.mark.parametrize("control", ["random", "rows_columns"])
def test_random_places_come_from_the_seed_alone(control):
    def places(seed):
        model = tiny("bert")
        BitFit(control=control, seed=seed).attach(model)
        return {name: m.index.tolist() for name, m in sparse(model).items()}

    first = places(0)
    torch.manual_seed(99)
    assert places(0) == first
    assert places(1) != first


@pytest.mark.parametrize("count", [7, 23, 40])
def test_rows_and_columns_are_whole_but_for_the_last(count):
    shapes = [torch.Size([4, 5]), torch.Size([3, 6])]
    found = lines(shapes, count, seed=1)
    assert sum(map(len, found)) == min(count, 38)
    broken = 0
    for own, (rows, columns) in zip(found, shapes, strict=True):
        mask = torch.zeros(rows, columns).flatten().index_fill(0, own, 1).view(rows, columns)
        whole = (mask.all(1)[:, None] | mask.all(0)[None]).float()
        broken += int((mask - whole).abs().sum())
    assert broken < 6  # what is left of the line that was cut


def test_gains_train_beside_all_biases():
    model = tiny("bert")
    attachment = BitFit(control="gains").attach(model)
    names = own(model, attachment)
    assert names == {
        n
        for n, _ in model.named_parameters()
        if not n.startswith("classifier") and (n.endswith("bias") or "LayerNorm" in n)
    }
    config = model.config
    gains = BitFit(control="norms").parameter_count(config).trained // 2
    count = BitFit(control="gains").parameter_count(config)
    assert attachment.report() == count
    assert count.trained == BitFit().parameter_count(config).trained + gains


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_training_in_place_in_half_precision_is_warned_of_with_the_way_out(dtype):
    model = tiny("bert").to(dtype)
    with pytest.warns(UserWarning, match=rf"bitfit trains 10 .*{dtype}.*model\.float\(\)") as found:
        attachment = BitFit(control="norms").attach(model)
    assert found[0].filename == __file__
    attachment.detach()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning):
            BitFit(control="norms").attach(model)
        LoRA().attach(model).detach()  # nothing of the model trains in place
        BitFit(control="norms").attach(model.float())


def test_norms_trains_gains_and_biases_of_all_norms():
    model = tiny("bert")
    names = own(model, BitFit(control="norms").attach(model))
    norms = {n for n, _ in model.named_parameters() if "LayerNorm" in n}
    assert names == norms


def test_counts_of_the_paper():
    sizes = {"vocab_size": 28996, "max_position_embeddings": 512}
    base = tiny_config(
        "bert", hidden_size=768, num_hidden_layers=12, intermediate_size=3072, **sizes
    )
    assert BitFit(biases=KINDS).parameter_count(base).trained == 101_376
    assert BitFit().parameter_count(base).trained == 102_912
    assert BitFit(biases=TWO).parameter_count(base).trained == 46_080
    assert BitFit(control="norms").parameter_count(base).trained == 38_400
    assert f"{BitFit(biases=KINDS).parameter_count(base).share:.4%}" == "0.0936%"


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"biases": ()}, ValueError, "biases must be kinds of bias, at least one"),
        ({"biases": "keys"}, ValueError, "there is no 'keys'; choose from: all, query, key"),
        ({"biases": ("query", "gain")}, ValueError, "there is no 'gain'"),
        ({"biases": 3}, TypeError, "biases must be"),
        ({"control": "frozen"}, ValueError, "control must be one of None, random, rows_col"),
        ({"seed": -1}, ValueError, "seed must be from 0 to"),
        ({"seed": 1.5}, TypeError, "seed must be a whole number"),
    ],
)
def test_bad_settings_are_refused(settings, error, match):
    with pytest.raises(error, match=match):
        BitFit(**settings)


def test_random_places_are_the_same_under_every_default_device():
    chosen = []
    for device in ("cpu", "meta"):
        model = tiny("gpt2")
        with torch.device(device):
            BitFit(control="random").attach(model)
        layers = [m for m in model.modules() if isinstance(m, SparseUpdate)]
        assert all(layer.values.device.type == "cpu" for layer in layers)
        chosen.append([layer.index for layer in layers])
    for one, other in zip(*chosen, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_threads_may_call_one_model_with_the_random_control_at_once(family):
    """A call takes the changed weight along; nothing in the model is exchanged for its length."""
    model = tiny(family)
    randomise(BitFit(control="random").attach(model))
    batches = [batch(model, rows=rows) for rows in (1, 2, 3, 4)]
    expected = [logits(model, inputs) for inputs in batches]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            for one, other in zip(
                pool.map(lambda inputs: logits(model, inputs), batches), expected, strict=True
            ):
                torch.testing.assert_close(one, other)
