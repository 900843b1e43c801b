"""Prefix-tuning and P-Tuning v2: rows of keys and values in every layer, on every family."""

import peft
import pytest
import torch
from tiny import (
    CELLS,
    EOS,
    PAD,
    batch,
    logits,
    loss,
    randomise,
    takes_rows,
    tiny,
    tiny_config,
    unchanged,
)

from peftlab import PrefixTuning, PTuningV2
from peftlab.anatomy.catalog import catalog_config
from peftlab.attach.attention import keys_and_values
from peftlab.methods.prefix_tuning.layers import Prefix

CELLS_WITH_ROWS = [cell for cell in CELLS if takes_rows(cell[0])]
every_cell = pytest.mark.parametrize(("family", "head"), CELLS_WITH_ROWS)
DECODERS = ["gpt2", "llama", "qwen3"]
decoders = pytest.mark.parametrize("family", DECODERS)
implementations = pytest.mark.parametrize("implementation", ["sdpa", "eager"])


def attached(model, P=4, k=0, **more):
    """A prefix that looks trained."""
    method = PrefixTuning(prefix_length=P, reparametrization_width=k, **more)
    return randomise(method.attach(model), std=1.0)


def prefixes(model):
    return [module for module in model.modules() if isinstance(module, Prefix)]


# Counts


def test_the_papers_counts():
    gpt2, bert = catalog_config("gpt2-medium"), catalog_config("bert-base")
    count = PrefixTuning(prefix_length=5).parameter_count(gpt2, "causal_lm")
    assert (count.stored, count.trained) == (245_760, 25_744_896)
    assert PrefixTuning(prefix_length=10).parameter_count(gpt2).stored == 491_520
    bart = catalog_config("bart-large")
    assert PrefixTuning(prefix_length=100).parameter_count(bart, "seq2seq_lm").stored == 7_372_800
    count = PTuningV2(prefix_length=20).parameter_count(bert, "sequence_classification")
    assert count.trained + 2 * 768 + 2 == 370_178


# The mechanism


@decoders
@implementations
def test_keys_and_values_of_real_words_give_the_full_sequence(family, implementation):
    model = tiny(family, "causal_lm")
    model.set_attn_implementation(implementation)
    ids = torch.randint(5, 99, (2, 9), generator=torch.Generator().manual_seed(0))
    ids[:, :4] = ids[:1, :4]
    full = logits(model, {"input_ids": ids})[:, 4:]
    words = tuple(ids[0, :4].tolist())
    PrefixTuning(prefix_length=4, reparametrization_width=0, init_tokens=words).attach(model)
    torch.testing.assert_close(logits(model, {"input_ids": ids[:, 4:]}), full, atol=5e-6, rtol=1e-5)


@every_cell
@implementations
def test_the_order_of_the_rows_does_not_matter_and_zeros_are_not_nothing(
    family, head, implementation
):
    model = tiny(family, head)
    model.set_attn_implementation(implementation)
    inputs = batch(model)
    plain = logits(model, inputs)
    attached(model, shift_positions=False)
    found = logits(model, inputs)
    with torch.no_grad():
        for prefix in prefixes(model):
            prefix.rows.copy_(prefix.rows[torch.tensor([2, 0, 3, 1])])
        torch.testing.assert_close(logits(model, inputs), found, atol=1e-5, rtol=1e-5)
        for prefix in prefixes(model):
            prefix.rows.zero_()
    assert not torch.allclose(logits(model, inputs), plain, atol=1e-3)


@every_cell
def test_both_attentions_give_the_same_logits(family, head):
    found = []
    for implementation in ("sdpa", "eager"):
        model = tiny(family, head)
        model.set_attn_implementation(implementation)
        attached(model)
        found.append(logits(model, batch(model)))
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)


@every_cell
@pytest.mark.parametrize("k", [0, 6])
@pytest.mark.parametrize("layers", [2, 3])
def test_every_stored_number_gets_a_gradient(family, head, k, layers):
    sizes = {"bert": "num_hidden_layers", "roberta": "num_hidden_layers", "gpt2": "n_layer"}
    sizes |= {"distilbert": "n_layers", "t5": "num_layers", "bart": "encoder_layers"}
    model = tiny(family, head, **{sizes.get(family, "num_hidden_layers"): layers})
    method = PrefixTuning(prefix_length=3, reparametrization_width=k)
    attachment = randomise(method.attach(model), std=0.5)
    loss(model, batch(model)).backward()
    for name, parameter in attachment.named_parameters().items():
        if "prefix" in name:
            assert (parameter.grad != 0).all(), name


@every_cell
def test_without_its_mlp_the_prefix_gives_the_same_logits(family, head):
    model = tiny(family, head)
    attachment = attached(model, k=6)
    found = logits(model, batch(model))
    before = attachment.report()
    attachment.bake()
    assert torch.equal(logits(model, batch(model)), found)
    assert attachment.report().trained == before.stored == attachment.report().stored


def test_the_two_methods_without_an_mlp_are_one_function():
    models = [tiny("bert", "sequence_classification") for _ in range(2)]
    for kind, model in zip((PrefixTuning, PTuningV2), models, strict=True):
        method = kind(prefix_length=4, reparametrization_width=0)
        randomise(method.attach(model), std=1.0)
    assert torch.equal(*(logits(model, batch(model)) for model in models))


def test_dropout_leaves_out_numbers_of_the_rows_while_training():
    model = tiny("bert", "sequence_classification")
    attached(model, dropout=0.5)
    inputs = batch(model)
    assert torch.equal(logits(model, inputs), logits(model, inputs))
    model.train()
    assert not torch.equal(logits(model, inputs), logits(model, inputs))


# Padding, positions, generation


@every_cell
@pytest.mark.parametrize("side", ["left", "right"])
@implementations
def test_padding_changes_nothing(family, head, side, implementation):
    model = tiny(family, head)
    model.set_attn_implementation(implementation)
    given = batch(model, rows=1, length=5, padding=None)
    alone = {k: v for k, v in given.items() if k != "labels"}
    if model.config.is_encoder_decoder:
        alone["decoder_input_ids"] = given["input_ids"]
        if head == "sequence_classification":
            del alone["decoder_input_ids"]
    padded = dict(alone)
    for name, fill in (("input_ids", PAD), ("attention_mask", 0)):
        pads = torch.full((1, 3), fill)
        padded[name] = torch.cat([pads, alone[name]] if side == "left" else [alone[name], pads], 1)

    def apart():
        found, wanted = logits(model, padded), logits(model, alone)
        if found.ndim == 3 and found.shape[1] == 8:
            found = found[:, 3:] if side == "left" else found[:, :5]
        return (found - wanted).abs().max().item()

    looks_at_the_left = family == "bart" or head == "sequence_classification"  # as it is, too
    if side == "left" and looks_at_the_left and apart() > 1e-3:
        return
    attached(model)
    assert apart() < 1e-4


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", *DECODERS])
def test_positions_start_at_the_length_of_the_prefix_or_stay(family):
    model = tiny(family, None)
    inputs = {"input_ids": torch.randint(5, 99, (2, 6), generator=torch.Generator().manual_seed(1))}
    first = 2 if family == "roberta" else 0
    places = torch.arange(first, first + 6).expand(2, -1)
    attached(model, shift_positions=False)
    stay = logits(model, inputs)
    assert torch.equal(stay, logits(model, inputs | {"position_ids": places}))
    moved = logits(model, inputs | {"position_ids": places + 4})
    again = tiny(family, None)
    attached(again)
    torch.testing.assert_close(logits(again, inputs), moved, atol=1e-5, rtol=1e-5)


@decoders
@pytest.mark.parametrize("padding", [None, "left"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"num_beams": 3}, {"do_sample": True}, {"cache_implementation": "static"}],
    ids=["greedy", "beams", "sampling", "static cache"],
)
@implementations
def test_generating_with_a_cache_is_full_forwards(family, padding, settings, implementation):
    model = tiny(family, "causal_lm")
    model.set_attn_implementation(implementation)
    attached(model)
    inputs = batch(model, padding=padding)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    common = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": PAD, "eos_token_id": None}
    written = []
    for cache in ({"use_cache": True} | settings, {"use_cache": False} | settings):
        if not cache["use_cache"]:
            cache.pop("cache_implementation", None)
        torch.manual_seed(0)
        written.append(model.generate(ids, attention_mask=mask, **common | cache))
    assert torch.equal(*written)
    if settings in ({}, {"cache_implementation": "static"}):
        for _ in range(6):
            best = logits(model, {"input_ids": ids, "attention_mask": mask})[:, -1].argmax(-1)
            ids = torch.cat([ids, best[:, None]], 1)
            mask = torch.cat([mask, torch.ones(len(mask), 1).long()], 1)
        assert torch.equal(written[0], ids)


@pytest.mark.parametrize("family", [f for f in ("t5", "bart") if takes_rows(f)])
@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("beams", [1, 3])
def test_an_encoder_with_a_decoder_generates_the_same_with_a_cache(family, padding, beams):
    model = tiny(family, "seq2seq_lm")
    attached(model)
    inputs = batch(model, padding=padding)
    given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    common = {"max_new_tokens": 6, "do_sample": False, "num_beams": beams, "eos_token_id": None}
    written = [model.generate(**given, **common, use_cache=cache) for cache in (True, False)]
    assert torch.equal(*written)
    assert written[0].shape[1] == 7


# Infix


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@implementations
@pytest.mark.parametrize("padding", ["right", "left"])
def test_tokens_before_the_mark_do_not_see_an_infix_and_those_from_it_on_see_all_rows(
    family, implementation, padding
):
    model = tiny(family, None)
    model.set_attn_implementation(implementation)
    inputs, mark = batch(model, padding=padding), 50
    inputs["input_ids"].masked_fill_(inputs["input_ids"] == mark, 51)
    inputs["input_ids"][:, 3] = mark
    text = inputs["attention_mask"].bool()
    before = text & (torch.arange(7) < 3)
    plain = logits(model, inputs)
    attached(model, shift_positions=False, infix_after=mark)
    found = logits(model, inputs)
    torch.testing.assert_close(found[before], plain[before])
    assert ((found - plain).abs().amax(-1)[text & ~before] > 1e-3).all()
    alone = {name: tensor[:1] for name, tensor in inputs.items()}  # the row without padding
    first, whole = tiny(family, None), tiny(family, None)
    attached(first, infix_after=alone["input_ids"][0, 0].item())  # from the first token on
    attached(whole)  # a prefix
    torch.testing.assert_close(logits(first, alone), logits(whole, alone))


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("padding", [None, "left"])
@pytest.mark.parametrize("beams", [1, 3])
def test_an_infix_writes_the_same_with_and_without_a_cache(family, padding, beams):
    model = tiny(family, "causal_lm")
    inputs, mark = batch(model, padding=padding), 50
    given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    given["input_ids"][:, 4] = mark
    attached(model, infix_after=mark)
    common = {"max_new_tokens": 6, "do_sample": False, "num_beams": beams, "eos_token_id": None}
    written = [model.generate(**given, **common, use_cache=cache) for cache in (True, False)]
    assert torch.equal(*written)


def test_an_infix_refuses_what_it_cannot_place():
    model = tiny("gpt2", "causal_lm")
    attachment = attached(model, infix_after=50)
    with pytest.raises(ValueError, match="a text lacks the token 50"):
        logits(model, {"input_ids": torch.tensor([[7, 50, 8], [7, 8, 9]])})
    attachment.detach()
    assert not any("_peftlab" in key for m in model.modules() for key in m.__dict__)
    with pytest.raises(ValueError, match="reads from left to right"):
        PrefixTuning(infix_after=5).attach(tiny("bert"))
    with pytest.raises(ValueError, match="infix_after has the id 99"):
        PrefixTuning(infix_after=99).attach(model)
    assert "infix_after" not in PTuningV2().hyperparameters()


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated")
@every_cell
@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_changes_no_gradient(family, head, reentrant):
    found = []
    for checkpointed in (False, True):
        model = tiny(family, head).train()
        attachment = attached(model, k=6)
        if checkpointed:
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        torch.manual_seed(0)  # some heads have dropout
        loss(model, batch(model)).backward()
        grads = {n: p.grad for n, p in attachment.named_parameters().items() if "prefix" in n}
        found.append(grads)
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-5, rtol=1e-4)


# Starts, spans, refusals


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_the_mlp_is_fitted_to_the_keys_and_values_of_real_words(family):
    head = "causal_lm" if family == "gpt2" else "seq2seq_lm"
    model = tiny(family, head)
    words = (7, 8, 9)
    ids = {"input_ids": torch.tensor([[7, 8, 9, 7]])}
    ids |= {"decoder_input_ids": ids["input_ids"]} if family == "bart" else {}
    torch.manual_seed(0)
    PrefixTuning(prefix_length=4, reparametrization_width=64, init_tokens=words).attach(model)
    for prefix in prefixes(model):
        with torch.no_grad():
            plain = tiny(family, head)
            own = keys_and_values(plain, prefix.widths, ids)
            wanted = torch.cat([x for path in prefix.widths for x in own[path]], 1)
            fitted = (prefix.all_rows() - wanted).pow(2).mean()
            assert fitted < 0.7 * wanted.pow(2).mean()


def test_a_span_of_layers_has_rows_in_these_alone():
    model = tiny("bert", "sequence_classification")
    method = PTuningV2(prefix_length=3, layers=(2, 2))
    method.attach(model)
    (prefix,) = prefixes(model)
    assert list(prefix.widths) == ["bert.encoder.layer.1.attention.self"]
    assert method.parameter_count(model.config).trained == 3 * 2 * 32


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"layers": (1, 3)}, "this model has 2 layers"),
        ({"layers": (2, 1)}, "put the lower one first"),
        ({"layers": (0, 1)}, r"layers must be at least 1, got \(0, 1\).*layers=\(1, 6\)"),
        ({"layers": 3}, "the first and the last layer, got 3"),
        ({"prefix_length": 40}, "leaves no room for a text"),
        ({"prefix_length": 0}, "prefix_length must be at least 1"),
        ({"dropout": 1.0}, "dropout must be"),
        ({"init_tokens": (99,)}, "init_tokens has the id 99, but the vocabulary ends at 98"),
        ({"init_tokens": "words"}, "init_tokens must be ids"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_the_model(settings, message):
    model = tiny("bert", "sequence_classification")
    with unchanged(model), pytest.raises((ValueError, TypeError), match=message):
        PTuningV2(**settings).attach(model)


def test_an_attention_that_would_not_see_the_rows_is_refused():
    model = tiny("bert")
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ValueError, match="uses the attention 'flash_attention_2'"):
        PrefixTuning().attach(model)


@pytest.mark.skipif(takes_rows("t5"), reason="this release of transformers has rows in T5")
def test_a_release_in_which_t5_computes_its_attention_by_itself_is_refused():
    model = tiny("t5")
    with unchanged(model), pytest.raises(ValueError, match="install a newer transformers"):
        PrefixTuning().attach(model)


def test_detaching_gives_the_attention_back_and_disabling_sets_it_aside():
    model = tiny("bart", "seq2seq_lm")
    inputs = batch(model)
    plain = logits(model, inputs)
    attachment = attached(model)
    assert model.config._attn_implementation == "peftlab_sdpa"
    with attachment.disabled():
        assert model.config._attn_implementation == "sdpa"
        assert torch.equal(logits(model, inputs), plain)
    assert not torch.equal(logits(model, inputs), plain)
    attachment.detach()
    assert model.config._attn_implementation == "sdpa"
    assert not any("_peftlab" in key for m in model.modules() for key in m.__dict__)
    assert torch.equal(logits(model, inputs), plain)


def test_a_text_that_no_position_is_left_for_is_refused():
    model = tiny("bert", None)
    attached(model, P=35)
    with pytest.raises(ValueError, match="need 42 positions, but this model has 40"):
        logits(model, batch(model))


def test_the_config_is_saved_without_our_names(tmp_path):
    model = tiny("gpt2", "causal_lm")
    attached(model)
    model.config.save_pretrained(tmp_path)
    assert "peftlab" not in (tmp_path / "config.json").read_text()
    assert tiny_config("gpt2").eos_token_id == EOS


# Beside PEFT


TASKS = {
    "causal_lm": "CAUSAL_LM",
    "sequence_classification": "SEQ_CLS",
    "seq2seq_lm": "SEQ_2_SEQ_LM",
}


def beside_peft(family, head):
    """The same model twice, the second one with PEFT's prefix."""
    ours, theirs = tiny(family, head), tiny(family, head)
    config = peft.PrefixTuningConfig(task_type=TASKS[head], num_virtual_tokens=4)
    return ours, peft.get_peft_model(theirs, config).eval()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("family", "head"),
    [
        ("gpt2", "causal_lm"),
        ("llama", "causal_lm"),
        ("bert", "sequence_classification"),
        ("roberta", "sequence_classification"),
    ],
)
def test_logits_and_gradients_are_those_of_peft_for_the_same_rows(family, head):
    model, theirs = beside_peft(family, head)
    PrefixTuning(prefix_length=4, reparametrization_width=0).attach(model)
    (prefix,) = prefixes(model)
    table = theirs.prompt_encoder["default"].embedding.weight
    with torch.no_grad():
        table.copy_(prefix.rows)
    inputs = batch(model)
    try:
        wanted = theirs(**inputs)
    except ValueError as error:  # newer releases have no cache in an encoder; ours needs none
        assert family in ("bert", "roberta") and "does not support past key values" in str(error)
        pytest.skip("PEFT refuses the encoders of this release of transformers")
    found = model(**inputs)
    torch.testing.assert_close(found.logits, wanted.logits, atol=1e-5, rtol=1e-5)
    found.loss.backward()
    wanted.loss.backward()
    torch.testing.assert_close(prefix.rows.grad, table.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_of_an_encoder_with_a_decoder_peft_gives_the_prefix_to_one_stack_and_ours_to_three():
    model, theirs = beside_peft("bart", "seq2seq_lm")
    attached(model)
    ours = sum(prefix.rows.numel() for prefix in prefixes(model))
    assert ours == 3 * theirs.prompt_encoder["default"].embedding.weight.numel()


@pytest.mark.filterwarnings("ignore")
def test_peft_refuses_distilbert_and_gradient_checkpointing_which_ours_takes():
    with pytest.raises(ValueError, match="Please specify"):
        beside_peft("distilbert", "sequence_classification")
    model = tiny("distilbert", "sequence_classification")
    attached(model)
    assert model(**batch(model)).logits.shape == (3, 3)
    with pytest.raises(ValueError, match="not work with gradient checkpointing"):
        model = tiny("gpt2", "causal_lm")
        model.gradient_checkpointing_enable()
        config = peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
        peft.get_peft_model(model, config)
    model = tiny("gpt2", "causal_lm")
    model.gradient_checkpointing_enable()
    attached(model)
    loss(model.train(), batch(model)).backward()
    assert prefixes(model)[0].rows.grad.abs().min() > 0
