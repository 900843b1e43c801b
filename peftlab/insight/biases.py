"""How far biases moved in training, and what undoing one kind of them does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from peftlab.attach import Attachment, norms, projections
from peftlab.methods.bitfit.method import KINDS


def bias_change(attachment: Attachment) -> dict[str, list[float]]:
    """How far each bias moved in training: mean |b_now - b_start|.

    Ben Zaken et al. (2021, figure 1, arXiv 2106.10199).

    Args:
        attachment: of BitFit, on a backbone whose query, key and value each have a bias of their
            own.

    Returns:
        For each kind of bias one number for each layer, the lowest first. Kinds that did not train
        are left out.
    """
    names, trained = _trained_biases(attachment), attachment.named_parameters()
    start = _start(attachment, [name for own in names.values() for name in own])
    means = {name: (trained[name] - b).abs().mean().item() for name, b in start.items()}
    return {kind: [means[name] for name in own] for kind, own in names.items()}


@torch.no_grad()
def bias_effect(attachment: Attachment, batch: Mapping[str, Tensor]) -> dict[str, float]:
    """How far the logits move when the biases of one kind get back the values before training.

    Args:
        attachment: of BitFit, see `bias_change`; it is left as it was.
        batch: inputs of the model.

    Returns:
        The largest absolute change of a logit, for each kind of bias that trained.
    """
    model = attachment.model
    now, found = model(**batch).logits, {}
    for kind in _trained_biases(attachment):
        with biases_put_back(attachment, [kind]):
            found[kind] = (model(**batch).logits - now).abs().max().item()
    return found


@contextmanager
def biases_put_back(
    attachment: Attachment, kinds: Iterable[str], layers: Iterable[int] | None = None
) -> Iterator[None]:
    """Give biases the values that they had before training, for the length of a `with` block.

    Args:
        attachment: of BitFit, see `bias_change`.
        kinds: of bias; those that did not train count for nothing.
        layers: indices of layers, 0 is the lowest; None takes all.
    """
    by_kind, trained = _trained_biases(attachment), attachment.named_parameters()
    chosen = None if layers is None else set(layers)
    names = [
        name
        for kind in kinds
        for layer, name in enumerate(by_kind.get(kind, []))
        if chosen is None or layer in chosen
    ]
    kept = {name: trained[name].detach().clone() for name in names}
    start = _start(attachment, names)
    try:
        _set(trained, start)
        yield
    finally:
        _set(trained, kept)


@torch.no_grad()
def _set(trained: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        trained[name].copy_(value)


def _trained_biases(attachment: Attachment) -> dict[str, list[str]]:
    """Names of the trained biases by kind, the lowest layer first."""
    model, trained = attachment.model, attachment.named_parameters()
    names: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for item in [*projections(model), *(n for n in norms(model) if n.role != "outside")]:
        if item.bias and f"{item.name}.bias" in trained:
            names[item.role].append(f"{item.name}.bias")
    return {kind: own for kind, own in names.items() if own}


def _start(attachment: Attachment, names: Sequence[str]) -> dict[str, Tensor]:
    """What these parameters were before training."""
    trained = attachment.named_parameters()
    with attachment.disabled():
        return {name: trained[name].detach().clone() for name in names}
