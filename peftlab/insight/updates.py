"""The numbers behind the figures: updates, their singular values, subspaces and truncations.

Axes: a weight matrix and its update are (d_out, d_in). D is the width of the model, R a rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from peftlab.anatomy import ROLES, Projection
from peftlab.attach import Addition, Attachment, projections
from peftlab.attach.storage import read
from peftlab.methods.lora.layers import LoRAFusedLinear, LoRALinear, LowRankUpdate
from peftlab.methods.lora.method import LoRA


def updates(
    attachment: Attachment, roles: tuple[str, ...] = ("query", "value")
) -> dict[str, Tensor]:
    """How far training moved each weight matrix of these roles; the model is left as it was.

    For LoRA this is (alpha / r) B A. For full fine-tuning it is the weight now minus the weight
    before training.

    Args:
        attachment: of any method, merged or not. A weight that the method does not train has moved
            by zero.
        roles: some of `anatomy.ROLES`.

    Returns:
        One update for each module path, (d_out, d_in), on the CPU. GPT-2 keeps three projections in
        one module: the path of such a projection ends with ".parts." and its role.

    Raises:
        ValueError: the attachment is detached.
    """
    model = attachment.model
    wanted = [p for p in projections(model) if p.role in roles]
    low_rank = {_path(p): _low_rank_update(model, p) for p in wanted}
    found = {path: u.delta_weight().detach().cpu() for path, u in low_rank.items() if u is not None}
    now = {_path(p): _matrix(model, p).clone() for p in wanted if _path(p) not in found}
    with attachment.disabled():
        moved = {_path(p): now[_path(p)] - _matrix(model, p) for p in wanted if _path(p) in now}
    return {_path(p): (found | moved)[_path(p)] for p in wanted}


def weights(
    model: PreTrainedModel, roles: tuple[str, ...] = ("query", "value")
) -> dict[str, Tensor]:
    """The weight matrices of these roles. What a method added beside them is not in them.

    Args:
        model: of a supported family, with or without a method attached.
        roles: some of `anatomy.ROLES`.

    Returns:
        One copy for each module path, (d_out, d_in), on the CPU; the paths are those of `updates`.
    """
    return {_path(p): _matrix(model, p).clone() for p in projections(model) if p.role in roles}


def _path(p: Projection) -> str:
    """Module path of a projection; the path of a fused one ends with its role."""
    return p.name if p.part is None else f"{p.name}.parts.{p.role}"


def _matrix(model: PreTrainedModel, p: Projection) -> Tensor:
    """The weight of a projection, (d_out, d_in); that of a fused one is cut out of its module."""
    module = model.get_submodule(p.name)
    base = module.base if isinstance(module, Addition) else module
    weight = base.weight.detach().cpu()
    if not isinstance(base, nn.Linear):  # Conv1D stores (d_in, all d_out)
        weight = weight.T
    return weight if p.part is None else weight[p.part * p.d_out : (p.part + 1) * p.d_out]


def _low_rank_update(model: PreTrainedModel, p: Projection) -> LowRankUpdate | None:
    module = model.get_submodule(p.name)
    if isinstance(module, LoRAFusedLinear):
        return dict(module.parts).get(p.role)
    return module.update if isinstance(module, LoRALinear) else None


def stored_updates(folder: str | Path) -> dict[str, Tensor]:
    """The updates of a stored LoRA, read from its files alone: no backbone is loaded.

    Args:
        folder: the one that was given to `attachment.save`.

    Returns:
        One update for each module path, (d_out, d_in); the paths are those of `updates`.

    Raises:
        ValueError: the folder is damaged or holds another method.
    """
    description, state = read(folder)
    if description["method"] != "lora":
        raise ValueError(f"{folder} holds {description['method']}, not lora")
    alpha = description["hyperparameters"]["alpha"]
    state = LoRA.named_as_today(state)
    names = [key.removesuffix(".lora_A") for key in state if key.endswith(".lora_A")]
    return {
        name.removesuffix(".update"): alpha
        / len(state[f"{name}.lora_A"])
        * (state[f"{name}.lora_B"] @ state[f"{name}.lora_A"])
        for name in names
    }


def truncated(attachment: Attachment, rank: int) -> dict[str, Tensor]:
    """The state of an attachment, with each update reduced to its top singular directions.

    A reduced update is the best approximation of its rank (Eckart and Young, 1936). Of LoRA every
    update is cut. Of full fine-tuning the updates of all weight matrices of the blocks are cut;
    embeddings, biases and LayerNorms stay as they were trained.

    Args:
        attachment: of LoRA, not merged, or of full fine-tuning; it is only read.
        rank: how many directions stay. With 0 nothing of the updates stays; with the rank of the
            updates or more, all of it.

    Returns:
        What `attachment.load_state_dict` takes, with all shapes as they were.

    Raises:
        ValueError: the model carries no low-rank update, and its weight matrices do not train.
    """
    low_rank = {
        name: module
        for name, module in attachment.model.named_modules()
        if isinstance(module, LowRankUpdate)
    }
    state = attachment.state_dict()
    if low_rank:
        return state | _truncated_factors(low_rank, rank)
    places = [p for p in projections(attachment.model) if f"{p.name}.weight" in state]
    if not places:
        raise ValueError("there is no update to cut; attach LoRA and unmerge() it, or train all")
    moved = updates(attachment, ROLES)
    for p in places:
        delta = moved[_path(p)]
        u, s, v = torch.linalg.svd(delta, full_matrices=False)
        change = u[:, :rank] * s[:rank] @ v[:rank] - delta  # (d_out, d_in)
        if not isinstance(attachment.model.get_submodule(p.name), nn.Linear):
            change = change.T  # Conv1D stores (d_in, d_out)
        if p.part is not None:  # and GPT-2 query, key and value side by side
            change = F.pad(change, (p.part * p.d_out, (2 - p.part) * p.d_out))
        state[f"{p.name}.weight"] = state[f"{p.name}.weight"] + change
    return state


def _truncated_factors(low_rank: dict[str, LowRankUpdate], rank: int) -> dict[str, Tensor]:
    """Factors A (R, d_in) and B (d_out, R), whose R is the trained rank, so that shapes fit."""
    state = {}
    for name, module in low_rank.items():
        u, s, v = torch.linalg.svd(module.delta_weight().detach().cpu(), full_matrices=False)
        r = module.lora_A.shape[0]
        kept = s[:r].clone()
        kept[rank:] = 0
        state[f"{name}.lora_A"] = v[:r].contiguous()  # (R, d_in)
        # alpha = 0 scales every update to zero, and there is nothing to divide
        state[f"{name}.lora_B"] = (u[:, :r] * kept / (module.scaling or 1.0)).contiguous()
    return state


def truncation_curve(
    attachment: Attachment, ranks: Iterable[int], measure: Callable[[], float]
) -> dict[int, float]:
    """Measure a model with its updates reduced to one rank after another.

    The trained updates are put back afterwards, also when `measure` raises.

    Args:
        attachment: of LoRA, not merged, or of full fine-tuning.
        ranks: each at least 0; see `truncated`.
        measure: called without arguments; it looks at the model as it is at that moment.

    Returns:
        What `measure` gave at each rank.

    Raises:
        ValueError: there is no update to cut, see `truncated`.
    """
    whole, found = attachment.state_dict(), {}
    try:
        for rank in ranks:
            attachment.load_state_dict(truncated(attachment, rank))
            found[rank] = measure()
            attachment.load_state_dict(whole)
    finally:
        attachment.load_state_dict(whole)
    return found
