"""The singular values and directions of updates, and how much two updates share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


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


def random_similarities(width: int, count: int = 1000, seed: int = 0) -> list[float]:
    """How similar two random directions are: their squared cosine, which is `overlap` of one each.

    Args:
        width: D, length of a direction.
        count: how many pairs to draw.
        seed: of the random numbers.

    Returns:
        One number from 0 to 1 for each pair; their mean is 1 / D.
    """
    draw = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, count, width, generator=draw)
    return (torch.cosine_similarity(first, second) ** 2).tolist()


def amplification(weight: Tensor, delta: Tensor, rank: int) -> dict[str, float]:
    """How much an update emphasises directions that the weight has, but weakly; see below.

    Args:
        weight: W, (d_out, d_in).
        delta: the update of W, (d_out, d_in).
        rank: number of directions, k.

    Returns:
        What `amplifications` gives for this number of directions.
    """
    return amplifications(weight, delta, [rank])[0]


def amplifications(weight: Tensor, delta: Tensor, ranks: Sequence[int]) -> list[dict[str, float]]:
    """How much an update emphasises directions that the weight has, but weakly.

    U and V are the top left and right singular directions of the update dW. |U' W V| says how much
    of W lies in the subspace of the update, and |dW| / |U' W V| is the amplification factor (Hu et
    al., 2021, section 7.3, arXiv 2106.09685). For comparison, W is projected on its own top
    directions. On random ones it has the root mean square |W| k / sqrt(d_out d_in), with k
    directions on each side; this is exact, no draw is needed.

    Args:
        weight: W, (d_out, d_in).
        delta: the update of W, (d_out, d_in).
        ranks: numbers of directions, k.

    Returns:
        For each k five Frobenius norms: "inside" of U' W V; "inside_own", with the top directions
        of W in place of U and V; "inside_random", what random directions have; "delta" of dW;
        "weight" of W. And two ratios: "over_random", which is inside / inside_random; "factor",
        which is delta / inside.
    """

    def projected(left: Tensor, right: Tensor) -> float:  # left (d_out, rank), right (rank, d_in)
        return (left.T @ weight @ right.T).norm().item()

    u, _, v = torch.linalg.svd(delta.float(), full_matrices=False)
    uw, _, vw = torch.linalg.svd(weight.float(), full_matrices=False)
    found = []
    for k in ranks:
        inside = projected(u[:, :k], v[:k])
        chance = weight.norm().item() * k / weight.numel() ** 0.5
        found.append(
            {
                "inside": inside,
                "inside_own": projected(uw[:, :k], vw[:k]),
                "inside_random": chance,
                "delta": delta.norm().item(),
                "weight": weight.norm().item(),
                "over_random": inside / chance,
                "factor": delta.norm().item() / inside,
            }
        )
    return found


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
    return mean_amplifications(weights, updates, [rank])[0]


def mean_amplifications(
    weights: dict[str, Tensor], updates: dict[str, Tensor], ranks: Sequence[int]
) -> list[dict[str, float]]:
    """The `amplifications`, averaged over the matrices of a model.

    Args:
        weights: W by module path, each (d_out, d_in). A W without an update is not read.
        updates: dW by module path, for at least one of these matrices.
        ranks: numbers of directions.

    Returns:
        For each number of directions the mean of each value, by the same names.
    """
    each = [amplifications(weights[name], delta, ranks) for name, delta in updates.items()]
    return [
        {key: sum(one[i][key] for one in each) / len(each) for key in each[0][i]}
        for i in range(len(ranks))
    ]


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
