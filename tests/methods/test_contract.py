"""What every method keeps to: declared training, counts, saving, undoing, on every family."""

import pytest
import torch
from tiny import CELLS, batch, digest, logits, loss, randomise, tiny, train_steps, unchanged

from peftlab import (
    Adapter,
    BitFit,
    FullFineTuning,
    HeadOnly,
    LoRA,
    PromptTuning,
    PTuning,
    TopLayers,
    anatomy,
    load,
)
from peftlab.attach import attachment_of
from peftlab.methods.bitfit import TWO

METHODS = {
    "lora": LoRA(rank=3, targets=anatomy.ROLES),
    "adapter": Adapter(bottleneck=5, init_std=0.02),
    "adapter, norms frozen": Adapter(bottleneck=3, activation="tanh", layer_norms=False),
    "prompt tuning": PromptTuning(prompt_length=4),
    "prompt tuning, labels": PromptTuning(
        prompt_length=3, init="labels", init_tokens=((7, 8), (9,))
    ),
    "p-tuning, lstm": PTuning(template="[P] [X] [P]"),
    "p-tuning, mlp, all": PTuning(
        template="[P*2] [X]", prompt_encoder="mlp", backbone_learning_rate=1e-3
    ),
    "p-tuning, wide": PTuning(template="[P*2] [X]", prompt_encoder="wide_lstm"),
    "p-tuning, free": PTuning(template="[X] [P*2]", prompt_encoder="none"),
    "bitfit": BitFit(),
    "bitfit, two": BitFit(biases=TWO),
    "bitfit, random": BitFit(control="random", seed=3),
    "bitfit, norms": BitFit(control="norms"),
    "full": FullFineTuning(),
    "head": HeadOnly(),
    "top layers": TopLayers(),
}


def possible(method, family, head):
    """Whether the family has what the method trains."""
    if method.name == "head":
        return head in anatomy.FAMILIES[family].heads
    if method.name == "p_tuning":
        return (family, head) not in [(f, "sequence_classification") for f in ("t5", "bart")]
    biases = family in ("bert", "roberta", "distilbert", "gpt2", "bart")
    return method.name != "bitfit" or method.control == "norms" or biases


def batch_for(method, model):
    """A batch, with the slots -1 and -2 in its texts where the method has a template."""
    inputs = batch(model)
    if method.name == "p_tuning":
        inputs["input_ids"] = inputs["input_ids"].clone()
        inputs["input_ids"][:, 1:3] = torch.tensor([-1, -2])
    return inputs


CASES = [
    pytest.param(method, family, head, id=f"{name}-{family}-{head}")
    for name, method in METHODS.items()
    for family, head in CELLS
    if possible(method, family, head)
]
every_case = pytest.mark.parametrize(("method", "family", "head"), CASES)


@every_case
def test_exactly_what_is_declared_requires_gradients_and_gets_one(method, family, head):
    model = tiny(family, head)
    attachment = method.attach(model)
    declared = {id(p) for p in attachment.parameters()}
    assert declared == {id(p) for p in model.parameters() if p.requires_grad}
    assert len(declared) == len(attachment.parameters())
    loss(model, batch_for(method, model)).backward()
    assert all(p.grad is None for p in model.parameters() if id(p) not in declared)


@every_case
def test_the_closed_form_is_what_attaching_adds(method, family, head):
    model = tiny(family, head)
    expected = method.parameter_count(model.config, head)
    assert method.attach(model).report() == expected


@every_case
def test_training_leaves_the_backbone_and_detaching_leaves_no_trace(method, family, head):
    model = tiny(family, head)
    inputs = batch_for(method, model)
    with unchanged(model):
        attachment = method.attach(model)
        tuned = set(attachment.named_parameters())
        frozen = {n: digest(p) for n, p in model.named_parameters() if n not in tuned}
        train_steps(model, inputs)
        assert {n: digest(p) for n, p in model.named_parameters() if n not in tuned} == frozen
        attachment.detach()
    assert attachment_of(model) is None


@every_case
def test_disabled_is_the_plain_backbone_for_a_moment(method, family, head):
    model = tiny(family, head)
    inputs, without_slots = batch_for(method, model), batch(model)
    plain = logits(model, without_slots)
    attachment = randomise(method.attach(model), std=0.1)
    changed = logits(model, inputs)
    assert not torch.equal(changed, plain)
    with attachment.disabled():
        assert torch.equal(logits(model, without_slots), plain)
    assert torch.equal(logits(model, inputs), changed)


@every_case
def test_saving_and_loading_gives_the_same_logits(method, family, head, tmp_path):
    model = tiny(family, head)
    inputs = batch_for(method, model)
    attachment = randomise(method.attach(model), std=0.1)
    expected = logits(model, inputs)
    attachment.save(tmp_path / "saved")
    again = load(tmp_path / "saved", tiny(family, head))
    assert again.method == method
    assert torch.equal(logits(again.model, inputs), expected)
