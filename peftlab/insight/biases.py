"""How far biases moved in training, and what undoing one kind of them does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    names = _trained_biases(attachment)
    moved = _distance_from_start(attachment, [n for own in names.values() for n in own])
    means = {name: change.abs().mean().item() for name, change in moved.items()}
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
    """How far training moved each of these parameters: its value now minus that before."""
    trained = attachment.named_parameters()
    now = {name: trained[name].detach().clone() for name in names}
    with attachment.disabled():
        return {name: now[name] - trained[name].detach() for name in names}
