"""The singular values and directions of updates, and how much two updates share."""

from __future__ import annotations

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
