"""Exercise 2 of lab 01: the check of a LoRA layer that the learner writes."""

import pytest
import torch
from tiny import batch, tiny, unchanged
from torch import nn

from peftlab import HeadOnly
from peftlab.lessons.exercise import OPEN, SOLVED, WRONG
from peftlab.lessons.lora.own_layer import check_layer


class Mine(nn.Module):
    """What the lab gives as its solution."""

    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.A = nn.Parameter(torch.randn(rank, base.in_features) / rank)
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))
        self.scaling = alpha / rank

    def forward(self, x):
        return self.base(x) + self.scaling * (x @ self.A.T @ self.B.T)


class ZeroA(Mine):
    def __init__(self, *args):
        super().__init__(*args)
        nn.init.zeros_(self.A)


class Unscaled(Mine):
    def forward(self, x):
        return self.base(x) + x @ self.A.T @ self.B.T


class RandomStart(Mine):
    def __init__(self, *args):
        super().__init__(*args)
        nn.init.ones_(self.B)


class Training(Mine):
    def __init__(self, base, *args):
        super().__init__(base, *args)
        base.requires_grad_(True)


class NoParameter(Mine):
    def __init__(self, *args):
        super().__init__(*args)
        B = self.B.data
        del self.B
        self.B = B


class Transposed(Mine):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.A = nn.Parameter(self.A.data.T.clone())


class Frozen(Mine):
    def __init__(self, *args):
        super().__init__(*args)
        self.A.requires_grad_(False)


class NoBase(Mine):
    def forward(self, x):
        return self.scaling * (x @ self.A.T @ self.B.T)


class Nothing(Mine):
    def forward(self, x):
        return None


class WithoutGradients(Mine):
    def forward(self, x):
        with torch.no_grad():
            return super().forward(x)


class DetachedA(Mine):
    def forward(self, x):
        return self.base(x) + self.scaling * (x @ self.A.detach().T @ self.B.T)


class DetachedInput(Mine):
    def forward(self, x):
        return super().forward(x.detach())


class DetachedBase(Mine):
    def forward(self, x):
        return self.base(x).detach() + self.scaling * (x @ self.A.T @ self.B.T)


class Biasless(Mine):
    def __init__(self, base, *args):
        super().__init__(base, *args)
        base.bias.data.zero_()


class HalvesTheLarge(Mine):
    def __init__(self, base, *args):
        super().__init__(base, *args)
        if base.in_features > 6:
            base.weight.data.mul_(0.5)


class WithDropout(Mine):
    def forward(self, x):
        dropped = nn.functional.dropout(x, 0.5, self.training)
        return self.base(x) + self.scaling * (dropped @ self.A.T @ self.B.T)


class Raising(Mine):
    def forward(self, x):
        raise RuntimeError("no forward")


def unwritten(base, rank, alpha):
    raise NotImplementedError


@pytest.fixture
def model():
    model = tiny("bert", "sequence_classification")
    HeadOnly().attach(model)
    return model.train()


@pytest.mark.parametrize(
    "layer, status, said",
    [
        (Mine, SOLVED, "stands in 4 places of the model, with 2,048 numbers"),
        (ZeroA, WRONG, "A starts at zero too"),
        (Unscaled, WRONG, "does not compute base(x) + alpha / r"),
        (RandomStart, WRONG, "B does not start at zero"),
        (Training, WRONG, "base.weight trains, and should not"),
        (NoParameter, WRONG, "has no parameter B"),
        (Transposed, WRONG, "A has the shape (6, 2)"),
        (WithDropout, SOLVED, "stands in 4 places"),
        (Frozen, WRONG, "A does not train"),
        (NoBase, WRONG, "is base in it, with its bias?"),
        (Nothing, WRONG, "forward gives NoneType"),
        (WithoutGradients, WRONG, "nothing can learn"),
        (DetachedA, WRONG, "the gradient of A is cut off"),
        (DetachedInput, WRONG, "the gradient of x is cut off"),
        (DetachedBase, WRONG, "the gradient of x is cut off"),
        (Biasless, WRONG, "the frozen map has changed"),
        (HalvesTheLarge, WRONG, "inside the model the logits are not those"),
        (Raising, WRONG, "RuntimeError: no forward"),
        (lambda base, rank, alpha: 3, WRONG, "derive it from nn.Module"),
        (lambda base, rank, alpha: None, OPEN, "write the class"),
        (unwritten, OPEN, "write the class"),
    ],
)
def test_a_layer_of_ones_own_is_checked_alone_and_inside_and_leaves_the_model(
    model, layer, status, said
):
    trains = {name: p.requires_grad for name, p in model.named_parameters()}
    with unchanged(model):
        feedback = check_layer(layer, model, batch(model))
    assert feedback.status == status and said in feedback.message
    assert model.training
    assert trains == {name: p.requires_grad for name, p in model.named_parameters()}


def test_a_layer_that_fails_only_inside_the_model_leaves_it_as_it_was(model):
    class Large(Mine):
        def forward(self, x):
            if x.shape[-1] > 6:
                raise RuntimeError("too wide")
            return super().forward(x)

    with unchanged(model):
        feedback = check_layer(Large, model, batch(model))
    assert "too wide" in feedback.message
    assert not any(isinstance(module, Mine) for module in model.modules())


def test_a_fused_map_is_left_alone():
    model = tiny("gpt2", "sequence_classification")
    with unchanged(model):
        feedback = check_layer(Mine, model, batch(model))
    assert feedback.status == SOLVED and "fuses query, key and value" in feedback.message
