"""The numbers behind the figures: updates, their singular values, subspaces and truncations."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from peftlab import checkpoints
from peftlab.attach import Attachment, projections
from peftlab.modules.lora import LowRankUpdate


def updates(
    attachment: Attachment, roles: tuple[str, ...] = ("query", "value")
) -> dict[str, Tensor]:
    """How far training moved each weight matrix, by module path; each (d_out, d_in), fused maps left out.

    For LoRA that is (alpha / r) B A itself; for full fine-tuning, the weight minus what it was.
    """
    model = attachment.model
    wanted = [p.name for p in projections(model) if p.role in roles and p.part is None]
    modules = {name: model.get_submodule(name) for name in wanted}
    found = {
        name: module.delta_weight().detach().cpu()
        for name, module in modules.items()
        if isinstance(module, LowRankUpdate)
    }
    now = {
        name: m.weight.detach().cpu().clone() for name, m in modules.items() if name not in found
    }
    with attachment.disabled():
        for name, weight in now.items():
            found[name] = weight - model.get_submodule(name).weight.detach().cpu()
    return {name: found[name] for name in wanted}


def stored_updates(folder: str | Path) -> dict[str, Tensor]:
    """The updates of a LoRA that `checkpoints.save` wrote, by module path; each (d_out, d_in).

    Raises:
        ValueError: the folder is damaged or holds another method.
    """
    description, state = checkpoints.read(folder)
    if description["method"] != "lora":
        raise ValueError(f"{folder} holds {description['method']}, not lora")
    alpha = description["hyperparameters"]["alpha"]
    names = [key.removesuffix(".lora_A") for key in state if key.endswith(".lora_A")]
    return {
        name: alpha
        / len(state[f"{name}.lora_A"])
        * (state[f"{name}.lora_B"] @ state[f"{name}.lora_A"])
        for name in names
    }


def mean_overlap(
    first: dict[str, Tensor], second: dict[str, Tensor], rows: int, columns: int
) -> list[list[float]]:
    """`overlap` of two sets of updates, averaged over their matrices; (rows, columns)."""
    maps = [
        torch.tensor(overlap(directions(first[name], rows), directions(second[name], columns)))
        for name in first
    ]
    return torch.stack(maps).mean(0).tolist()


def weights(
    model: PreTrainedModel, roles: tuple[str, ...] = ("query", "value")
) -> dict[str, Tensor]:
    """The frozen weight matrices by module path; each (d_out, d_in), fused maps left out."""
    return {
        p.name: model.get_submodule(p.name).weight.detach().cpu()
        for p in projections(model)
        if p.role in roles and p.part is None
    }


def random_like(matrix: Tensor, seed: int = 0) -> Tensor:
    """A Gaussian matrix of the same shape and Frobenius norm: the control of every spectrum."""
    drawn = torch.randn(matrix.shape, generator=torch.Generator().manual_seed(seed))
    return drawn * (matrix.norm() / drawn.norm())


def spectrum(matrix: Tensor) -> list[float]:
    """Singular values, the largest first."""
    return torch.linalg.svdvals(matrix.float()).tolist()


def effective_rank(values: list[float], share: float = 0.9) -> int:
    """How many directions carry `share` of the squared Frobenius norm."""
    energy = torch.tensor(values, dtype=torch.float64) ** 2
    return int((energy.cumsum(0) < share * energy.sum()).sum()) + 1


def overlap(first: Tensor, second: Tensor) -> list[list[float]]:
    """Similarity of the top-i and top-j input directions (Hu et al., 2021, equation 4, arXiv 2106.09685).

    phi(i, j) = |U1_i' U2_j|^2 / min(i, j), from 0 (orthogonal) to 1 (one contains the other).

    Args:
        first: right singular directions as rows, (I, D), orthonormal; see `directions`.
        second: the same, (J, D).

    Returns:
        I rows of J numbers.
    """
    squared = (first @ second.T) ** 2  # (I, J)
    total = squared.cumsum(0).cumsum(1)
    smaller = torch.minimum(
        torch.arange(1, len(first) + 1)[:, None], torch.arange(1, len(second) + 1)[None, :]
    )
    return (total / smaller).tolist()


def directions(matrix: Tensor, count: int) -> Tensor:
    """The `count` right singular directions with the largest singular values, as rows (count, d_in)."""
    return torch.linalg.svd(matrix.float(), full_matrices=False).Vh[:count]


def random_directions(count: int, width: int, seed: int = 0) -> Tensor:
    """Orthonormal rows in random directions, (count, width)."""
    drawn = torch.randn(width, count, generator=torch.Generator().manual_seed(seed))
    return torch.linalg.qr(drawn).Q.T


def amplification(weight: Tensor, delta: Tensor, rank: int) -> dict[str, float]:
    """How much an update emphasises directions that the weight has, but weakly (Hu et al., 2021, section 7.3).

    With U and V the top left and right singular directions of the update, |U' W V| is how much of W lies in the
    update's subspace, and |dW| / |U' W V| the amplification. The same projection with W's own top directions and
    with random ones stands beside it.

    Args:
        weight: W, (d_out, d_in).
        delta: the update of W, (d_out, d_in).
        rank: number of directions.
    """

    def projected(left: Tensor, right: Tensor) -> float:  # left (d_out, rank), right (rank, d_in)
        return (left.T @ weight @ right.T).norm().item()

    u, _, v = torch.linalg.svd(delta.float(), full_matrices=False)
    uw, _, vw = torch.linalg.svd(weight.float(), full_matrices=False)
    d_out, d_in = weight.shape
    inside = projected(u[:, :rank], v[:rank])
    return {
        "inside": inside,
        "inside_own": projected(uw[:, :rank], vw[:rank]),
        "inside_random": projected(
            random_directions(rank, d_out, 0).T, random_directions(rank, d_in, 1)
        ),
        "delta": delta.norm().item(),
        "weight": weight.norm().item(),
        "factor": delta.norm().item() / inside,
    }


def truncated(attachment: Attachment, rank: int) -> dict[str, Tensor]:
    """The state of a LoRA attachment with every update cut to its `rank` largest singular directions.

    Args:
        attachment: with plain (not fused) low-rank updates.
        rank: from 0, which leaves nothing of the update; above the trained rank nothing changes.
    """
    state = attachment.state_dict()
    for name, module in attachment.model.named_modules():
        if isinstance(module, LowRankUpdate):
            u, s, v = torch.linalg.svd(module.delta_weight().detach().cpu(), full_matrices=False)
            r = module.lora_A.shape[0]
            kept = s[:r] * (torch.arange(len(s[:r])) < rank)
            state[f"{name}.lora_A"] = v[:r].contiguous()
            state[f"{name}.lora_B"] = (u[:, :r] * kept / module.scaling).contiguous()
    return state


@torch.no_grad()
def time_ratio(
    first: Callable[[], Any], second: Callable[[], Any], repeats: int = 15
) -> tuple[float, list[float]]:
    """How much longer `second` takes than `first`: the median ratio of runs that alternate, and all ratios.

    Alternating keeps a machine that slows down or speeds up from favouring one of them.
    """
    first(), second()
    ratios = []
    for i in range(repeats):
        times = {}
        for run in (first, second) if i % 2 == 0 else (second, first):
            started = time.perf_counter()
            run()
            times[run] = time.perf_counter() - started
        ratios.append(times[second] / times[first])
    return sorted(ratios)[len(ratios) // 2], ratios
