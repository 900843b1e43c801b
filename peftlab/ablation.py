"""What is left of a trained method without some of its parts, and what it changes at its start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from peftlab import anatomy
from peftlab.attach import Attachment, norms, projections
from peftlab.methods.adapter import Adapter
from peftlab.methods.bitfit import KINDS
from peftlab.modules.adapter import Bottleneck


def adapters_by_layer(model: PreTrainedModel) -> list[list[Bottleneck]]:
    """The adapters of every layer, the lowest layer first; an encoder's before its decoder's.

    Raises:
        ValueError: the model has none.
    """
    prefix = anatomy.base_prefix(model)
    stacks = anatomy.blocks(model.config, anatomy.head_of(model))
    found = [
        [m for m in model.get_submodule(prefix + block.path).modules() if isinstance(m, Bottleneck)]
        for stack in stacks
        for block in stack
    ]
    if not any(found):
        raise ValueError("this model has no adapters; attach Adapter() and train it first")
    return found


@contextmanager
def without_adapters(model: PreTrainedModel, layers: Iterable[int]) -> Iterator[PreTrainedModel]:
    """The model with the adapters of some layers taken away, for the length of a `with` block.

    An adapter whose up-projection is zero passes everything through. Norms that trained stay as
    they are, as in Houlsby et al. (2019, section 3.6, arXiv 1902.00751v2).

    Args:
        model: with adapters attached.
        layers: indices from 0, the lowest.
    """
    by_layer = adapters_by_layer(model)
    ups = [adapter.up for layer in layers for adapter in by_layer[layer]]
    kept = [(up.weight.detach().clone(), up.bias.detach().clone()) for up in ups]
    try:
        for up in ups:
            nn.init.zeros_(up.weight)
            nn.init.zeros_(up.bias)
        yield model
    finally:
        with torch.no_grad():
            for up, (weight, bias) in zip(ups, kept, strict=True):
                up.weight.copy_(weight)
                up.bias.copy_(bias)


def span_ablation(model: PreTrainedModel, measure: Callable[[], float]) -> list[list[float | None]]:
    """What `measure` says without the adapters of layers i to j, for every span.

    Args:
        model: with adapters attached.
        measure: of the model as it is when called, without arguments.

    Returns:
        Rows i and columns j from 0; None where j is below i.
    """
    depth = len(adapters_by_layer(model))
    found: list[list[float | None]] = [[None] * depth for _ in range(depth)]
    for first in range(depth):
        for last in range(first, depth):
            with without_adapters(model, range(first, last + 1)):
                found[first][last] = measure()
    return found


@torch.no_grad()
def initial_change(
    model: PreTrainedModel,
    batch: Mapping[str, Tensor],
    bottlenecks: Sequence[int],
    stds: Sequence[float],
    seed: int = 0,
) -> dict[tuple[int, float], float]:
    """How far attaching adapters moves the logits, by size and initial deviation; nothing trains.

    Args:
        model: a plain backbone; it is left as it was.
        batch: its inputs.
        bottlenecks: sizes m.
        stds: initial standard deviations.
        seed: of the adapters.

    Returns:
        Root mean square of the change over that of the plain logits, around their mean.
    """
    plain = model(**batch).logits
    spread = (plain - plain.mean()).pow(2).mean().sqrt()
    found = {}
    for size in bottlenecks:
        for std in stds:
            torch.manual_seed(seed)
            attachment = Adapter(bottleneck=size, init_std=std).attach(model)
            moved = model(**batch).logits - plain
            attachment.detach()
            found[size, std] = (moved.pow(2).mean().sqrt() / spread).item()
    return found


def bias_change(attachment: Attachment) -> dict[str, list[float]]:
    """How far each bias moved in training: mean |b_now - b_start|, by kind and layer.

    Ben Zaken et al. (2021, figure 1, arXiv 2106.10199).

    Args:
        attachment: of BitFit, on a backbone whose query, key and value have a bias each.

    Returns:
        By kind in the order of a layer, one number a layer; kinds that did not train are left out.
    """
    names = _trained_biases(attachment)
    moved = _distance_from_start(attachment, [n for own in names.values() for n in own])
    means = {name: change.abs().mean().item() for name, change in moved.items()}
    return {kind: [means[name] for name in own] for kind, own in names.items()}


@torch.no_grad()
def bias_effect(attachment: Attachment, batch: Mapping[str, Tensor]) -> dict[str, float]:
    """How far the logits move when the biases of one kind go back to where they started, by kind.

    Args:
        attachment: of BitFit, see `bias_change`; it is left as it was.
        batch: inputs of the model.

    Returns:
        The largest absolute change of a logit.
    """
    model, trained = attachment.model, attachment.named_parameters()
    now, found = model(**batch).logits, {}
    for kind, names in _trained_biases(attachment).items():
        kept = {name: trained[name].clone() for name in names}
        for name, change in _distance_from_start(attachment, names).items():
            trained[name].sub_(change)
        found[kind] = (model(**batch).logits - now).abs().max().item()
        for name in names:
            trained[name].copy_(kept[name])
    return found


def _trained_biases(attachment: Attachment) -> dict[str, list[str]]:
    """Names of the trained biases by kind, the lowest layer first."""
    model, trained = attachment.model, attachment.named_parameters()
    names: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for item in [*projections(model), *(n for n in norms(model) if n.role != "outside")]:
        if item.bias and f"{item.name}.bias" in trained:
            names[item.role].append(f"{item.name}.bias")
    return {kind: own for kind, own in names.items() if own}


def _distance_from_start(attachment: Attachment, names: Sequence[str]) -> dict[str, Tensor]:
    trained = attachment.named_parameters()
    now = {name: trained[name].detach().clone() for name in names}
    with attachment.disabled():
        return {name: now[name] - trained[name].detach() for name in names}
