"""The loss of a batch and its logits, computed only where labels stand."""

import pytest
import torch
from tiny import CELLS, IGNORED, batch, tiny

from peftlab import LoRA, PrefixTuning, PromptTuning
from peftlab.training.forward import answered

WRITERS = [family for family, head in CELLS if head == "causal_lm"]
METHODS = [None, LoRA(rank=2), PromptTuning(prompt_length=3), PrefixTuning(prefix_length=3)]


def masked(labels, kept):
    """Labels in some places only, another number of them in each row."""
    other = torch.full_like(labels, IGNORED)
    for row, places in enumerate(kept):
        other[row, places] = labels[row, places]
    return other


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("family", WRITERS)
def test_loss_and_gradient_are_those_of_the_whole_logits(family, method, padding):
    model = tiny(family, "causal_lm")
    trained = list(model.parameters())
    if method:
        trained = method.attach(model).parameters()
    inputs = batch(model, padding=padding)
    inputs["labels"] = masked(inputs["labels"], [[3, 4], [4], [2, 3, 4]])
    whole = model(**inputs)
    found = answered(model, inputs, writes=True)
    torch.testing.assert_close(found.loss, whole.loss)
    ours, theirs = (torch.autograd.grad(loss, trained) for loss in (found.loss, whole.loss))
    torch.testing.assert_close(ours, theirs)
    assert found.logits.shape[:2] == found.labels.shape == (3, 3)
    torch.testing.assert_close(found.logits, whole.logits[:, 1:4])
    assert found.labels.tolist() == inputs["labels"][:, 2:5].tolist()


@pytest.mark.parametrize("head", ["sequence_classification", "token_classification", "masked_lm"])
def test_other_heads_are_asked_as_they_are(head):
    model = tiny("bert", head)
    inputs = batch(model)
    whole, found = model(**inputs), answered(model, inputs, writes=False)
    assert torch.equal(found.loss, whole.loss) and torch.equal(found.logits, whole.logits)
    assert torch.equal(found.labels, inputs["labels"])
