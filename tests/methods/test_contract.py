"""What every method keeps to: declared training, counts, saving, undoing, on every family."""

import pytest
import torch
from tiny import (
    CELLS,
    batch,
    digest,
    logits,
    loss,
    randomise,
    takes_rows,
    tiny,
    tiny_config,
    train_steps,
    unchanged,
)

from peftlab import Adapter, BitFit, LoRA, PrefixTuning, PromptTuning, PTuning, anatomy, load
from peftlab.attach import attachment_of
from peftlab.methods import METHODS
from peftlab.methods.bitfit.method import TWO

#: Every method of the registry is tested with its defaults; these settings come beside them.
BESIDE = {
    "lora, all roles": LoRA(rank=3, targets=anatomy.ROLES),
    "adapter, norms frozen": Adapter(bottleneck=3, activation="tanh", layer_norms=False),
    "prompt tuning, labels": PromptTuning(
        prompt_length=3, init="labels", init_tokens=((7, 8), (9,))
    ),
    "p-tuning, mlp, all": PTuning(
        template="[P*2] [X]", prompt_encoder="mlp", backbone_learning_rate=1e-3
    ),
    "p-tuning, wide": PTuning(template="[P*2] [X]", prompt_encoder="wide_lstm"),
    "p-tuning, free": PTuning(template="[X] [P*2]", prompt_encoder="none"),
    "bitfit, two": BitFit(biases=TWO),
    "bitfit, random": BitFit(control="random", seed=3),
    "bitfit, norms": BitFit(control="norms"),
}
SAMPLES = {name: kind() for name, kind in METHODS.items()} | BESIDE


def fits(method, family, head):
    """Whether the method can be counted there; where it cannot, it has to refuse to attach."""
    try:
        method.parameter_count(tiny_config(family), head)
    except ValueError:
        return False
    return True


def batch_for(method, model):
    """A batch, with the slots -1 and -2 in its texts where the method has a template."""
    inputs = batch(model)
    if getattr(method, "slots", 0):
        inputs["input_ids"] = inputs["input_ids"].clone()
        inputs["input_ids"][:, 1:3] = torch.tensor([-1, -2])
    return inputs


CASES, REFUSED = [], []
for name, method in SAMPLES.items():
    for family, head in CELLS:
        if isinstance(method, PrefixTuning) and not takes_rows(family):
            continue  # tests/methods/test_prefix_tuning.py has the refusal
        cases = CASES if fits(method, family, head) else REFUSED
        cases.append(pytest.param(method, family, head, id=f"{name}-{family}-{head}"))
every_case = pytest.mark.parametrize(("method", "family", "head"), CASES)


@pytest.mark.parametrize(("method", "family", "head"), REFUSED)
def test_what_cannot_be_counted_cannot_be_attached_either(method, family, head):
    model = tiny(family, head)
    with pytest.raises(ValueError) as counted:
        method.parameter_count(model.config, head)
    with unchanged(model), pytest.raises(ValueError) as attached:
        method.attach(model)
    assert str(attached.value) == str(counted.value)


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
