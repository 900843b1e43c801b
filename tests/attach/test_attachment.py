"""What every method promises: only what it declares trains, and everything can be undone."""

import copy
import re

import pytest
import torch
import transformers
from tiny import (
    CELLS,
    HEADED,
    batch,
    digest,
    logits,
    loss,
    randomise,
    snapshot,
    tiny,
    tiny_config,
    train_steps,
    unchanged,
)
from torch import nn

from peftlab import Adapter, FullFineTuning, HeadOnly, LoRA, PromptTuning, TopLayers, anatomy
from peftlab.attach import Addition, Attachment, attaching, attachment_of

LORA = LoRA(rank=3, targets=anatomy.ROLES)

#: Every method on every family and head that it can be attached to.
ATTACHED = [
    pytest.param(method, *cell, id=f"{method.name}-{cell[0]}-{cell[1]}")
    for method, cells in ((LORA, CELLS), (FullFineTuning(), CELLS), (HeadOnly(), HEADED))
    for cell in cells
]
METHODS = [LORA, FullFineTuning(), HeadOnly()]
GENERATORS = [
    ("gpt2", "causal_lm"),
    ("llama", "causal_lm"),
    ("qwen3", "causal_lm"),
    ("t5", "seq2seq_lm"),
    ("bart", "seq2seq_lm"),
]

by_name = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


def attached(method=LORA, family="bert", head="sequence_classification"):
    """A model with a method attached that has been trained a little, as far as anyone can tell."""
    model = tiny(family, head)
    return model, randomise(method.attach(model))


# What trains


@pytest.mark.parametrize(("method", "family", "head"), ATTACHED)
def test_exactly_the_declared_parameters_require_and_get_gradients(method, family, head):
    model = tiny(family, head)
    attachment = method.attach(model)
    randomise(attachment)
    declared = attachment.named_parameters()
    own = dict(model.named_parameters())
    assert {name for name, p in own.items() if p.requires_grad} == declared.keys()
    assert all(own[name] is parameter for name, parameter in declared.items())
    assert [id(p) for p in attachment.parameters()] == [id(p) for p in declared.values()]
    loss(model, batch(model)).backward()
    with_gradient = {name for name, p in own.items() if p.grad is not None and p.grad.any()}
    assert with_gradient <= declared.keys()
    head_names = {n for n in declared if n.startswith(tuple(anatomy.head_modules(model)))}
    additions = {n for n in declared if "lora" in n}
    assert head_names | additions <= with_gradient


@pytest.mark.parametrize(("method", "family", "head"), ATTACHED)
def test_training_moves_what_is_declared_and_not_one_bit_of_the_rest(method, family, head):
    model = tiny(family, head)
    backbone = list(model.parameters())
    attachment = method.attach(model)
    declared = {id(p) for p in attachment.parameters()}
    frozen = [p for p in backbone if id(p) not in declared]
    before = [digest(p) for p in frozen]
    start = {name: digest(p) for name, p in attachment.named_parameters().items()}
    train_steps(model, batch(model), steps=20)
    assert [digest(p) for p in frozen] == before
    stuck = {n for n, p in attachment.named_parameters().items() if digest(p) == start[n]}
    assert {n for n in stuck if not n.startswith("pooler.")} == set()  # no part in our loss


# Undoing


@pytest.mark.parametrize(("method", "family", "head"), ATTACHED)
def test_detach_gives_the_model_back_bit_for_bit_after_training(method, family, head):
    model = tiny(family, head)
    inputs = batch(model)
    plain = logits(model, inputs)
    with unchanged(model):
        attachment = method.attach(model)
        train_steps(model, inputs, steps=3)
        loss(model, inputs).backward()
        assert attachment.detach() is model
    assert torch.equal(logits(model, inputs), plain)
    assert all(p.grad is None for p in model.parameters())


@by_name
def test_detach_is_exact_while_merged_and_twice_is_once(method):
    model = tiny("bert", "sequence_classification")
    with unchanged(model):
        attachment = randomise(method.attach(model))
        attachment.merge()
        attachment.detach()
        attachment.detach()


@by_name
def test_detach_restores_each_requires_grad_flag_and_mode_as_it_was(method):
    model = tiny("bert", "sequence_classification").train()
    model.bert.embeddings.requires_grad_(False)
    model.bert.encoder.layer[0].eval()
    model.classifier.bias.requires_grad_(False)
    with unchanged(model):
        attachment = method.attach(model)
        assert model.classifier.bias.requires_grad
        attachment.detach()


@by_name
def test_a_model_can_be_attached_to_again_after_detaching(method):
    model, attachment = attached(method)
    attachment.detach()
    again = method.attach(model)
    assert attachment_of(model) is again
    attachment.detach()  # the old handle has no say any more
    assert attachment_of(model) is again


def test_modes_set_while_attached_reach_additions_and_the_modules_that_detach_puts_back():
    model = tiny("bert", "sequence_classification").train()
    attachment = LORA.attach(model)
    assert all(module.training for module in model.modules())
    model.eval()
    assert not any(module.training for module in model.modules())
    attachment.merge()
    model.train()
    attachment.unmerge()
    assert all(module.training for module in model.modules())
    model.eval()
    attachment.detach()
    assert not any(module.training for module in model.modules())


def test_the_attached_model_is_the_same_object_and_takes_the_same_batch():
    model = tiny("bert", "sequence_classification")
    attachment = LORA.attach(model)
    assert attachment.model is model
    assert attachment_of(model) is attachment
    assert type(model) is transformers.BertForSequenceClassification


# Merging, as far as all methods share it


def test_an_addition_that_no_weight_can_hold_refuses_to_merge_and_changes_nothing():
    class Twice(Addition):
        def __init__(self, base):
            super().__init__()
            self.base = base
            self.gain = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return self.gain * self.base(x)

    model, name = tiny("bert"), "encoder.layer.0.intermediate.dense"
    with attaching(LoRA(), model) as attachment:
        attachment.add(name, Twice(model.get_submodule(name)))
    with unchanged(model), pytest.raises(TypeError, match="Twice"):
        attachment.merge()
    assert not attachment.merged


# disabled()


@pytest.mark.parametrize(("method", "family", "head"), ATTACHED)
def test_disabled_answers_as_the_plain_backbone_with_its_old_head(method, family, head):
    model = tiny(family, head)
    inputs = batch(model)
    plain = logits(model, inputs)
    attachment = randomise(method.attach(model))
    assert_disabled_is(plain, attachment, inputs)
    if method is LORA:
        attachment.merge()
        assert_disabled_is(plain, attachment, inputs)
        assert attachment.merged


def assert_disabled_is(plain, attachment, inputs):
    model = attachment.model
    trained = logits(model, inputs)
    assert not torch.allclose(trained, plain, atol=1e-3)
    with unchanged(model), attachment.disabled() as same:
        assert same is model
        assert torch.equal(logits(model, inputs), plain)
    assert torch.equal(logits(model, inputs), trained)


@by_name
@pytest.mark.parametrize("merged", [False, True], ids=["unmerged", "merged"])
def test_disabled_ends_when_its_body_raises(method, merged):
    model, attachment = attached(method)
    if merged:
        attachment.merge()
    with unchanged(model), pytest.raises(KeyboardInterrupt), attachment.disabled():
        raise KeyboardInterrupt
    assert attachment.merged == merged


@by_name
def test_disabled_inside_disabled_is_disabled_once(method):
    model, attachment = attached(method)
    inputs = batch(model)
    with unchanged(model), attachment.disabled():
        plain = logits(model, inputs)
        with attachment.disabled():
            assert torch.equal(logits(model, inputs), plain)
        assert torch.equal(logits(model, inputs), plain)


@by_name
@pytest.mark.parametrize("action", ["merge", "detach", "state_dict"])
def test_what_would_mix_up_backbone_and_additions_is_refused_inside_disabled(method, action):
    model, attachment = attached(method)
    with (
        unchanged(model),
        attachment.disabled(),
        pytest.raises(ValueError, match=r"inside disabled\(\); leave its with block"),
    ):
        getattr(attachment, action)()


@by_name
def test_a_detached_attachment_no_longer_touches_the_model(method):
    model, attachment = attached(method)
    state = attachment.state_dict()
    attachment.detach()
    refused = pytest.raises(ValueError, match="is detached; attach the method again")
    with unchanged(model):
        with refused:
            attachment.merge()
        with refused:
            attachment.load_state_dict(state)
        with refused:
            attachment.state_dict()
        with refused, attachment.disabled():
            pass


# What is stored


@pytest.mark.parametrize(("method", "family", "head"), ATTACHED)
def test_stored_tensors_make_the_same_model_again(method, family, head):
    model = tiny(family, head)
    inputs = batch(model)
    state = randomise(method.attach(model)).state_dict()
    other = tiny(family, head)
    attachment = method.attach(other)
    attachment.load_state_dict(state)
    assert torch.equal(logits(other, inputs), logits(model, inputs))
    assert state.keys() == attachment.named_parameters().keys()


@by_name
def test_stored_tensors_are_a_copy_that_later_training_leaves_alone(method):
    model, attachment = attached(method)
    state = attachment.state_dict()
    before = {name: digest(tensor) for name, tensor in state.items()}
    train_steps(model, batch(model), steps=1)
    assert {name: digest(tensor) for name, tensor in state.items()} == before
    assert all(not tensor.requires_grad for tensor in state.values())


@by_name
def test_stored_tensors_are_the_same_merged_and_unmerged(method):
    _, attachment = attached(method)
    plain = attachment.state_dict()
    attachment.merge()
    merged = attachment.state_dict()
    assert merged.keys() == plain.keys()
    assert all(torch.equal(merged[name], plain[name]) for name in plain)


def without_one(state):
    name, *rest = sorted(state)
    return {key: state[key] for key in rest}, f"the file lacks '{name}'"


def with_another(state):
    return state | {"aaa": torch.ones(1)}, "the file has, but the model does not take, 'aaa'"


def with_another_shape(state):
    name = sorted(state)[-1]
    shape = tuple(state[name].shape)
    wrong = torch.cat([state[name], state[name]])
    return (
        state | {name: wrong},
        f"'{name}' is stored with shape {tuple(wrong.shape)}, but this model needs {shape}",
    )


@by_name
@pytest.mark.parametrize("spoil", [without_one, with_another, with_another_shape])
def test_stored_tensors_that_do_not_fit_are_refused_and_change_nothing(method, spoil):
    model, attachment = attached(method)
    state, message = spoil({name: tensor + 1 for name, tensor in attachment.state_dict().items()})
    with unchanged(model), pytest.raises(ValueError, match=re.escape(message)):
        attachment.load_state_dict(state)


@by_name
def test_nothing_is_loaded_while_merged(method):
    model, attachment = attached(method)
    state = {name: tensor + 1 for name, tensor in attachment.state_dict().items()}
    attachment.merge()
    with unchanged(model), pytest.raises(ValueError, match=r"while merged; call unmerge\(\)"):
        attachment.load_state_dict(state)


# Refusals leave the model alone


@by_name
@pytest.mark.parametrize("first", METHODS, ids=lambda method: method.name)
def test_attaching_twice_is_refused(first, method):
    model, attachment = attached(first)
    message = re.escape(f"{first!r} is attached to this model already; call detach()")
    with unchanged(model), pytest.raises(ValueError, match=message):
        method.attach(model)
    assert attachment_of(model) is attachment


def test_a_second_method_does_not_get_in_through_a_part_or_another_head():
    adding = (LORA, FullFineTuning(), PromptTuning(prompt_length=2))
    message = "attached to this model already"
    for first in adding:
        model, _ = attached(first)
        beside = transformers.BertForTokenClassification(model.config)
        beside.bert = model.bert
        for other in (model.base_model, beside):
            with (
                unchanged(model),
                pytest.raises(ValueError, match=message),
            ):
                LORA.attach(other)
    for first in adding:
        around = tiny("bert", "sequence_classification")
        attachment = first.attach(around.bert)
        with unchanged(around), pytest.raises(ValueError, match=message):
            LORA.attach(around)
        attachment.detach()
        LORA.attach(around)


def test_a_second_method_does_not_get_in_beside_an_addition_in_a_shared_layer():
    model, _ = attached(LORA)
    beside = transformers.BertForTokenClassification(model.config).eval()
    beside.bert.encoder = model.bert.encoder
    with unchanged(beside), pytest.raises(ValueError, match=r"a part of this model.*LoRALinear"):
        LORA.attach(beside)


@pytest.mark.parametrize("method", [FullFineTuning(), TopLayers()], ids=lambda method: method.name)
def test_whole_numbers_that_should_train_are_refused_by_name(method):
    model = tiny("bert", "sequence_classification")
    name = "bert.encoder.layer.1.output.dense.weight"
    layer = model.get_submodule(name.removesuffix(".weight"))
    layer.weight = nn.Parameter(layer.weight.to(torch.int8), requires_grad=False)
    message = rf"{method.name} trains '{name}', which is stored as torch.int8 and cannot train"
    with unchanged(model), pytest.raises(ValueError, match=message):
        method.attach(model)
    assert HeadOnly().attach(model)


# Moving

MOVED = [LORA, Adapter(bottleneck=3), PromptTuning(prompt_length=2), FullFineTuning()]


@pytest.mark.parametrize("method", MOVED, ids=lambda method: method.name)
def test_additions_follow_a_model_that_is_cast_while_they_are_set_aside(method):
    model, attachment = attached(method)
    inputs = batch(model)
    with attachment.disabled():
        model.double()
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    logits(model, inputs)
    with attachment.disabled():
        pass
    assert {p.dtype for p in attachment.parameters()} == {torch.float64}


def test_additions_follow_a_model_that_is_cast_while_merged():
    model, attachment = attached(LORA)
    twin, other = attached(LORA)
    attachment.merge()
    model.double()
    attachment.unmerge()
    assert {p.dtype for p in attachment.parameters()} == {torch.float64}
    inputs = batch(model)
    assert torch.equal(logits(model, inputs), logits(twin.double(), inputs))
    other.merge()
    attachment.merge()
    torch.testing.assert_close(logits(model, inputs), logits(twin, inputs))


def test_additions_keep_a_dtype_of_their_own_where_the_model_keeps_its_own():
    model = tiny("bert", "sequence_classification").to(torch.bfloat16)
    attachment = LORA.attach(model)
    kept = {name: p.dtype for name, p in attachment.named_parameters().items()}
    assert set(kept.values()) == {torch.float32, torch.bfloat16}  # the factors, and the head
    attachment.merge()
    with attachment.disabled():
        pass
    attachment.unmerge()
    assert {name: p.dtype for name, p in attachment.named_parameters().items()} == kept


@pytest.mark.parametrize("merged", [False, True], ids=["disabled", "merged"])
def test_additions_follow_a_model_to_another_device(merged):
    model, attachment = attached(LORA, "gpt2", "causal_lm")
    if merged:
        attachment.merge()
        model.to("meta")
        attachment.unmerge()
    else:
        with attachment.disabled():
            model.to("meta")
    assert {p.device.type for p in model.parameters()} == {"meta"}


@by_name
@pytest.mark.parametrize("model", [None, "minilm", nn.Linear(3, 3)], ids=["None", "str", "Linear"])
def test_what_is_no_transformers_model_is_refused(method, model):
    with pytest.raises(TypeError, match=f"got {type(model).__name__}; see load_backbone"):
        method.attach(model)


def opt():
    config = transformers.OPTConfig(
        hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4, vocab_size=99
    )
    return transformers.OPTForCausalLM(config)


#: What a refusal says, and the model that deserves it.
UNSUPPORTED = {
    "supported families: bert, roberta": opt,
    "BertForQuestionAnswering is not supported": lambda: transformers.BertForQuestionAnswering(
        tiny_config("bert")
    ),
    "'causal_lm' does not exist for bert": lambda: transformers.BertLMHeadModel(
        tiny_config("bert")
    ),
    "T5EncoderModel is not supported": lambda: transformers.T5EncoderModel(tiny_config("t5")),
    "T5Stack is not supported": lambda: tiny("t5").encoder,
    "BartDecoder is not supported": lambda: tiny("bart").decoder,
    "GPT2DoubleHeadsModel is not supported": lambda: transformers.GPT2DoubleHeadsModel(
        tiny_config("gpt2")
    ),
}


@by_name
@pytest.mark.parametrize("message", UNSUPPORTED)
def test_an_unsupported_family_or_head_is_refused(method, message):
    model = UNSUPPORTED[message]()
    with unchanged(model), pytest.raises(ValueError, match=message):
        method.attach(model)


HALF_WAY = [(LORA, "add"), (LORA, "tune"), (FullFineTuning(), "tune"), (HeadOnly(), "tune")]


@pytest.mark.parametrize(
    ("method", "step"), HALF_WAY, ids=[f"{method.name}-{step}" for method, step in HALF_WAY]
)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("calls", [0, 1])
def test_an_attach_that_fails_half_way_leaves_the_model_as_it_was(
    method, step, error, calls, monkeypatch
):
    real, seen = getattr(Attachment, step), []

    def failing(*arguments):
        if len(seen) == calls:
            raise error("half-way")
        seen.append(arguments)
        real(*arguments)

    model = tiny("bert", "sequence_classification")
    with monkeypatch.context() as patch:
        patch.setattr(Attachment, step, failing)
        with unchanged(model), pytest.raises(error, match="half-way"):
            method.attach(model)
    assert attachment_of(method.attach(model).model)


# The attached model is still a transformers model


@pytest.mark.parametrize(("family", "head"), GENERATORS)
@pytest.mark.parametrize("method", [LORA, FullFineTuning()], ids=lambda method: method.name)
def test_greedy_generation_with_the_cache_equals_repeated_full_forwards(method, family, head):
    model = tiny(family, head)
    inputs = batch(model, padding=None)["input_ids"]
    plain = generate(model, inputs, use_cache=True)
    attachment = method.attach(model)
    randomise(attachment)
    cached = generate(model, inputs, use_cache=True)
    assert torch.equal(cached, repeated_forwards(model, inputs))
    assert not torch.equal(cached, plain)
    attachment.merge()
    assert torch.equal(generate(model, inputs, use_cache=True), cached)


def generate(model, inputs, steps=6, **settings):
    model.generation_config.eos_token_id = None  # never stop early
    mask = torch.ones_like(inputs)
    return model.generate(
        inputs, attention_mask=mask, max_new_tokens=steps, do_sample=False, **settings
    )


def repeated_forwards(model, inputs, steps=6):
    """Greedy decoding by hand: each token from a forward pass over all tokens before it."""
    if model.config.is_encoder_decoder:
        given, key = {"input_ids": inputs}, "decoder_input_ids"
        tokens = torch.full((len(inputs), 1), model.config.decoder_start_token_id)
    else:
        given, key, tokens = {}, "input_ids", inputs
    for _ in range(steps):
        answer = logits(model, given | {key: tokens, "use_cache": False})
        tokens = torch.cat([tokens, answer[:, -1:].argmax(-1)], dim=1)
    return tokens


@pytest.mark.parametrize(("family", "head"), CELLS)
def test_a_deep_copy_of_an_attached_model_lives_on_its_own(family, head):
    model = tiny(family, head)
    inputs = batch(model)
    plain = logits(model, inputs)
    attachment = randomise(LORA.attach(model))
    trained = logits(model, inputs)

    twin = copy.deepcopy(model)
    copied = attachment_of(twin)
    assert copied is not attachment
    assert copied.model is twin
    assert torch.equal(logits(twin, inputs), trained)

    with unchanged(model):
        train_steps(twin, inputs, steps=1)
        assert not torch.equal(logits(twin, inputs), trained)
        copied.merge()
        copied.detach()
    assert torch.equal(logits(twin, inputs), plain)
    with unchanged(twin):
        attachment.detach()


@by_name
def test_the_report_is_the_same_merged_disabled_and_detached(method):
    model, attachment = attached(method)
    report = attachment.report()
    attachment.merge()
    assert attachment.report() == report
    with attachment.disabled():
        assert attachment.report() == report
    attachment.detach()
    assert attachment.report() == report
    assert report.backbone + report.head == sum(p.numel() for p in model.parameters())


@by_name
def test_reading_an_attachment_changes_nothing(method):
    model, attachment = attached(method)
    with unchanged(model):
        attachment.report()
        attachment.state_dict()
        attachment.parameters()


def test_the_snapshot_of_these_tests_sees_every_kind_of_change():
    def replace(model):
        model.classifier = copy.deepcopy(model.classifier)

    def value(model):
        model.classifier.bias.data[0] += 1e-7

    changes = [
        replace,
        value,
        lambda model: model.classifier.bias.requires_grad_(False),
        lambda model: model.dropout.train(),
        lambda model: model.register_module("extra", nn.Identity()),
        LORA.attach,
    ]
    for change in changes:
        model = tiny("bert", "sequence_classification")
        before = snapshot(model)
        change(model)
        assert snapshot(model) != before
