"""The numbers behind the figures: updates, their singular values, subspaces and truncations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from peftlab import checkpoints
from peftlab.anatomy import Projection
from peftlab.attach import Addition, Attachment, projections
from peftlab.methods import LoRA
from peftlab.modules.lora import LoRAFusedLinear, LoRALinear, LowRankUpdate


def updates(
    attachment: Attachment, roles: tuple[str, ...] = ("query", "value")
) -> dict[str, Tensor]:
    """How far training moved each weight matrix of these roles; the model is left as it was.

    For LoRA that is (alpha / r) B A itself; for full fine-tuning, the weight minus what it was.

    Args:
        attachment: of any method, merged or not; a role that it does not train moved by zero.
        roles: some of `anatomy.ROLES`.

    Returns:
        By module path, each (d_out, d_in), on the CPU; a part of a fused map has ".parts" and its
        role behind the path.

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
    """The weight matrices of these roles, without an update beside them.

    Args:
        model: of a supported family, with or without a method attached.
        roles: some of `anatomy.ROLES`.

    Returns:
        Copies by module path, as `updates` names them; each (d_out, d_in), on the CPU.
    """
    return {_path(p): _matrix(model, p).clone() for p in projections(model) if p.role in roles}


def _path(p: Projection) -> str:
    """Module path of a projection; a fused one gets its role behind it."""
    return p.name if p.part is None else f"{p.name}.parts.{p.role}"


def _matrix(model: PreTrainedModel, p: Projection) -> Tensor:
    """The weight of a projection, (d_out, d_in), cut out of a fused map where it stands in one."""
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
    """The updates of a LoRA that `checkpoints.save` wrote, without loading its backbone.

    Args:
        folder: as given to `save`.

    Returns:
        All of its updates by module path, as `updates` names them; each (d_out, d_in).

    Raises:
        ValueError: the folder is damaged or holds another method.
    """
    description, state = checkpoints.read(folder)
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


def mean_overlap(
    first: dict[str, Tensor], second: dict[str, Tensor], rows: int, columns: int
) -> list[list[float]]:
    """`overlap` of two sets of updates, averaged over their matrices.

    Args:
        first: updates by module path, each (d_out, d_in).
        second: updates of the same matrices; others are left out.
        rows: top directions of `first`, at most the smaller dimension of a matrix.
        columns: top directions of `second`, likewise.

    Returns:
        `rows` lists of `columns` numbers from 0 to 1.
    """
    maps = [
        torch.tensor(overlap(directions(first[name], rows), directions(second[name], columns)))
        for name in first
    ]
    return torch.stack(maps).mean(0).tolist()


def random_like(matrix: Tensor, seed: int = 0) -> Tensor:
    """A Gaussian matrix of the same shape and Frobenius norm: the control of every spectrum."""
    drawn = torch.randn(matrix.shape, generator=torch.Generator().manual_seed(seed))
    return drawn * (matrix.norm() / drawn.norm())


def spectrum(matrix: Tensor) -> list[float]:
    """The min(d_out, d_in) singular values of a matrix (d_out, d_in), the largest first."""
    return torch.linalg.svdvals(matrix.float()).tolist()


def effective_rank(values: list[float], share: float = 0.9) -> int:
    """How many directions carry `share` of the squared Frobenius norm; 0 for a zero matrix.

    Args:
        values: singular values, the largest first, at least one.
        share: above 0, at most 1.
    """
    energy = (torch.tensor(values, dtype=torch.float64) ** 2).cumsum(0)
    return int((energy < share * energy[-1]).sum()) + int(energy[-1] > 0)


def overlap(first: Tensor, second: Tensor) -> list[list[float]]:
    """Similarity of the top-i and top-j input directions of two updates.

    phi(i, j) = |U1_i' U2_j|^2 / min(i, j), from 0 (orthogonal) to 1 (one contains the other);
    Hu et al., 2021, equation 4, arXiv 2106.09685.

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
    """The `count` right singular directions with the largest singular values.

    Args:
        matrix: (d_out, d_in); directions beyond its rank are orthonormal, but arbitrary.
        count: at most the smaller dimension.

    Returns:
        Orthonormal rows, (count, d_in).
    """
    return torch.linalg.svd(matrix.float(), full_matrices=False).Vh[:count]


def random_directions(count: int, width: int, seed: int = 0) -> Tensor:
    """Orthonormal rows in random directions, (count, width); `count` is at most `width`."""
    drawn = torch.randn(width, count, generator=torch.Generator().manual_seed(seed))
    return torch.linalg.qr(drawn).Q.T


def amplification(weight: Tensor, delta: Tensor, rank: int) -> dict[str, float]:
    """How much an update emphasises directions that the weight has, but weakly.

    With U and V the top left and right singular directions of the update, |U' W V| is how much of
    W lies in the update's subspace, and |dW| / |U' W V| the amplification (Hu et al., 2021, section
    7.3, arXiv 2106.09685). The same projection with W's own top directions and with random ones
    stands beside it.

    Args:
        weight: W, (d_out, d_in).
        delta: the update of W, (d_out, d_in).
        rank: number of directions.

    Returns:
        Frobenius norms: "inside", U' W V; "inside_own" and "inside_random", the same with the other
        directions; "delta" and "weight"; and "factor", delta over inside.
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


def mean_amplification(
    weights: dict[str, Tensor], updates: dict[str, Tensor], rank: int
) -> dict[str, float]:
    """`amplification` averaged over the matrices of a model.

    Args:
        weights: W by module path, each (d_out, d_in); those without an update are left out.
        updates: of some of these matrices, at least one.
        rank: number of directions.
    """
    each = [amplification(weights[name], delta, rank) for name, delta in updates.items()]
    return {key: sum(found[key] for found in each) / len(each) for key in each[0]}


def effective_ranks(
    spectra: dict[str, dict[str, list[float]]], share: float = 0.9
) -> list[dict[str, Any]]:
    """`effective_rank` over all matrices: one row a label with the fewest, the mean and the most.

    Args:
        spectra: singular values by matrix, each by label.
        share: of the squared Frobenius norm.
    """
    rows = []
    for label in next(iter(spectra.values())):
        ranks = [effective_rank(found[label], share) for found in spectra.values()]
        mean = round(sum(ranks) / len(ranks), 1)
        rows.append({"update": label, "fewest": min(ranks), "mean": mean, "most": max(ranks)})
    return rows


def truncated(attachment: Attachment, rank: int) -> dict[str, Tensor]:
    """The state of a LoRA attachment with every update cut to its largest singular directions.

    What is left is the best approximation of that rank (Eckart and Young, 1936).

    Args:
        attachment: of LoRA, not merged; it is only read.
        rank: directions to keep, from 0, which leaves nothing of the update; from the trained rank
            on, all of it stays.

    Returns:
        As `Attachment.state_dict`, with factors A (R, d_in) and B (d_out, R) of the trained rank R.

    Raises:
        ValueError: the model carries no low-rank update.
    """
    state = attachment.state_dict()
    low_rank = {
        name: module
        for name, module in attachment.model.named_modules()
        if isinstance(module, LowRankUpdate)
    }
    if not low_rank:
        raise ValueError("there is no low-rank update to cut; attach LoRA, and unmerge() it")
    for name, module in low_rank.items():
        u, s, v = torch.linalg.svd(module.delta_weight().detach().cpu(), full_matrices=False)
        r = module.lora_A.shape[0]
        kept = s[:r] * (torch.arange(r) < rank)
        state[f"{name}.lora_A"] = v[:r].contiguous()  # (R, d_in)
        # alpha = 0 scales every update to zero, and there is nothing to divide
        state[f"{name}.lora_B"] = (u[:, :r] * kept / (module.scaling or 1.0)).contiguous()
    return state


def truncation_curve(
    attachment: Attachment, ranks: Iterable[int], measure: Callable[[], float]
) -> dict[int, float]:
    """What `measure` says with every update cut to each rank, by rank.

    The trained update is put back afterwards, also when `measure` raises.

    Args:
        attachment: see `truncated`.
        ranks: from 0.
        measure: of the model as it is when called, without arguments.
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


@torch.no_grad()
def merge_timing(
    attachment: Attachment, plain: PreTrainedModel, batch: dict[str, Tensor]
) -> dict[str, float]:
    """Forward time of the unmerged and the merged model over the plain one's; what merging moves.

    Args:
        attachment: trained; it is unmerged before and after.
        plain: the same backbone with nothing attached; it is moved to the device of the other.
        batch: inputs that both models take.

    Returns:
        "merged" and "unmerged", time ratios; "difference", how far merging moves a logit at most;
        "extra", modules that the merged model has beyond the plain one's.
    """
    model = attachment.model
    plain = plain.to(model.device)
    batch = {name: tensor.to(model.device) for name, tensor in batch.items()}

    def ratio() -> float:
        # .cpu() waits for a GPU to finish
        runs = [lambda: plain(**batch).logits.cpu(), lambda: model(**batch).logits.cpu()]
        return time_ratio(*runs)[0]

    before, unmerged = model(**batch).logits, ratio()
    attachment.merge()
    try:
        difference = (model(**batch).logits - before).abs().max().item()
        extra = len(list(model.modules())) - len(list(plain.modules()))
        return {"merged": ratio(), "unmerged": unmerged, "difference": difference, "extra": extra}
    finally:
        attachment.unmerge()


@torch.no_grad()
def time_ratio(
    first: Callable[[], Any], second: Callable[[], Any], repeats: int = 15
) -> tuple[float, list[float]]:
    """How much longer `second` takes than `first`.

    They alternate, and so does which of them comes first: a machine that slows down or speeds up
    favours neither.

    Args:
        first: what to compare with; called without arguments.
        second: what to time.
        repeats: ratios to measure, after one call of each that is not timed; an odd number.

    Returns:
        The median ratio of their times, and all ratios in order.
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
