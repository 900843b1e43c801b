"""LoRA: h = W0 x + (alpha / r) B A x, on every family; held against PEFT and against formulas."""

import copy
import math

import hypothesis.strategies as st
import peft
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from safetensors.torch import load_file, save_file
from tiny import CELLS, PAD, batch, logits, loss, randomise, tiny, tiny_config, unchanged
from torch import nn

from peftlab import LoRA, anatomy, insight, load
from peftlab.attach import attachment_of, projections
from peftlab.methods.lora.layers import LoRAFusedLinear, LoRALinear, LowRankUpdate

NAN, INF = float("nan"), float("inf")
ALL = anatomy.ROLES
QKV = ("query", "key", "value")
every_cell = pytest.mark.parametrize(("family", "head"), CELLS)


def updates(model):
    """The low-rank updates of a model by name; a fused projection has several."""
    return {name: m for name, m in model.named_modules() if isinstance(m, LowRankUpdate)}


def update_name(projection):
    """Where the update of a projection stands, once it is attached."""
    inside = ".update" if projection.part is None else f".parts.{projection.role}"
    return projection.name + inside


def unfused(model):
    """The updates of projections that stand alone, by the name of the projection."""
    return {name.removesuffix(".update"): update for name, update in updates(model).items()}


def additions(model):
    """The modules that stand where projections stood, by the name of the projection."""
    return {
        name: m for name, m in model.named_modules() if isinstance(m, LoRALinear | LoRAFusedLinear)
    }


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


# The start


@every_cell
@pytest.mark.parametrize("init", ["kaiming", "gaussian"])
def test_the_start_is_the_backbone_exactly(family, head, init):
    model = tiny(family, head)
    inputs = batch(model)
    plain = logits(model, inputs)
    LoRA(rank=4, targets=ALL, init=init).attach(model)
    assert torch.equal(logits(model, inputs), plain)


@every_cell
def test_at_the_start_every_a_has_zero_gradient_and_every_b_has_not(family, head):
    model = tiny(family, head)
    LoRA(rank=4, targets=ALL).attach(model)
    loss(model, batch(model)).backward()
    for update in updates(model).values():
        assert torch.equal(update.lora_A.grad, torch.zeros_like(update.lora_A))
        assert update.lora_B.grad.any()


@every_cell
def test_each_target_has_an_update_of_its_own_and_nothing_else_has(family, head):
    model = tiny(family, head)
    attachment = LoRA(rank=2).attach(model)
    names = {update_name(p) for p in projections(model) if p.role in ("query", "value")}
    assert updates(model).keys() == names
    heads = tuple(anatomy.head_modules(model))
    trained = {name for name in attachment.named_parameters() if not name.startswith(heads)}
    assert trained == {f"{name}.{factor}" for name in names for factor in ("lora_A", "lora_B")}


@given(d_in=st.integers(1, 64), d_out=st.integers(1, 64), data=st.data())
def test_factors_have_the_shapes_and_starts_of_the_paper_and_of_the_authors_code(d_in, d_out, data):
    rank = data.draw(st.integers(1, min(d_in, d_out)))
    for init in ("kaiming", "gaussian"):
        update = LowRankUpdate(d_in, d_out, rank, alpha=16, init=init)
        assert update.lora_A.shape == (rank, d_in)
        assert torch.equal(update.lora_B, torch.zeros(d_out, rank))
        assert update.lora_A.any()
    update = LowRankUpdate(d_in, d_out, rank, alpha=16)
    assert update.lora_A.abs().max() <= (1 + 1e-6) / math.sqrt(d_in)


@pytest.mark.parametrize("rank", [4, 16])
def test_initial_values_are_spread_as_described(rank):
    torch.manual_seed(0)
    uniform = LowRankUpdate(900, 900, rank, alpha=1).lora_A.detach()
    assert uniform.abs().max().item() == pytest.approx(1 / 30, rel=1e-2)
    assert uniform.std().item() == pytest.approx(1 / 30 / math.sqrt(3), rel=5e-2)
    gaussian = LowRankUpdate(900, 900, rank, alpha=1, init="gaussian").lora_A.detach()
    assert gaussian.std().item() == pytest.approx(1 / rank, rel=5e-2)


def test_initial_values_come_from_the_global_generator():
    def start(seed):
        torch.manual_seed(seed)
        return LoRA(rank=2).attach(tiny("bert")).state_dict()

    first, again, other = start(0), start(0), start(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if "lora_A" in name)


# Files


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_file_with_the_names_of_before_is_loaded_and_read(family, tmp_path):
    model = tiny(family)
    attachment = randomise(LoRA(rank=2, targets=ALL).attach(model))
    expected, moved = logits(model, batch(model)), insight.updates(attachment, ALL)
    file = attachment.save(tmp_path) / "method.safetensors"
    now = load_file(file)
    before = {name.replace(".update.lora_", ".lora_"): tensor for name, tensor in now.items()}
    assert before.keys() != now.keys()
    assert LoRA.named_as_today(before).keys() == now.keys() == LoRA.named_as_today(now).keys()
    save_file(before, file)
    again = load(tmp_path, tiny(family))
    assert torch.equal(logits(again.model, batch(again.model)), expected)
    stored = insight.stored_updates(tmp_path)
    assert stored.keys() == moved.keys()
    assert all(torch.equal(stored[name], moved[name]) for name in moved)


# Merging


@every_cell
def test_merging_is_the_unmerged_forward_and_leaves_no_extra_modules(family, head):
    model = tiny(family, head)
    inputs = batch(model)
    plain, modules, keys = logits(model, inputs), classes(model), list(model.state_dict())
    attachment = randomise(LoRA(rank=4, targets=ALL).attach(model), std=0.1)
    unmerged = logits(model, inputs)
    assert not torch.allclose(unmerged, plain, atol=1e-2)
    assert classes(model) != modules

    attachment.merge()
    torch.testing.assert_close(logits(model, inputs), unmerged, atol=1e-4, rtol=1e-4)
    assert classes(model) == modules
    assert list(model.state_dict()) == keys
    with unchanged(model):
        attachment.merge()  # twice is once

    attachment.unmerge()
    assert torch.equal(logits(model, inputs), unmerged)
    with unchanged(model):
        attachment.unmerge()
    attachment.detach()
    assert torch.equal(logits(model, inputs), plain)


def classes(model):
    return [(name, type(module)) for name, module in model.named_modules()]


@every_cell
def test_merging_and_unmerging_again_and_again_never_drifts(family, head):
    model = tiny(family, head)
    attachment = randomise(LoRA(rank=4, targets=ALL).attach(model))
    with unchanged(model):
        for _ in range(5):
            attachment.merge()
            attachment.unmerge()


@every_cell
def test_a_merged_weight_is_the_frozen_one_plus_the_scaled_product(family, head):
    model = tiny(family, head)
    frozen = {p.name: model.get_submodule(p.name) for p in projections(model)}
    before = {name: module.weight.clone() for name, module in frozen.items()}
    attachment = randomise(LoRA(rank=4, alpha=6, targets=("value", "mlp_in")).attach(model))
    expected = {name: weight.clone() for name, weight in before.items()}
    adapted = additions(model)
    for name, addition in adapted.items():
        if isinstance(addition, LoRALinear):
            update = 6 / 4 * addition.update.lora_B @ addition.update.lora_A
            expected[name] += update if isinstance(frozen[name], nn.Linear) else update.T
        else:
            value = addition.parts["value"]
            expected[name][:, 64:] += (6 / 4 * value.lora_B @ value.lora_A).T
    attachment.merge()
    for name, module in frozen.items():
        torch.testing.assert_close(module.weight, expected[name], atol=1e-6, rtol=1e-6)
        assert torch.equal(module.weight, before[name]) == (name not in adapted)


@given(
    rank=st.integers(1, 32),
    rows=st.integers(1, 4),
    length=st.integers(2, 12),
    padding=st.sampled_from(["left", "right", None]),
    seed=st.integers(0, 99),
)
def test_merging_holds_for_any_rank_and_batch(rank, rows, length, padding, seed):
    for model in (BERT, GPT2):
        inputs = batch(model, rows, length, padding, seed)
        attachment = randomise(LoRA(rank=rank, alpha=rank).attach(model), seed)
        try:
            unmerged = logits(model, inputs)
            attachment.merge()
            torch.testing.assert_close(logits(model, inputs), unmerged, atol=1e-3, rtol=1e-3)
        finally:
            attachment.detach()


BERT, GPT2, LLAMA = tiny("bert", "masked_lm"), tiny("gpt2", "causal_lm"), tiny("llama", "causal_lm")


# The update


@every_cell
def test_doubling_alpha_doubles_the_update(family, head):
    def deltas(alpha):
        model = tiny(family, head)
        randomise(LoRA(rank=4, alpha=alpha, targets=ALL).attach(model))
        return [addition.delta_weight() for addition in additions(model).values()]

    for single, double in zip(deltas(8), deltas(16), strict=True):
        assert single.any()
        assert torch.equal(double, 2 * single)


def test_alpha_zero_switches_the_update_off():
    model = tiny("bert", "masked_lm")
    inputs = batch(model)
    plain = logits(model, inputs)
    randomise(LoRA(alpha=0).attach(model))
    assert torch.equal(logits(model, inputs), plain)


@given(
    rank=st.integers(1, 24), alpha=st.floats(0.1, 64), shape=st.lists(st.integers(1, 4), max_size=3)
)
def test_an_update_is_the_formula_and_has_its_rank(rank, alpha, shape):
    module = LoRALinear(nn.Linear(24, 40), rank, alpha).double()
    nn.init.normal_(module.update.lora_B)
    x = torch.randn(*shape, 24, dtype=torch.float64)
    update = alpha / rank * x @ module.update.lora_A.T @ module.update.lora_B.T
    torch.testing.assert_close(module(x), module.base(x) + update)
    torch.testing.assert_close(x @ module.delta_weight().T, update)
    assert torch.linalg.matrix_rank(module.delta_weight()) == rank


def test_a_rank_for_each_role_reaches_that_role():
    for family in ("bert", "gpt2", "t5"):
        model = tiny(family)
        LoRA(rank={"query": 2, "value": 5}).attach(model)
        roles = {update_name(p): p.role for p in projections(model)}
        ranks = {(roles[name], len(update.lora_A)) for name, update in updates(model).items()}
        assert ranks == {("query", 2), ("value", 5)}


def test_dropout_acts_on_the_branch_alone():
    model = tiny("bert", "masked_lm")
    inputs = batch(model)
    plain = logits(model, inputs)
    attachment = LoRA(dropout=0.5).attach(model)
    model.train()
    assert torch.equal(logits(model, inputs), plain)  # B is zero: only the frozen path is left
    randomise(attachment)
    assert not torch.equal(logits(model, inputs), logits(model, inputs))
    model.eval()
    assert torch.equal(logits(model, inputs), logits(model, inputs))


def test_dropout_drops_inputs_of_the_branch():
    module = LoRALinear(nn.Linear(32, 16), rank=4, alpha=4, dropout=0.5)
    nn.init.normal_(module.update.lora_B)
    x = torch.randn(2, 5, 32)
    torch.manual_seed(1)
    found = module(x) - module.base(x)
    torch.manual_seed(1)
    close(found, F.dropout(x, 0.5) @ module.update.lora_A.T @ module.update.lora_B.T)


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_on_a_half_precision_backbone_the_factors_stay_in_float32(family):
    model = tiny(family).to(torch.bfloat16)
    inputs = batch(model)
    plain = logits(model, inputs)
    attachment = LoRA(targets=ALL).attach(model)
    assert torch.equal(logits(model, inputs), plain)
    assert {p.dtype for p in attachment.parameters()} == {torch.float32}
    randomise(attachment, std=0.1)
    unmerged = logits(model, inputs)
    assert unmerged.dtype == torch.bfloat16
    attachment.merge()
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(logits(model, inputs), unmerged, atol=0.1, rtol=0.1)


# PEFT

#: PEFT asks transformers by a name that is on its way out.
calls_peft = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")

PARITY = [
    ("bert", "sequence_classification", ALL),
    ("bert", "token_classification", ("query", "value")),
    ("roberta", "sequence_classification", ALL),
    ("roberta", "masked_lm", ("query", "value")),
    ("distilbert", "sequence_classification", ALL),
    ("llama", "causal_lm", ALL),
    ("llama", "sequence_classification", ("query", "value")),
    ("qwen3", "causal_lm", ALL),
    ("t5", "seq2seq_lm", ALL),
    ("t5", "sequence_classification", ("query", "value")),
    ("bart", "seq2seq_lm", ALL),
    ("gpt2", "causal_lm", ("attention_output", "mlp_in", "mlp_out")),  # all but the fused one
]


def peft_model(model, method):
    """PEFT's LoRA on a copy of `model`, with the same settings."""
    names = {p.name for p in anatomy.select(projections(model), method.targets)}
    config = peft.LoraConfig(
        r=method.rank,
        lora_alpha=method.alpha,
        target_modules=sorted(names),
        fan_in_fan_out=model.config.model_type == "gpt2",
    )
    return peft.get_peft_model(copy.deepcopy(model), config).base_model.model.eval()


@calls_peft
@pytest.mark.parametrize(("family", "head", "targets"), PARITY)
@pytest.mark.parametrize(("rank", "alpha"), [(1, 16), (6, 3)])
def test_logits_and_gradients_equal_peft_s(family, head, targets, rank, alpha):
    model = tiny(family, head)
    inputs = batch(model)
    plain = logits(model, inputs)
    method = LoRA(rank=rank, alpha=alpha, targets=targets)
    theirs = peft_model(model, method)
    attachment = randomise(method.attach(model), std=0.1)
    with torch.no_grad():
        for name in anatomy.head_modules(model):
            theirs.get_submodule(name).load_state_dict(model.get_submodule(name).state_dict())
        for name, ours in unfused(model).items():
            module = theirs.get_submodule(name)
            module.lora_A["default"].weight.copy_(ours.lora_A)
            module.lora_B["default"].weight.copy_(ours.lora_B)

    assert not torch.allclose(logits(model, inputs), plain, atol=1e-3)
    close(logits(model, inputs), logits(theirs, inputs))
    loss(model, inputs).backward()
    loss(theirs, inputs).backward()
    assert unfused(model)
    for name, ours in unfused(model).items():
        module = theirs.get_submodule(name)
        close(ours.lora_A.grad, module.lora_A["default"].weight.grad)
        close(ours.lora_B.grad, module.lora_B["default"].weight.grad)
        delta = module.get_delta_weight("default")
        close(ours.delta_weight(), delta.T if module.fan_in_fan_out else delta)
        assert ours.lora_A.grad.any()
        assert ours.lora_B.grad.any()
    attachment.merge()
    close(model.get_submodule(name).weight, merged_by_peft(theirs, name))


def merged_by_peft(theirs, name):
    theirs.get_submodule(name).merge()
    return theirs.get_submodule(name).base_layer.weight


# GPT-2, which computes query, key and value in one map


def by_hand(model, factors, alpha):
    """Add q and v updates to the outputs of a plain GPT-2's fused maps, and nothing to k."""

    def hook(number):
        def add(_, inputs, output):
            (x,), changed = inputs, output.clone()
            for part, columns in (("query", slice(0, 32)), ("value", slice(64, 96))):
                a, b = factors[number, part]
                scaled = alpha / len(a) * torch.einsum("btd,rd,or->bto", x, a, b)
                changed[..., columns] = changed[..., columns] + scaled
            return changed

        return add

    for number, block in enumerate(model.base_model.h):
        block.attn.c_attn.register_forward_hook(hook(number))
    return model


@pytest.mark.parametrize("head", [head for family, head in CELLS if family == "gpt2"])
@pytest.mark.parametrize("rank", [{"query": 4, "value": 4}, {"query": 2, "value": 7}])
def test_gpt2_equals_a_reference_with_q_and_v_written_out(head, rank):
    model = tiny("gpt2", head)
    inputs = batch(model)
    randomise(LoRA(rank=rank, alpha=6).attach(model))
    blocks = [block.attn.c_attn for block in model.base_model.h]
    factors = {
        (number, part): [
            p.detach().clone().requires_grad_() for p in (update.lora_A, update.lora_B)
        ]
        for number, fused in enumerate(blocks)
        for part, update in fused.parts.items()
    }
    reference = by_hand(tiny("gpt2", head), factors, alpha=6)
    for name in anatomy.head_modules(model):
        reference.get_submodule(name).load_state_dict(model.get_submodule(name).state_dict())
    close(logits(model, inputs), logits(reference, inputs))
    loss(model, inputs).backward()
    loss(reference, inputs).backward()
    for (number, part), (a, b) in factors.items():
        close(blocks[number].parts[part].lora_A.grad, a.grad)
        close(blocks[number].parts[part].lora_B.grad, b.grad)


@pytest.mark.parametrize("targets", [("query", "value"), ("key",), QKV], ids="-".join)
def test_gpt2_s_update_has_the_fused_layout_and_is_zero_in_untouched_columns(targets):
    model = tiny("gpt2")
    attachment = randomise(LoRA(rank=3, targets=targets).attach(model))
    fused = model.h[0].attn.c_attn
    before, bias = fused.base.weight.clone(), fused.base.bias
    assert before.shape == (32, 96)
    assert fused.delta_weight().T.shape == (32, 96)
    attachment.merge()
    update = model.h[0].attn.c_attn.weight - before
    for role, columns in zip(QKV, (slice(0, 32), slice(32, 64), slice(64, 96)), strict=True):
        touched = role in targets
        assert bool(update[:, columns].any()) == touched
        assert bool(fused.delta_weight().T[:, columns].any()) == touched
    assert model.h[0].attn.c_attn.bias is bias


def test_gpt2_s_untouched_key_columns_pass_through_exactly():
    model = tiny("gpt2")
    randomise(LoRA(rank=3).attach(model))
    fused = model.h[0].attn.c_attn
    x = torch.randn(2, 5, 32)
    query, key, value = (fused(x) - fused.base(x)).chunk(3, dim=-1)
    assert torch.equal(key, torch.zeros_like(key))
    assert query.any()
    assert value.any()


def test_gpt2_s_query_and_value_have_factors_of_their_own_of_joint_rank_2r():
    model = tiny("gpt2")
    randomise(LoRA(rank=3).attach(model))
    for block in model.h:
        parts = block.attn.c_attn.parts
        assert list(parts) == ["query", "value"]
        assert parts["query"].lora_A is not parts["value"].lora_A
        assert torch.linalg.matrix_rank(block.attn.c_attn.delta_weight()) == 6


@calls_peft
def test_peft_differs_on_gpt2_with_one_a_for_q_k_and_v():
    """The same count, so that counting cannot tell: but lower rank, and the keys change too."""
    model, d, r = tiny("gpt2", "causal_lm"), 32, 3
    method = LoRA(rank=r)
    theirs = peft_model(model, method)
    randomise(method.attach(model))
    fused = theirs.transformer.h[0].attn.c_attn
    with torch.no_grad():
        fused.lora_B["default"].weight.normal_()

    shared = [fused.lora_A["default"].weight, fused.lora_B["default"].weight]
    assert [tuple(p.shape) for p in shared] == [(r, d), (3 * d, r)]
    ours = model.transformer.h[0].attn.c_attn.added_parameters().values()
    assert sum(p.numel() for p in shared) == sum(p.numel() for p in ours) == 4 * d * r

    delta = fused.get_delta_weight("default")
    assert delta.shape == (d, 3 * d)
    assert delta[:, d : 2 * d].any()
    query_and_value = torch.cat([delta[:, :d], delta[:, 2 * d :]], dim=1)
    assert torch.linalg.matrix_rank(query_and_value) == r
    assert torch.linalg.matrix_rank(model.transformer.h[0].attn.c_attn.delta_weight()) == 2 * r


# Padding


@given(
    rank=st.integers(1, 16),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    extra=st.integers(0, 5),
    side=st.sampled_from(["left", "right"]),
    seed=st.integers(0, 99),
)
def test_padding_on_either_side_changes_no_real_token(rank, lengths, extra, side, seed):
    width = max(lengths) + extra
    draw = torch.Generator().manual_seed(seed)
    rows = [torch.randint(5, 99, (n,), generator=draw) for n in lengths]
    ids = torch.full((len(rows), width), PAD)
    places = [slice(width - len(r), width) if side == "left" else slice(len(r)) for r in rows]
    for row, (words, place) in enumerate(zip(rows, places, strict=True)):
        ids[row, place] = words
    mask = (ids != PAD).long()
    inputs = {
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
    }
    for model in (BERT, LLAMA):
        attachment = randomise(LoRA(rank=rank).attach(model), seed, std=0.1)
        try:
            padded = logits(model, inputs)
            for row, (words, place) in enumerate(zip(rows, places, strict=True)):
                alone = logits(model, {"input_ids": words[None]})[0]
                torch.testing.assert_close(padded[row, place], alone, atol=1e-4, rtol=1e-4)
        finally:
            attachment.detach()


# Refusals


@pytest.mark.parametrize(
    ("hyperparameters", "error", "message"),
    [
        ({"rank": 0}, ValueError, "rank must be at least 1, got 0"),
        ({"rank": -2}, ValueError, "rank must be at least 1, got -2"),
        ({"rank": {"query": 4, "value": 0}}, ValueError, "rank must be at least 1, got 0"),
        ({"rank": True}, TypeError, "rank must be a whole number, got True; write for example"),
        ({"rank": 4.0}, TypeError, "rank must be a whole number, got 4.0"),
        ({"rank": "4"}, TypeError, "rank must be a whole number, got '4'"),
        ({"rank": {"query": 4}}, ValueError, "one rank for each of query, value; got {'query': 4}"),
        ({"rank": {"query": 4, "value": 4, "key": 4}}, ValueError, "for each of query, value"),
        ({"alpha": -1}, ValueError, "alpha must be at least 0 and finite, got -1"),
        ({"alpha": NAN}, ValueError, "alpha must be at least 0 and finite, got nan"),
        ({"alpha": INF}, ValueError, "alpha must be at least 0 and finite, got inf"),
        ({"alpha": "16"}, TypeError, "alpha must be a number, got '16'"),
        ({"alpha": True}, TypeError, "alpha must be a number, got True"),
        ({"dropout": 1}, ValueError, "dropout must be from 0 to below 1, got 1; .* dropout=0.1"),
        ({"dropout": -0.1}, ValueError, "dropout must be from 0 to below 1, got -0.1"),
        ({"dropout": NAN}, ValueError, "dropout must be from 0 to below 1, got nan"),
        ({"init": "zero"}, ValueError, "init must be one of kaiming, gaussian, got 'zero'"),
        ({"targets": ()}, ValueError, r"targets must be roles or patterns, at least one, got \(\)"),
        ({"targets": ("query", 3)}, ValueError, "targets must be roles or patterns, at least one"),
    ],
    ids=str,
)
def test_hyperparameters_out_of_range_are_refused_before_there_is_a_model(
    hyperparameters, error, message
):
    with pytest.raises(error, match=message):
        LoRA(**hyperparameters)


@every_cell
@pytest.mark.parametrize("targets", [("qeury",), ("query", "qeury")], ids="-".join)
def test_a_wrong_target_alone_or_among_right_ones_is_refused_with_the_candidates(
    family, head, targets
):
    model = tiny(family, head)
    with unchanged(model), pytest.raises(ValueError, match="nothing matches 'qeury'") as error:
        LoRA(targets=targets).attach(model)
    leaves = {p.name.rsplit(".", 1)[-1] for p in projections(model)}
    assert all(name in str(error.value) for name in (*ALL, *leaves))


@every_cell
def test_a_rank_above_the_smaller_dimension_is_refused_and_the_largest_one_works(family, head):
    model = tiny(family, head)
    smallest = min(min(p.d_in, p.d_out) for p in projections(model) if p.role == "value")
    message = (
        rf"rank {smallest + 1} is larger than the smaller .*choose a rank from 1 to {smallest}"
    )
    with unchanged(model), pytest.raises(ValueError, match=message):
        LoRA(rank=smallest + 1, targets="value").attach(model)
    assert LoRA(rank=smallest, targets="value").attach(model).parameters()
    assert attachment_of(model)


def test_one_target_may_be_a_plain_string_and_settings_are_plain_values():
    method = LoRA(targets="*.query")
    assert method.targets == ("*.query",)
    assert method.parameter_count(tiny_config("bert")).trained == 2 * 8 * (32 + 32)
    assert LoRA(**method.hyperparameters()) == method
    with pytest.raises(AttributeError):
        method.rank = 3
    assert LoRA().targets == ("query", "value")


@pytest.mark.parametrize(
    "targets", ["q_proj", "self_attn.q_proj", "model.layers.*.q_proj", "*.q_proj"]
)
def test_a_pattern_fits_the_end_of_a_path_with_or_without_a_head(targets):
    for head in (None, "causal_lm"):
        model = tiny("llama", head)
        if head is None and targets.startswith("model."):
            continue  # the bare backbone has no such prefix
        report = LoRA(rank=2, targets=(targets,)).attach(model).report()
        assert report.trained == LoRA(rank=2, targets="query").parameter_count(model.config).trained


@pytest.mark.parametrize("targets", [None, 5])
def test_targets_that_are_no_names_are_refused(targets):
    with pytest.raises(TypeError, match="roles or patterns"):
        LoRA(targets=targets)
