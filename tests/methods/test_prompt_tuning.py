"""Prompt tuning: rows before the embedded input, on every family, for either padding side."""

import copy
import inspect
import math
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
import transformers
from tiny import CELLS, FIRST_WORD, PAD, batch, logits, loss, tiny, unchanged

from peftlab import PromptTuning, anatomy
from peftlab.attach import embedding
from peftlab.attach.inputs import CACHES
from peftlab.insight import one_each
from peftlab.methods.prompt_tuning.layers import initial_rows, known_tokens

every_cell = pytest.mark.parametrize(("family", "head"), CELLS)
FAMILIES = list(anatomy.FAMILIES)
P = 4
WORDS = torch.tensor([11, 12, 13, 14])


def rows_of(attachment):
    (rows,) = [p for n, p in attachment.named_parameters().items() if "soft_prompt" in n]
    return rows


def attached(model, rows=None):
    """A prompt of random rows, or of given ones; the head stays as it was."""
    attachment = PromptTuning(prompt_length=P).attach(model)
    with torch.no_grad():
        rows_of(attachment).copy_(torch.randn(P, 32) if rows is None else rows)
    return attachment


def states(model, inputs):
    """Last hidden states of the base model, before any head."""
    with torch.no_grad():
        given = {k: v for k, v in inputs.items() if k != "labels"}
        if anatomy.family(model.config).encoder and model.base_model is not model:
            given.pop("decoder_input_ids", None)
        return model.base_model(**given).last_hidden_state


@every_cell
def test_rows_of_real_tokens_are_these_tokens(family, head):
    """The logits at the input are those of the plain model on [t; x]."""
    model = tiny(family, head)
    if model.config.is_encoder_decoder or head == "sequence_classification":
        pytest.skip("what the head reads is compared below")
    inputs = batch(model, padding=None)
    longer = {
        "input_ids": torch.cat([WORDS.expand(3, -1), inputs["input_ids"]], 1),
        "attention_mask": torch.ones(3, 11, dtype=torch.long),
    }
    with torch.no_grad():
        expected = model(**longer)[0][:, P:]
        table = model.get_submodule(embedding(model))
        attached(model, table(WORDS))
        given = {k: v for k, v in inputs.items() if k != "labels"}
        found = model(**given)[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["t5", "bart"])
@pytest.mark.parametrize("padding", [None, "right"])
def test_an_encoders_rows_are_seen_by_the_decoder(family, padding):
    model = tiny(family, "seq2seq_lm")
    inputs = batch(model, padding=padding)
    longer = inputs | {
        "input_ids": torch.cat([WORDS.expand(3, -1), inputs["input_ids"]], 1),
        "attention_mask": torch.cat([torch.ones(3, P).long(), inputs["attention_mask"]], 1),
    }
    expected = logits(model, longer)
    with torch.no_grad():
        attached(model, model.get_submodule(embedding(model))(WORDS))
    torch.testing.assert_close(logits(model, inputs), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_classification_reads_the_first_token_of_the_text_not_the_first_row(family):
    """[CLS] stands at index P: what the head gets is the state there in the plain model."""
    model = tiny(family, "sequence_classification")
    inputs = batch(model, padding=None)
    longer = torch.cat([WORDS.expand(3, -1), inputs["input_ids"]], 1)
    with torch.no_grad():
        whole = model.base_model(longer, attention_mask=torch.ones_like(longer))
        state = whole.last_hidden_state[:, P:]
        if family == "bert":
            expected = model.classifier(model.bert.pooler(state))
        elif family == "roberta":
            expected = model.classifier(state)
        else:
            expected = model.classifier(model.pre_classifier(state[:, 0]).relu())
        attached(model, model.get_submodule(embedding(model))(WORDS))
    torch.testing.assert_close(logits(model, inputs), expected, atol=1e-5, rtol=1e-5)


@every_cell
def test_padding_on_either_side_changes_nothing(family, head):
    model = tiny(family, head)
    attached(model)
    short = batch(model, rows=1, length=5, padding=None)
    alone = {k: v for k, v in short.items() if k != "labels"}
    if head == "seq2seq_lm":
        alone["decoder_input_ids"] = alone["input_ids"]
    expected = logits(model, alone)
    for side in ("left", "right"):
        pads = {"input_ids": PAD, "attention_mask": 0, "decoder_input_ids": PAD}
        padded = {}
        for name, values in alone.items():
            if name == "decoder_input_ids":
                padded[name] = values
                continue
            fill = torch.full((1, 3), pads[name])
            padded[name] = torch.cat([fill, values] if side == "left" else [values, fill], 1)
        found = logits(model, padded)
        if found.ndim == 3 and found.shape[1] == 8:
            found = found[:, 3:] if side == "left" else found[:, :5]
        if (family, head, side) in [(f, "sequence_classification", "left") for f in ("t5", "bart")]:
            continue  # their decoder reads the padded ids without a mask: not the prompt's doing
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "gpt2", "bart", "llama"])
def test_an_unmasked_batch_is_one_of_ones(family):
    head = None if family != "gpt2" else "causal_lm"
    model = tiny(family, head)
    attached(model)
    inputs = batch(model, padding=None)
    unmasked = {k: v for k, v in inputs.items() if k != "attention_mask"}
    torch.testing.assert_close(logits(model, unmasked), logits(model, inputs))


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen3"])
@pytest.mark.parametrize("padding", [None, "left"])
@pytest.mark.parametrize("beams", [1, 3])
def test_generating_with_the_cache_is_repeated_full_forwards(family, padding, beams):
    model = tiny(family, "causal_lm")
    attached(model)
    inputs = batch(model, padding=padding)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    common = dict(max_new_tokens=6, do_sample=False, pad_token_id=PAD, eos_token_id=None)
    written = model.generate(ids, attention_mask=mask, num_beams=beams, use_cache=True, **common)
    again = model.generate(ids, attention_mask=mask, num_beams=beams, use_cache=False, **common)
    assert torch.equal(written, again)
    if beams == 1:
        for _ in range(6):
            best = logits(model, {"input_ids": ids, "attention_mask": mask})[:, -1].argmax(-1)
            ids = torch.cat([ids, best[:, None]], 1)
            mask = torch.cat([mask, torch.ones(3, 1).long()], 1)
        assert torch.equal(written, ids)


@pytest.mark.parametrize("family", ["t5", "bart"])
@pytest.mark.parametrize("beams", [1, 3])
def test_an_encoder_decoder_generates_from_the_prompted_encoder(family, beams):
    model = tiny(family, "seq2seq_lm")
    inputs = {k: v for k, v in batch(model).items() if k != "labels"}
    common = dict(max_new_tokens=6, do_sample=False, num_beams=beams, eos_token_id=None)
    plain = logits(model, batch(model))
    attached(model, 3 * torch.randn(P, 32))
    cached = model.generate(**inputs, use_cache=True, **common)
    assert torch.equal(cached, model.generate(**inputs, use_cache=False, **common))
    assert not torch.allclose(logits(model, batch(model)), plain, atol=1e-2)


@every_cell
def test_every_number_of_the_prompt_gets_a_gradient(family, head):
    model = tiny(family, head)
    attachment = attached(model)
    loss(model, batch(model)).backward()
    assert (rows_of(attachment).grad != 0).all()


@every_cell
def test_hidden_states_lose_the_rows_and_attentions_keep_them(family, head):
    if head is not None or anatomy.FAMILIES[family].encoder:
        pytest.skip("the base model of one stack")
    model = tiny(family, head)
    model.set_attn_implementation("eager")
    attached(model)
    output = model(**batch(model), output_hidden_states=True, output_attentions=True)
    assert {state.shape[1] for state in output.hidden_states} == {7}
    assert {attention.shape[-1] for attention in output.attentions} == {7 + P}


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "gpt2", "bart"])
def test_what_does_not_fit_into_the_positions_is_refused_with_the_numbers(family):
    model = tiny(family, None)
    room = anatomy.position_room(model.config)
    attached(model)
    fits = torch.full((1, room - P), FIRST_WORD)
    model(fits)
    with pytest.raises(ValueError, match=rf"{P} virtual tokens and {room - P + 1} .* has {room}"):
        model(torch.full((1, room - P + 1), FIRST_WORD))
    fresh = tiny(family, None)
    with pytest.raises(ValueError, match=f"prompt_length={room} leaves no room"):
        PromptTuning(prompt_length=room).attach(fresh)


def test_inits_start_where_they_say():
    model = tiny("bert", "sequence_classification")
    table = model.get_submodule(embedding(model)).weight

    def start(**options):
        torch.manual_seed(0)
        attachment = PromptTuning(**options).attach(model)
        rows = rows_of(attachment).detach().clone()
        attachment.detach()
        return rows

    sampled = start(prompt_length=20)
    nearest = torch.cdist(sampled, table)
    assert (nearest.min(1).values < 1e-3).all() and len(set(nearest.argmin(1).tolist())) == 20
    assert start(prompt_length=30).shape == (30, 32)
    labels = start(prompt_length=3, init="labels", init_tokens=((7, 8), (9,)))
    torch.testing.assert_close(labels[0], table[[7, 8]].mean(0))
    assert torch.equal(labels[1], table[9])
    assert torch.cdist(labels[2:], table).min() < 1e-3
    text = start(prompt_length=5, init="text", init_tokens=((7, 8), (9,)))
    assert torch.equal(text, table[[7, 8, 9, 7, 8]])
    uniform = start(prompt_length=30, init="uniform")
    assert uniform.abs().max() <= 0.5 < uniform.abs().max() + 0.02
    assert math.isclose(uniform.mean(), 0, abs_tol=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt_length": 0}, "prompt_length must be at least 1"),
        ({"init": "zeros"}, "init must be one of vocabulary, labels, text, uniform"),
        ({"init": "labels"}, "need tokens"),
        ({"init": "text", "init_tokens": ((),)}, "at least one an entry"),
        ({"init_tokens": ((3,),)}, "the others take none"),
        ({"prompt_length": 1, "init": "labels", "init_tokens": ((3,), (4,))}, "prompt_length=2"),
        ({"init": "text", "init_tokens": ((-3,),)}, "init_tokens must be at least 0"),
    ],
)
def test_bad_hyperparameters_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PromptTuning(**options)


def test_unknown_tokens_are_refused():
    model = tiny("gpt2", "causal_lm")
    with pytest.raises(ValueError, match="id 99, but the vocabulary ends at 98"):
        PromptTuning(init="text", init_tokens=((99,),)).attach(model)


def test_the_count_of_the_paper():
    from peftlab.anatomy.catalog import CATALOG, catalog_config

    count = PromptTuning(prompt_length=5).parameter_count(
        catalog_config("t5-v1.1-xxl"), CATALOG["t5-v1.1-xxl"][0]
    )
    assert (count.trained, count.stored) == (20_480, 20_480)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "gpt2", "llama", "t5", "bart"])
def test_a_row_of_nothing_but_padding_spoils_no_other(family):
    head = "seq2seq_lm" if family in ("t5", "bart") else "token_classification"
    model = tiny(family, head)
    attached(model)
    inputs = batch(model)
    whole = logits(model, inputs)
    inputs["attention_mask"][2] = 0
    torch.testing.assert_close(logits(model, inputs)[:2], whole[:2], atol=1e-5, rtol=1e-5)


def test_a_mask_may_be_of_floats_and_types_may_be_one_row():
    model = tiny("bert", "sequence_classification")
    attached(model)
    inputs = batch(model) | {"token_type_ids": torch.zeros(1, 7, dtype=torch.long)}
    whole = logits(model, inputs)
    floats = inputs | {"attention_mask": inputs["attention_mask"].float()}
    torch.testing.assert_close(logits(model, floats), whole)


def test_ids_and_embeddings_exclude_each_other():
    model = tiny("gpt2")
    attached(model)
    for given in (
        {},
        {"input_ids": torch.ones(1, 2).long(), "inputs_embeds": torch.ones(1, 2, 32)},
    ):
        with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
            model(**given)


@pytest.mark.parametrize("tokens", ["ab", ("ab",), ((1.5,),), 7])
def test_tokens_that_are_no_ids_are_refused(tokens):
    with pytest.raises(TypeError, match="init_tokens must be tuples of ids"):
        PromptTuning(init="text", init_tokens=tokens)


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen3"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_every_kind_of_static_cache_is_refused(family, attention):
    """Whether transformers makes a mask of its own for it, or leaves none."""
    model = tiny(family, "causal_lm")
    model.set_attn_implementation(attention)
    attached(model)
    ids = torch.tensor([[5, 6]])
    with pytest.raises(ValueError, match="without a static cache"):
        model.generate(ids, cache_implementation="static", max_new_tokens=3)
    for size in (3, 30):  # the rows don't fit, and they do
        cache = transformers.StaticCache(config=model.config, max_cache_len=size)
        (name,) = set(CACHES) & set(inspect.signature(model.forward).parameters)
        with pytest.raises(ValueError, match="without a static cache"):
            model(ids, **{name: cache})


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen3"])
def test_a_call_with_the_cache_goes_on_behind_the_first_one(family):
    """Whatever the argument is called: transformers 5.24 renamed it."""
    model = tiny(family)
    attached(model)
    ids = batch(model, padding=None)["input_ids"]
    whole = states(model, {"input_ids": ids})
    (name,) = set(CACHES) & set(inspect.signature(model.forward).parameters)
    with torch.no_grad():
        cache = model(ids[:, :4], use_cache=True)[name]
        rest = model(ids[:, 4:], **{name: cache}).last_hidden_state
    torch.testing.assert_close(rest, whole[:, 4:], atol=1e-5, rtol=1e-5)


def test_a_decoder_whose_cache_has_no_known_name_is_refused():
    model = tiny("gpt2", "causal_lm")
    model.transformer.forward = lambda input_ids=None, memory=None: None
    with unchanged(model), pytest.raises(ValueError, match=r"cache or past_key_values"):
        PromptTuning().attach(model)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("fill", [FIRST_WORD, PAD])
@pytest.mark.parametrize("pads", [0, 2])
def test_a_hole_in_the_mask_keeps_its_positions(family, fill, pads):
    """As in the plain model on [t; x], which sees a hole only where RoBERTa's padding ids are."""
    head = "seq2seq_lm" if family in ("t5", "bart") else None
    model = tiny(family, head)
    ids = batch(model, padding=None)["input_ids"]
    mask = torch.ones_like(ids)
    ids[:, 3:5], mask[:, 3:5] = fill, 0
    answers = {"decoder_input_ids": ids} if head else {}
    longer = {
        "input_ids": torch.cat([WORDS.expand(3, -1), ids], 1),
        "attention_mask": torch.cat([torch.ones(3, P).long(), mask], 1),
    }
    expected = logits(model, longer | answers)
    if not head:
        expected = expected[:, P:]
    with torch.no_grad():
        attached(model, model.get_submodule(embedding(model))(WORDS))
    inputs = {
        "input_ids": F.pad(ids, (pads, 0), value=PAD),
        "attention_mask": F.pad(mask, (pads, 0)),
    }
    found = logits(model, inputs | answers)[:, 0 if head else pads :]
    seen = mask.bool() if not head else torch.ones_like(mask).bool()
    torch.testing.assert_close(found[seen], expected[seen], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompted_model_can_be_copied_and_pickled(family):
    head = "seq2seq_lm" if family in ("t5", "bart") else None
    model = tiny(family, head)
    attached(model)
    expected = logits(model, batch(model))
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert torch.equal(logits(twin, batch(model)), expected)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_threads_may_call_one_prompted_model_at_once(family):
    """Both calls are inside of the model together, with prompts and batches of their own."""
    model = tiny(family, "sequence_classification")
    attachment = attached(model)
    calls = [
        (batch(model, rows=2, length=5), torch.randn(2, 3, 32)),
        (batch(model, rows=3, length=9, padding="left"), torch.randn(3, 6, 32)),
    ]

    def answer(inputs, rows):
        with one_each(attachment, rows):
            return logits(model, inputs)

    expected = [answer(*call) for call in calls]
    together = threading.Barrier(2, timeout=60)
    block = anatomy.blocks(model.config)[0][0].path
    inside = model.base_model.get_submodule(block)

    def wait(block, args):
        together.wait()

    handle = inside.register_forward_pre_hook(wait)
    with ThreadPoolExecutor(2) as pool:
        found = [task.result() for task in [pool.submit(answer, *call) for call in calls]]
    handle.remove()
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("init", ["vocabulary", "uniform"])
def test_a_prompt_goes_to_the_device_of_the_model(init):
    """Whatever the default device is, and from the same draws."""
    starts = []
    for device in ("cpu", "meta"):
        model = tiny("bert")
        torch.manual_seed(0)
        with torch.device(device):
            attachment = PromptTuning(prompt_length=P, init=init).attach(model)
        starts.append(rows_of(attachment).detach())
    assert torch.equal(*starts)


@pytest.mark.parametrize("padding", ["right", "left"])
def test_a_compiled_model_with_a_prompt_answers_as_before(padding):
    model = tiny("bert", "sequence_classification")
    attached(model)
    inputs = batch(model, padding=padding)
    expected = logits(model, inputs)
    torch._dynamo.reset()
    torch.testing.assert_close(logits(torch.compile(model, backend="eager"), inputs), expected)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_what_counts_the_tokens_in_the_cache_is_refused_by_generate(family):
    """A filled cache, and an input in pieces, which gave other tokens without a word."""
    model = tiny(family, "causal_lm")
    attached(model)
    settings = {"max_new_tokens": 2, "do_sample": False, "pad_token_id": PAD}
    ids = torch.tensor([[PAD, PAD, 5, 6, 7], [8, 9, 5, 6, 7]])
    given = {"attention_mask": (ids != PAD).long()}
    first = model.generate(ids, **given, **settings, return_dict_in_generate=True)
    (name,) = set(CACHES) & set(first)
    longer = torch.cat([first.sequences, torch.tensor([[5], [5]])], 1)
    with pytest.raises(ValueError, match="without a filled cache"):
        model.generate(longer, **settings, **{name: first[name]})
    table = model.get_input_embeddings()
    with pytest.raises(ValueError, match="without a filled cache"):
        model.generate(inputs_embeds=table(longer), **settings, **{name: first[name]})
    with pytest.raises(ValueError, match="without prefill_chunk_size"):
        model.generate(ids, **given, **settings, prefill_chunk_size=2)
    empty = transformers.DynamicCache(config=model.config)
    again = model.generate(ids, **given, **settings, **{name: empty})
    assert torch.equal(again, first.sequences)


def test_rows_are_sampled_among_tokens_that_pretraining_met():
    table = torch.nn.Embedding(12, 4)
    met = [0, 3, 4, 7]
    with torch.no_grad():
        table.weight[:] = torch.ones(4) + 1e-4 * torch.randn(12, 4)  # nobody met these
        table.weight[met] = torch.eye(4)
        table.weight[11] = 0  # as padding may be
    assert known_tokens(table.weight, 12).tolist() == met
    assert known_tokens(table.weight, 4).tolist() == [0, 3]
    for P in (3, 9):  # more rows than there are such tokens
        rows = initial_rows(table, P, "vocabulary", (), 12)
        assert all(row in torch.eye(4).tolist() for row in rows.tolist())


def test_a_table_of_one_vector_leaves_all_of_its_tokens():
    assert known_tokens(torch.ones(5, 3), 4).tolist() == [0, 1, 2, 3]
    assert known_tokens(torch.empty(5, 3, device="meta"), 9).tolist() == [0, 1, 2, 3, 4]
