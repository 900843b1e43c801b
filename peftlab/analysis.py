"""The numbers behind the figures: updates, their singular values, subspaces and truncations.

Axes: a weight matrix and its update are (d_out, d_in). D is the width of the model, R a rank.
"""

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
    """The `overlap` of two updates of the same matrix, averaged over the matrices of a model.

    Args:
        first: updates by module path, each (d_out, d_in).
        second: updates of at least the same matrices; further ones are not read.
        rows: how many top directions of `first` to compare, at most min(d_out, d_in).
        columns: how many top directions of `second` to compare, at most min(d_out, d_in).

    Returns:
        A table of `rows` by `columns` numbers from 0 to 1.
    """
    maps = [
        torch.tensor(overlap(directions(first[name], rows), directions(second[name], columns)))
        for name in first
    ]
    return torch.stack(maps).mean(0).tolist()


def random_like(matrix: Tensor, seed: int = 0) -> Tensor:
    """A Gaussian matrix of the same shape and Frobenius norm: the control of every spectrum.

    Args:
        matrix: the one to imitate.
        seed: of the random numbers.

    Returns:
        A matrix of the same shape.
    """
    drawn = torch.randn(matrix.shape, generator=torch.Generator().manual_seed(seed))
    return drawn * (matrix.norm() / drawn.norm())


def spectrum(matrix: Tensor) -> list[float]:
    """All singular values of a matrix, the largest first.

    Args:
        matrix: (d_out, d_in).

    Returns:
        min(d_out, d_in) numbers.
    """
    return torch.linalg.svdvals(matrix.float()).tolist()


def effective_rank(values: list[float], share: float = 0.9) -> int:
    """How many directions a matrix needs for `share` of its squared Frobenius norm.

    Args:
        values: its singular values, the largest first, at least one.
        share: above 0, at most 1.

    Returns:
        The number of directions; 0 for a matrix of zeros.
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
        phi as a table of I rows and J columns.
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
        matrix: (d_out, d_in). Directions beyond its rank are orthonormal to the others, and
            otherwise arbitrary.
        count: at most min(d_out, d_in).

    Returns:
        Orthonormal rows, (count, d_in).
    """
    return torch.linalg.svd(matrix.float(), full_matrices=False).Vh[:count]


def random_directions(count: int, width: int, seed: int = 0) -> Tensor:
    """Orthonormal rows in random directions.

    Args:
        count: number of rows, at most `width`.
        width: D, length of a row.
        seed: of the random numbers.

    Returns:
        (count, D)
    """
    drawn = torch.randn(width, count, generator=torch.Generator().manual_seed(seed))
    return torch.linalg.qr(drawn).Q.T


def amplification(weight: Tensor, delta: Tensor, rank: int) -> dict[str, float]:
    """How much an update emphasises directions that the weight has, but weakly.

    U and V are the top left and right singular directions of the update dW. |U' W V| says how much
    of W lies in the subspace of the update, and |dW| / |U' W V| is the amplification factor (Hu et
    al., 2021, section 7.3, arXiv 2106.09685). For comparison, W is projected on its own top
    directions and on random ones, too.

    Args:
        weight: W, (d_out, d_in).
        delta: the update of W, (d_out, d_in).
        rank: number of directions.

    Returns:
        Five Frobenius norms: "inside" of U' W V; "inside_own", with the top directions of W in
        place of U and V; "inside_random", with random directions in their place; "delta" of dW;
        "weight" of W. And "factor", which is delta / inside.
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
    """The `amplification`, averaged over the matrices of a model.

    Args:
        weights: W by module path, each (d_out, d_in). A W without an update is not read.
        updates: dW by module path, for at least one of these matrices.
        rank: number of directions.

    Returns:
        The mean of each value that `amplification` gives, by the same names.
    """
    each = [amplification(weights[name], delta, rank) for name, delta in updates.items()]
    return {key: sum(found[key] for found in each) / len(each) for key in each[0]}


def effective_ranks(
    spectra: dict[str, dict[str, list[float]]], share: float = 0.9
) -> list[dict[str, Any]]:
    """The `effective_rank` of several kinds of update, over all matrices of a model.

    Args:
        spectra: for each matrix, the singular values of each kind of update, by its label.
        share: of the squared Frobenius norm.

    Returns:
        One row for each label: the label as "update", and the "fewest", the "mean" and the "most"
        directions that a matrix needs.
    """
    rows = []
    for label in next(iter(spectra.values())):
        ranks = [effective_rank(found[label], share) for found in spectra.values()]
        mean = round(sum(ranks) / len(ranks), 1)
        rows.append({"update": label, "fewest": min(ranks), "mean": mean, "most": max(ranks)})
    return rows


def truncated(attachment: Attachment, rank: int) -> dict[str, Tensor]:
    """The state of a LoRA attachment, with each update reduced to its top singular directions.

    A reduced update is the best approximation of its rank (Eckart and Young, 1936).

    Args:
        attachment: of LoRA, not merged; it is only read.
        rank: how many directions stay. With 0 nothing of the update stays; with the trained rank or
            more, all of it.

    Returns:
        What `attachment.load_state_dict` takes: factors A (R, d_in) and B (d_out, R), whose R is
        the trained rank, so that the shapes still fit.

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
        kept = s[:r].clone()
        kept[rank:] = 0
        state[f"{name}.lora_A"] = v[:r].contiguous()  # (R, d_in)
        # alpha = 0 scales every update to zero, and there is nothing to divide
        state[f"{name}.lora_B"] = (u[:, :r] * kept / (module.scaling or 1.0)).contiguous()
    return state


def truncation_curve(
    attachment: Attachment, ranks: Iterable[int], measure: Callable[[], float]
) -> dict[int, float]:
    """Measure a LoRA model with its updates reduced to one rank after another.

    The trained updates are put back afterwards, also when `measure` raises.

    Args:
        attachment: of LoRA, not merged.
        ranks: each at least 0; see `truncated`.
        measure: called without arguments; it looks at the model as it is at that moment.

    Returns:
        What `measure` gave at each rank.

    Raises:
        ValueError: the model carries no low-rank update.
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
    """Compare the forward time of a model, unmerged and merged, with that of the plain backbone.

    Args:
        attachment: trained and not merged; it is not merged afterwards, either.
        plain: the same backbone with nothing attached. It is moved to the device of the other.
        batch: inputs that both models take.

    Returns:
        "unmerged" and "merged": forward time divided by that of the plain backbone. "difference":
        the largest change of a logit by merging. "extra": how many more modules the merged model
        has than the plain backbone.
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
    """The time of `second` divided by the time of `first`.

    Both are timed in pairs, and in every other pair `second` runs before `first`. So a machine that
    slows down or speeds up meanwhile favours neither.

    Args:
        first: what to compare with; called without arguments.
        second: what to time; called without arguments.
        repeats: number of pairs, odd. Before them each is called once without being timed.

    Returns:
        The median of the ratios, and all ratios in the order in which they were measured.
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
