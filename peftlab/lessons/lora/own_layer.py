"""Exercise 2 of lab 01: a LoRA layer of the learner's own, put into the live model."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from peftlab.attach import projections
from peftlab.lessons.diagnosis import same
from peftlab.lessons.exercise import OPEN, SOLVED, WRONG, Feedback
from peftlab.methods.lora.layers import LoRALinear

Layer = Callable[[nn.Linear, int, float], nn.Module]


def check_layer(layer: Layer, model: PreTrainedModel, batch: dict[str, Tensor]) -> Feedback:
    """Try a LoRA layer alone, then in place of every query and value of a model.

    The model is as it was afterwards, whatever the layer does.

    Args:
        layer: makes a module of a frozen `nn.Linear`, a rank and alpha. The module computes the
            frozen map plus the update, holds the factors as parameters `A`, (r, d_in), and `B`,
            (d_out, r), and starts as the frozen map.
        model: with no method attached; the layer is put in where the projections are `nn.Linear`.
        batch: inputs of the model.

    Returns:
        Whether it is right, and a message for the learner.
    """
    try:
        return _alone(layer) or _inside(layer, model, batch)
    except NotImplementedError:
        return Feedback(OPEN, "write the class, then run this cell again")
    except Exception as error:
        return Feedback(WRONG, f"your layer raised {type(error).__name__}: {error}")


def _alone(layer: Layer) -> Feedback | None:
    draw = torch.Generator().manual_seed(0)
    base = nn.Linear(6, 4)
    before = deepcopy(base.state_dict())
    x = torch.randn(2, 3, 6, generator=draw, requires_grad=True)
    ours = layer(base, 2, 5.0)
    if ours is None:
        raise NotImplementedError
    if not isinstance(ours, nn.Module):
        return Feedback(WRONG, f"the layer is a {type(ours).__name__}; derive it from nn.Module")
    named = dict(ours.named_parameters())
    for name, shape in (("A", (2, 6)), ("B", (4, 2))):
        if name not in named:
            return Feedback(
                WRONG, f"the layer has no parameter {name}; wrap a tensor in nn.Parameter"
            )
        if named[name].shape != shape:
            found = tuple(named[name].shape)
            return Feedback(
                WRONG, f"{name} has the shape {found}; for d_in=6, d_out=4, r=2: {shape}"
            )
    for name, parameter in named.items():
        if parameter.requires_grad != (name in ("A", "B")):
            said = "trains, and should not" if parameter.requires_grad else "does not train"
            return Feedback(WRONG, f"{name} {said}: A and B train, base is frozen")
    ours.eval()
    out = ours(x)
    if not isinstance(out, Tensor) or out.shape != base(x).shape:
        found = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        return Feedback(WRONG, f"forward gives {found}, and base(x) is {tuple(base(x).shape)}")
    if ours.B.any():
        return Feedback(WRONG, "B does not start at zero, so the layer does not start as base")
    if not same(out, base(x)):
        return Feedback(WRONG, "with B = 0 the layer is not base(x): is base in it, with its bias?")
    if not ours.A.any():
        return Feedback(WRONG, "A starts at zero too, so that no gradient reaches either factor")
    with torch.no_grad():
        ours.B.normal_(generator=draw)
    wanted = base(x) + 5.0 / 2 * (x @ ours.A.T @ ours.B.T)
    out = ours(x)
    if not same(out, wanted):
        return Feedback(WRONG, "the layer does not compute base(x) + alpha / r * x A' B'")
    if any(not torch.equal(value, before[name]) for name, value in base.state_dict().items()):
        return Feedback(WRONG, "the frozen map has changed; leave it alone")
    if not out.requires_grad:
        return Feedback(WRONG, "nothing can learn: no gradient goes back from what forward gives")
    sources = {"A": ours.A, "B": ours.B, "x": x}
    gradients = [
        torch.autograd.grad(y.square().sum(), list(sources.values()), allow_unused=True)
        for y in (out, wanted)
    ]
    for name, own, right in zip(sources, *gradients, strict=True):
        if own is None or not same(own, right):
            return Feedback(WRONG, f"the gradient of {name} is cut off; detach nothing in forward")
    return None


def _inside(layer: Layer, model: PreTrainedModel, batch: dict[str, Tensor]) -> Feedback:
    places = [p.name for p in projections(model) if p.role in ("query", "value")]
    bases = {name: model.get_submodule(name) for name in places}
    if not all(isinstance(base, nn.Linear) for base in bases.values()):
        said = (
            "your layer is right by itself; this backbone fuses query, key and value into one map"
        )
        return Feedback(SOLVED, f"{said}, so that it cannot stand in their place")
    trains = {name: p.requires_grad for name, p in model.named_parameters()}
    mode = model.training
    try:
        model.eval()
        model.requires_grad_(False)
        reference = _logits(model, batch)
        pairs = {}
        for name, base in bases.items():
            ours = layer(deepcopy(base), 8, 16.0).eval()  # the model's own map is out of reach
            theirs = LoRALinear(base, 8, 16.0)
            with torch.no_grad():
                ours.B.normal_(std=0.02)
                theirs.update.lora_A.copy_(ours.A)
                theirs.update.lora_B.copy_(ours.B)
            pairs[name] = (ours, theirs)
        found = []
        for side in (0, 1):
            for name, pair in pairs.items():
                model.set_submodule(name, pair[side])
            found.append(_logits(model, batch))
    finally:
        for name, base in bases.items():
            model.set_submodule(name, base)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(trains[name])
        model.train(mode)
    if not same(*found):
        return Feedback(WRONG, "inside the model the logits are not those of the package's layer")
    moved = (found[0] - reference).abs().max().item()
    count = sum(ours.A.numel() + ours.B.numel() for ours, _ in pairs.values())
    return Feedback(
        SOLVED,
        f"your layer stands in {len(places)} places of the model, with {count:,} numbers to train. "
        f"It moves the logits by up to {moved:.2g}, as the package's layer does with the same "
        "factors.",
    )


@torch.no_grad()
def _logits(model: PreTrainedModel, batch: dict[str, Tensor]) -> Tensor:
    return model(**batch).logits
