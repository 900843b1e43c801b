"""P-Tuning: vectors at the slots of a template, the network that makes them, and what is kept."""

import json
from dataclasses import replace

import pytest
import torch
import transformers
from tiny import CELLS, FIRST_WORD, PAD, batch, logits, loss, randomise, tiny, unchanged
from tiny_text import SIZE, wordpiece_tokenizer
from torch import nn

from peftlab import PTuning, anatomy, load, train
from peftlab.anatomy.catalog import catalog_config
from peftlab.attach import attachment_of, embedding
from peftlab.methods.p_tuning.layers import PromptEncoder, SlotEmbedding
from peftlab.methods.p_tuning.method import ENCODERS
from peftlab.tasks import Example, Task
from peftlab.tasks.template import parse

REFUSED = [(family, "sequence_classification") for family in ("t5", "bart")]
SUPPORTED = [cell for cell in CELLS if cell not in REFUSED]
every_cell = pytest.mark.parametrize(("family", "head"), SUPPORTED)
every_encoder = pytest.mark.parametrize("encoder", ENCODERS)
WORDS = torch.tensor([11, 12, 13])
P, D = len(WORDS), 32


def with_slots(inputs, places):
    """The inputs with slot k at the k-th of `places`."""
    ids = inputs["input_ids"].clone()
    ids[:, list(places)] = -torch.arange(1, len(places) + 1)
    return inputs | {"input_ids": ids}


def with_words(inputs, places, words=WORDS):
    ids = inputs["input_ids"].clone()
    ids[:, list(places)] = words
    return inputs | {"input_ids": ids}


def attached(model, encoder="lstm", **options):
    return PTuning(template=f"[P*{P}] [X]", prompt_encoder=encoder, **options).attach(model)


def slots_of(model):
    return next(m for m in model.modules() if isinstance(m, SlotEmbedding))


def with_rows_of_the_table(model):
    """Slots that hold the embeddings of `WORDS`."""
    table = model.get_submodule(embedding(model))
    attachment = attached(model, "none")
    with torch.no_grad():
        slots_of(model).encoder.free.weight.copy_(table(WORDS))
    return attachment


# What a slot is


@every_cell
@pytest.mark.parametrize("places", [(0, 1, 2), (1, 3, 4), (6, 0, 3)], ids=str)
def test_slots_with_the_rows_of_real_tokens_are_these_tokens_anywhere(family, head, places):
    model = tiny(family, head)
    inputs = batch(model, padding=None)
    expected, other = logits(model, with_words(inputs, places)), logits(model, inputs)
    with_rows_of_the_table(model)
    found = logits(model, with_slots(inputs, places))
    assert torch.equal(found, expected)
    assert not torch.allclose(found, other, atol=1e-3)


@every_cell
def test_the_number_of_a_slot_decides_its_row_not_its_place(family, head):
    model = tiny(family, head)
    inputs = batch(model, padding=None)
    places, permuted = (1, 2, 4), (4, 1, 2)
    in_order = logits(model, with_words(inputs, places))
    expected = logits(model, with_words(inputs, permuted))
    with_rows_of_the_table(model)
    assert torch.equal(logits(model, with_slots(inputs, permuted)), expected)
    assert not torch.allclose(logits(model, with_slots(inputs, permuted)), in_order, atol=1e-4)


def test_each_example_may_have_its_slots_elsewhere():
    model = tiny("gpt2", "causal_lm")
    inputs = batch(model, padding=None)
    words, slots = inputs["input_ids"].clone(), inputs["input_ids"].clone()
    for row, places in enumerate([(0, 1, 2), (4, 5, 6), (5, 3, 1)]):
        words[row, list(places)], slots[row, list(places)] = WORDS, torch.tensor([-1, -2, -3])
    expected = logits(model, inputs | {"input_ids": words})
    with_rows_of_the_table(model)
    assert torch.equal(logits(model, inputs | {"input_ids": slots}), expected)


@pytest.mark.parametrize(("family", "head"), REFUSED)
def test_a_decoder_that_reads_the_input_again_is_refused_and_left_as_it_was(family, head):
    model = tiny(family, head)
    with unchanged(model), pytest.raises(ValueError, match=r"use prompt_tuning, or .* seq2seq_lm"):
        PTuning().attach(model)
    with pytest.raises(ValueError, match="has no vectors for slots"):
        PTuning().parameter_count(model.config, head)
    assert attachment_of(model) is None


@every_cell
def test_every_number_that_is_kept_gets_a_gradient(family, head):
    model = tiny(family, head)
    attached(model, "none")
    loss(model, with_slots(batch(model), (0, 1, 3))).backward()
    assert (slots_of(model).encoder.free.weight.grad != 0).all()


# Padding and generation


@every_cell
def test_padding_on_the_right_changes_nothing(family, head):
    model = tiny(family, head)
    randomise(attached(model))
    given = batch(model, rows=1, length=5, padding=None)
    alone = with_slots({k: v for k, v in given.items() if k != "labels"}, (0, 2, 3))
    if model.config.is_encoder_decoder:
        alone["decoder_input_ids"] = given["input_ids"]
    padded = alone | {
        name: torch.cat([alone[name], torch.full((1, 3), fill)], 1)
        for name, fill in (("input_ids", PAD), ("attention_mask", 0))
    }
    found = logits(model, padded)
    found = found[:, :5] if found.ndim == 3 else found
    torch.testing.assert_close(found, logits(model, alone), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen3"])
@pytest.mark.parametrize("padding", [None, "left"])
def test_generating_with_the_cache_is_repeated_full_forwards(family, padding):
    model = tiny(family, "causal_lm")
    plain = batch(model, padding=padding)
    randomise(attached(model), std=1.0)
    inputs = with_slots(plain, (2, 5, 4))
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    common = dict(max_new_tokens=6, do_sample=False, pad_token_id=PAD, eos_token_id=None)
    written = model.generate(ids, attention_mask=mask, use_cache=True, **common)
    for _ in range(6):
        given = {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
        }
        ids = torch.cat([ids, logits(model, given)[:, -1:].argmax(-1)], 1)
        mask = torch.cat([mask, torch.ones(3, 1).long()], 1)
    assert torch.equal(written, ids)
    without = model.generate(plain["input_ids"], attention_mask=plain["attention_mask"], **common)
    assert not torch.equal(written[:, 7:], without[:, 7:])


def test_left_padding_changes_no_token_that_is_written():
    model = tiny("gpt2", "causal_lm")
    randomise(attached(model), std=1.0)
    ids = torch.tensor([[7, -1, 8, -2, -3]])
    padded = torch.cat([torch.full((1, 3), PAD), ids], 1)
    common = dict(max_new_tokens=6, do_sample=False, pad_token_id=PAD, eos_token_id=None)
    alone = model.generate(ids, attention_mask=torch.ones_like(ids), **common)
    found = model.generate(padded, attention_mask=(padded != PAD).long(), **common)
    assert torch.equal(found[:, 8:], alone[:, 5:])


# Counts


@every_encoder
@pytest.mark.parametrize("slots", [1, 2, 7])
@pytest.mark.parametrize(("family", "head"), [("bert", "sequence_classification"), ("t5", None)])
def test_the_closed_form_is_what_stands_in_the_model(encoder, slots, family, head):
    method = PTuning(template=f"[X] [P*{slots}]", prompt_encoder=encoder)
    model = tiny(family, head)
    attachment = method.attach(model)
    count = method.parameter_count(model.config, head)
    assert count == attachment.report()
    assert count.trained == sum(p.numel() for p in slots_of(model).encoder.parameters())
    assert count.stored == slots * D


def test_the_counts_of_the_paper():
    """Nine slots on BERT-base, as for LAMA: 3, 3 and 3 around subject and mask."""
    method = PTuning(template="[P*3] [X] [P*3] [Y] [P*3]")
    count = method.parameter_count(catalog_config("bert-base"), "masked_lm")
    assert (count.trained, count.stored, count.head) == (8_278_272, 6_912, 0)


# The prompt encoder


@pytest.mark.parametrize(("kind", "hidden"), [("lstm", D // 2), ("wide_lstm", D)])
def test_an_lstm_from_either_side_and_an_mlp_make_the_vectors(kind, hidden):
    """h_i = MLP([LSTM(h_0:i) : LSTM(h_i:m)]), each direction written as an LSTM of its own."""
    encoder = PromptEncoder(P, D, kind)
    first, _, last = encoder.mlp
    h = encoder.free.weight  # (P, D)
    with torch.no_grad():
        for layer in (0, 1):
            sides = []
            for suffix in ("", "_reverse"):
                one = nn.LSTM(h.shape[1], hidden)
                for name, parameter in one.named_parameters():
                    own = name.replace("_l0", f"_l{layer}{suffix}")
                    parameter.copy_(encoder.lstm.get_parameter(own))
                sides.append(one(h.flip(0))[0].flip(0) if suffix else one(h)[0])
            h = torch.cat(sides, 1)  # (P, 2 H)
        expected = last(first(h).relu())
        torch.testing.assert_close(encoder(), expected, atol=1e-6, rtol=1e-6)
    assert h.shape == (P, 2 * hidden)


def test_an_mlp_makes_each_vector_on_its_own_and_none_leaves_them():
    mlp, none = PromptEncoder(P, D, "mlp"), PromptEncoder(P, D, "none")
    first, _, last = mlp.mlp
    expected = first(mlp.free.weight).clamp(min=0) @ last.weight.T + last.bias
    torch.testing.assert_close(mlp(), expected, atol=1e-6, rtol=1e-6)
    assert torch.equal(none(), none.free.weight)


@every_encoder
def test_only_an_lstm_lets_a_vector_depend_on_its_neighbours(encoder):
    made = PromptEncoder(P, D, encoder)
    made()[0].sum().backward()
    depends = made.free.weight.grad[1:].abs().sum() > 0
    assert depends == ("lstm" in encoder)


def test_free_vectors_without_an_encoder_start_with_the_spread_of_the_words():
    model = tiny("bert")
    spread = model.get_submodule(embedding(model)).weight.std()
    PTuning(template="[X] [P*200]", prompt_encoder="none").attach(model)
    assert slots_of(model).vectors().std().item() == pytest.approx(spread.item(), rel=0.1)
    assert abs(spread.item() - 1) > 0.3, "or it could not be told from N(0, 1)"


# Baking


BAKED = pytest.mark.parametrize(
    ("family", "head"), [("bert", "sequence_classification"), ("gpt2", "causal_lm")]
)


@pytest.mark.parametrize(
    "encoder",
    ENCODERS,
)
@BAKED
def test_baking_keeps_the_logits_exactly(family, head, encoder):
    model = tiny(family, head)
    inputs = with_slots(batch(model), (0, 2, 3))
    attachment = randomise(attached(model, encoder))
    expected = logits(model, inputs)
    attachment.bake()
    assert torch.equal(logits(model, inputs), expected)


@every_encoder
@BAKED
def test_baking_keeps_the_vectors_and_the_head_alone(family, head, encoder):
    model = tiny(family, head)
    attachment = randomise(attached(model, encoder))
    vectors = slots_of(model).vectors().detach().clone()
    attachment.bake()
    heads = {f"{h}.{n}" for h in anatomy.head_modules(model) for n in ("weight", "bias")}
    state, table = attachment.state_dict(), f"{embedding(model)}.table"
    assert state.keys() == heads | {table}
    torch.testing.assert_close(state[table], vectors)
    assert slots_of(model).encoder is None


@every_encoder
def test_baking_leaves_as_many_numbers_to_train_as_are_stored(encoder):
    model = tiny("bert", "sequence_classification")
    attachment = attached(model, encoder)
    before = attachment.report()
    attachment.bake()
    after = attachment.report()
    assert after.trained == after.stored == before.stored == P * D
    assert (after.head, after.backbone) == (before.head, before.backbone)


def test_baking_twice_is_baking_once():
    model = tiny("gpt2", "causal_lm")
    attachment = randomise(attached(model))
    assert not attachment.baked
    attachment.bake()
    table = slots_of(model).table
    with unchanged(model):
        attachment.bake()
    assert attachment.baked and slots_of(model).table is table


def test_baked_vectors_still_train():
    model = tiny("gpt2", "causal_lm")
    attachment = randomise(attached(model))
    attachment.bake()
    loss(model, with_slots(batch(model), (0, 2, 3))).backward()
    (table,) = attachment.parameters()
    assert (table.grad != 0).all()


@every_encoder
@pytest.mark.parametrize("bake", [True, False])
@pytest.mark.parametrize("rate", [None, 1e-4])
def test_saved_vectors_come_back_baked_or_not(tmp_path, encoder, bake, rate):
    head = "sequence_classification"
    model = tiny("bert", head)
    inputs = with_slots(batch(model), (0, 2, 3))
    attachment = randomise(attached(model, encoder, backbone_learning_rate=rate), std=0.1)
    if bake:
        attachment.bake()
    expected = logits(model, inputs)
    attachment.save(tmp_path / "saved")
    again = load(tmp_path / "saved", tiny("bert", head))
    assert again.baked == bake and again.report() == attachment.report()
    assert torch.equal(logits(again.model, inputs), expected)


def test_tensors_that_do_not_fit_do_not_bake():
    model = tiny("gpt2", "causal_lm")
    attachment = attached(model)
    with unchanged(model), pytest.raises(ValueError, match="is stored with shape"):
        attachment.load_state_dict({f"{embedding(model)}.table": torch.zeros(P + 1, D)})


@pytest.mark.parametrize("rate", [None, 1e-4])
def test_detaching_after_baking_leaves_no_trace(rate):
    model = tiny("bert", "sequence_classification")
    with unchanged(model):
        attachment = randomise(attached(model, backbone_learning_rate=rate))
        attachment.bake()
        attachment.detach()


@pytest.mark.parametrize("rate", [None, 1e-4])
def test_disabled_after_baking_is_the_plain_model(rate):
    model = tiny("bert", "sequence_classification")
    inputs = batch(model)
    plain = logits(model, inputs)
    attachment = randomise(attached(model, backbone_learning_rate=rate))
    attachment.bake()
    with unchanged(model):
        with attachment.disabled():
            assert torch.equal(logits(model, inputs), plain)
        assert not torch.equal(logits(model, inputs), plain)


def test_baking_inside_disabled_or_after_detach_is_refused():
    attachment = attached(tiny("gpt2", "causal_lm"))
    with attachment.disabled(), pytest.raises(ValueError, match="cannot bake inside disabled"):
        attachment.bake()
    attachment.detach()
    with pytest.raises(ValueError, match="cannot bake: this attachment is detached"):
        attachment.bake()


def test_slots_cannot_be_merged():
    with pytest.raises(TypeError, match="cannot be merged into a weight"):
        attached(tiny("gpt2", "causal_lm")).merge()


# Batches without slots, and with too many


@pytest.mark.parametrize(("family", "head"), [(f, h) for f, h in SUPPORTED if f != "t5"])
def test_without_a_slot_a_frozen_model_is_the_plain_one(family, head):
    model = tiny(family, head)
    inputs = batch(model)
    plain = logits(model, inputs)
    attached(model)  # a fresh head keeps its values
    assert torch.equal(logits(model, inputs), plain)


def test_training_without_a_slot_is_refused():
    model = tiny("gpt2", "causal_lm")
    attached(model)
    model.train()
    with pytest.raises(ValueError, match=r"no slot .* method\.prepare\(task\)"):
        model(**batch(model))
    loss(model, with_slots(batch(model), (0, 1, 2)))


@pytest.mark.parametrize("baked", [True, False])
def test_a_slot_that_the_template_does_not_have_is_refused(baked):
    model = tiny("gpt2", "causal_lm")
    attachment = attached(model)
    if baked:
        attachment.bake()
    model(torch.tensor([[FIRST_WORD, -P]]))
    with pytest.raises(ValueError, match=f"the slot {P + 1}, the template {P}"):
        model(torch.tensor([[FIRST_WORD, -P - 1]]))


# A backbone that trains along

TOY = Task(
    "toy",
    "label",
    ("no", "yes"),
    *[tuple(Example(f"{city} is the capital", i) for i, city in enumerate(("Rome", "Paris")))] * 3,
)


@every_cell
def test_everything_trains_and_the_backbone_at_its_own_rate(family, head):
    model = tiny(family, head)
    attachment = attached(model, backbone_learning_rate=1e-5)
    groups = {
        rate: {id(p) for p in parameters}
        for rate, parameters in attachment.parameters_by_rate().items()
    }
    heads = [model.get_submodule(name) for name in anatomy.head_modules(model)]
    at_the_rate_of_train = {
        id(p) for module in (slots_of(model).encoder, *heads) for p in module.parameters()
    }
    assert groups.keys() == {None, 1e-5}
    assert groups[None] == at_the_rate_of_train
    assert groups[1e-5] == {id(p) for p in model.parameters()} - at_the_rate_of_train
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(("rate", "moves"), [(1e-12, False), (1e-3, True)])
def test_the_backbone_moves_at_its_own_rate(rate, moves):
    tokenizer = wordpiece_tokenizer()
    options = {"vocab_size": SIZE, "num_labels": 2, "pad_token_id": tokenizer.pad_token_id}
    model = tiny("bert", "sequence_classification", **options)
    method = PTuning(template="[P*2] [X]", backbone_learning_rate=rate)
    attachment = method.attach(model)
    before = attachment.state_dict()
    settings = {"epochs": 1, "batch_size": 2, "validate": False, "progress": False}
    train(attachment, tokenizer, method.prepare(TOY), learning_rate=1e-2, **settings)
    after = attachment.state_dict()
    far = {name: (after[name] - before[name]).abs().max().item() for name in before}
    for name, distance in far.items():
        if ".encoder.free." in name or ".encoder.mlp." in name or name.startswith("classifier"):
            assert distance == pytest.approx(1e-2, rel=0.1), name  # a first step of Adam
    inner = {n: d for n, d in far.items() if n.startswith("bert.encoder.") and "key.bias" not in n}
    assert inner
    for name, distance in inner.items():
        assert distance > rate / 2 if moves else distance < 1e-9, name


# Templates and verbalizers


@pytest.mark.parametrize(
    ("template", "parsed"),
    [
        ("[P] [X]", "[P] [X]"),
        ("[P*3] [X] [Y] .", "[P] [P] [P] [X] [Y] ."),
        ("  [P*1]   on [X],\n[P*2] [X2]", "[P] on [X], [P] [P] [X2]"),
        (["[P*2]", "[X]", "It was", "[Y]"], "[P] [P] [X] It was [Y]"),
        (("[X]", "[P*12]"), " ".join(["[X]"] + ["[P]"] * 12)),
    ],
)
def test_a_template_is_written_out(template, parsed):
    assert parse(template) == PTuning(template=template).template == parsed
    assert parse(parsed) == parsed
    assert PTuning(template=template).slots == parsed.split().count("[P]")


@pytest.mark.parametrize(
    "template",
    [
        *("", "[X] [Y]", "[P*0] [X]", "[P]", "[P] [X2]"),
        *("[P] [X] [X]", "[P] [X] [X2] [X2]", "[P] [X] [Y] [Y]"),
        *([], ["[P*2]"], ["[P]", "[X]", "[X]"]),
    ],
)
def test_a_template_without_a_slot_or_with_a_gap_twice_is_refused(template):
    with pytest.raises(ValueError, match=r"\[P\] or \[P\*n\].*at most once; got") as error:
        PTuning(template=template)
    assert repr(template) in str(error.value)


@pytest.mark.parametrize("template", [None, 3, ["[P]", 3], {"[P]": "[X]"}, b"[P] [X]"])
def test_a_template_that_is_no_text_is_refused(template):
    with pytest.raises(TypeError, match="template must be a string or a list of strings"):
        PTuning(template=template)


@pytest.mark.parametrize("encoder", ["gru", "", None])
def test_an_unknown_encoder_is_refused_with_those_there_are(encoder):
    with pytest.raises(ValueError, match="one of lstm, wide_lstm, mlp, none, got"):
        PTuning(prompt_encoder=encoder)


@pytest.mark.parametrize(
    ("rate", "error"), [(0, ValueError), (-1e-5, ValueError), ("1e-5", TypeError)]
)
def test_a_rate_of_the_backbone_out_of_range_is_refused(rate, error):
    with pytest.raises(error, match="backbone_learning_rate must be"):
        PTuning(backbone_learning_rate=rate)


def test_a_verbalizer_is_a_mapping_or_pairs():
    pairs = (("no", "bad"), ("yes", "good"))
    for words in (dict(pairs), pairs, [list(pair) for pair in pairs]):
        assert PTuning(verbalizer=words).verbalizer == pairs


@pytest.mark.parametrize("words", [5, ("good", "bad"), [("no", "bad", "yes")], None])
def test_a_verbalizer_of_another_kind_is_refused(words):
    with pytest.raises(TypeError, match="verbalizer must map labels to words"):
        PTuning(verbalizer=words)


def test_a_verbalizer_needs_a_gap_in_the_template():
    with pytest.raises(ValueError, match=r"need a \[Y\] in '\[P\] \[X\]'"):
        PTuning(template="[P] [X]", verbalizer={"no": "bad", "yes": "good"})


@pytest.mark.parametrize(
    "method",
    [
        PTuning(),
        PTuning(template=["[P*2]", "[X]"], prompt_encoder="none"),
        PTuning(verbalizer={"no": "bad", "yes": "good"}, backbone_learning_rate=1e-5),
    ],
)
def test_hyperparameters_survive_json(method):
    again = PTuning(**json.loads(json.dumps(method.hyperparameters())))
    assert again == method and hash(again) == hash(method)


def test_prepare_puts_the_template_around_the_texts():
    assert PTuning(template="[P] [X] [P]").prepare(TOY).train[0] == Example(
        "[P] Rome is the capital [P]", 0, slots=2
    )
    cloze = PTuning(template="[P] [X] [Y]", verbalizer={"no": "bad", "yes": "good"}).prepare(TOY)
    assert cloze.kind == "cloze"
    assert [e.references for e in cloze.test] == [("bad",), ("good",)]


def test_markers_in_the_texts_themselves_are_refused():
    own = replace(TOY, train=(Example("a [P] of its own", 0), *TOY.train[1:]))
    with pytest.raises(ValueError, match="beside the 1 of the template"):
        PTuning(template="[P] [X]").prepare(own)
    own = replace(TOY, train=(Example("a [Y] of its own", 0), *TOY.train[1:]))
    with pytest.raises(ValueError, match="the place of the target"):
        PTuning(template="[P] [X] [Y]", verbalizer={"no": "bad", "yes": "good"}).prepare(own)


@pytest.mark.parametrize("words", [("ab", "cd"), {"a": 3}, 7, [("a",)]])
def test_a_verbalizer_that_is_no_mapping_of_words_is_refused(words):
    with pytest.raises(TypeError, match="must map labels to words"):
        PTuning(template="[P] [X] [Y]", verbalizer=words)


@pytest.mark.parametrize("typo", ["[P3]", "[P*]", "[P*-3]", "[x]", "[Z]", "[Y", "P]"])
def test_a_typo_in_brackets_is_no_anchor(typo):
    with pytest.raises(ValueError, match="is no gap; write"):
        PTuning(template=f"[P] [X] {typo}")


def test_a_verbalizer_needs_a_language_model_and_one_word_a_label():
    model = tiny("bert", "sequence_classification")
    method = PTuning(template="[P] [X] [Y]", verbalizer={"no": "bad", "yes": "good"})
    with unchanged(model), pytest.raises(ValueError, match=r"method\.prepare\(task\)"):
        method.attach(model)
    with pytest.raises(ValueError, match="a label twice"):
        PTuning(template="[P] [X] [Y]", verbalizer=(("no", "bad"), ("no", "good")))


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize(("family", "head"), [("gpt2", "causal_lm"), ("bert", "masked_lm")])
def test_training_in_half_precision_on_the_cpu_trains_every_encoder(family, head, encoder):
    model = tiny(family, head)
    attachment = PTuning(template="[P*2] [X]", prompt_encoder=encoder).attach(model)
    inputs = batch(model, padding=None)
    inputs["input_ids"][:, :2] = torch.tensor([-1, -2])
    whole = loss(model, inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = loss(model, inputs)
    half.backward()
    torch.testing.assert_close(half.float(), whole, atol=0.1, rtol=0.1)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in attachment.parameters())


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_prompt_encoder_goes_to_the_device_of_the_model(encoder):
    """Whatever the default device is, and from the same draws."""
    starts = []
    for device in ("cpu", "meta"):
        model = tiny("gpt2", "causal_lm")
        torch.manual_seed(0)
        with torch.device(device):
            method = PTuning(template="[P*2] [X]", prompt_encoder=encoder)
            starts.append(method.attach(model).parameters())
    for one, other in zip(*starts, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("family", "head", "setting", "value"),
    [
        ("gpt2", "causal_lm", "repetition_penalty", 1.2),
        ("gpt2", "causal_lm", "no_repeat_ngram_size", 2),
        ("gpt2", "causal_lm", "assistant_model", None),
        ("t5", "seq2seq_lm", "assistant_model", None),
        ("t5", "seq2seq_lm", "encoder_repetition_penalty", 1.2),
        ("t5", "seq2seq_lm", "encoder_no_repeat_ngram_size", 1),
    ],
)
def test_settings_that_look_up_slots_among_the_words_are_refused(family, head, setting, value):
    model = tiny(family, head)
    attachment = PTuning(template="[P*2] [X]").attach(model)
    common = dict(max_new_tokens=2, do_sample=False, eos_token_id=None)
    words = torch.tensor([[7, 8, 5, 6]])
    slots = torch.tensor([[-1, -2, 5, 6]])
    given = {setting: tiny(family, head, seed=1) if value is None else value}
    for call in (
        lambda: model.generate(slots, **common, **given),
        lambda: model.generate(input_ids=slots, **common, **given),
    ):
        with pytest.raises(ValueError, match=f"generate without {setting}"):
            call()
    if value is not None:
        config = transformers.GenerationConfig(pad_token_id=PAD, **common, **given)
        with pytest.raises(ValueError, match=f"generate without {setting}"):
            model.generate(slots, generation_config=config)
    free = model.generate(words, **common, **given)
    assert free.shape == model.generate(slots, **common).shape
    attachment.detach()
    assert torch.equal(model.generate(words, **common, **given), free)
    assert "generate" not in vars(model)
