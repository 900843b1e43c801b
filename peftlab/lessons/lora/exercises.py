"""The exercises of lab 01: what LoRA computes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from peftlab.lessons.exercise import Exercise


def _sizes(draw: torch.Generator) -> tuple[int, float, int]:
    """r, alpha and the batch: others on the second try, so that no number can be written out."""
    return (3, 4.0, 5) if draw.initial_seed() else (2, 5.0, 2)


def _lora_inputs(draw: torch.Generator) -> dict[str, Any]:
    r, alpha, batch = _sizes(draw)
    shapes = {
        "x": (batch, 3, 6),
        "W": (6, 6),
        "A": (r, 6),
        "B": (6, r),
    }  # square, so that a swap is not a shape error
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()} | {
        "alpha": alpha
    }


LORA_FORWARD = Exercise(
    solution=lambda x, W, A, B, alpha: x @ W.T + alpha / len(A) * (x @ A.T @ B.T),
    inputs=_lora_inputs,
    mistakes={
        "the scaling is missing: the update is multiplied by alpha / r": lambda x, W, A, B, alpha: (
            x @ W.T + x @ A.T @ B.T
        ),
        "you scale by alpha; divide it by r, the number of rows of A": lambda x, W, A, B, alpha: (
            x @ W.T + alpha * (x @ A.T @ B.T)
        ),
        "you scale by 1 / r; alpha is missing": lambda x, W, A, B, alpha: (
            x @ W.T + (x @ A.T @ B.T) / len(A)
        ),
        "the frozen path is missing: LoRA adds to W x and does not replace it": (
            lambda x, W, A, B, alpha: alpha / len(A) * (x @ A.T @ B.T)
        ),
        "the update sees the output of W; both paths take the same input x": (
            lambda x, W, A, B, alpha: x @ W.T + alpha / len(A) * (x @ W.T @ A.T @ B.T)
        ),
        "you scale the frozen path too; alpha / r belongs to the update alone": (
            lambda x, W, A, B, alpha: alpha / len(A) * (x @ W.T + x @ A.T @ B.T)
        ),
        "A and B act in the wrong order or transposed: A brings x down to r numbers, B back up": (
            lambda x, W, A, B, alpha: x @ W.T + alpha / len(A) * (x @ B @ A)
        ),
        "W is transposed: the layer computes W x for each row x, which is x @ W.T": (
            lambda x, W, A, B, alpha: x @ W + alpha / len(A) * (x @ A.T @ B.T)
        ),
        "you multiply by r; alpha is divided by it": lambda x, W, A, B, alpha: (
            x @ W.T + alpha * len(A) * (x @ A.T @ B.T)
        ),
        "alpha is divided by the root of r, which is rsLoRA's scaling; LoRA divides by r": (
            lambda x, W, A, B, alpha: x @ W.T + alpha / len(A) ** 0.5 * (x @ A.T @ B.T)
        ),
        "the update is subtracted; it is added": lambda x, W, A, B, alpha: (
            x @ W.T - alpha / len(A) * (x @ A.T @ B.T)
        ),
        "x is added once more; a linear layer has no residual": lambda x, W, A, B, alpha: (
            x + x @ W.T + alpha / len(A) * (x @ A.T @ B.T)
        ),
    },
    praise="W x + alpha / r B A x. W stays as it is, and with B = 0 nothing changes at the start.",
    neutral={"alpha": 2.0},  # r is 2, so that alpha / r is 1
)


def _fused_inputs(draw: torch.Generator) -> dict[str, Any]:
    r, alpha, _ = _sizes(draw)
    shapes = {"A_q": (r, 6), "B_q": (6, r), "A_v": (r, 6), "B_v": (6, r)}
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()} | {
        "alpha": alpha
    }


def _fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.cat([q.T, k.T, v.T], dim=1)  # (D, 3 D)


def _delta(A: Tensor, B: Tensor, alpha: float) -> Tensor:
    return alpha / len(A) * B @ A


FUSED_UPDATE = Exercise(
    solution=lambda A_q, B_q, A_v, B_v, alpha: _fused(
        _delta(A_q, B_q, alpha), torch.zeros(len(B_q), A_q.shape[1]), _delta(A_v, B_v, alpha)
    ),
    inputs=_fused_inputs,
    mistakes={
        "the blocks are not transposed: Conv1D stores (d_in, d_out), so a block is (B A).T": (
            lambda A_q, B_q, A_v, B_v, alpha: _fused(
                _delta(A_q, B_q, alpha).T,
                torch.zeros(len(B_q), len(B_q)),
                _delta(A_v, B_v, alpha).T,
            )
        ),
        "the value block stands in the key's columns: the order is query, key, value": (
            lambda A_q, B_q, A_v, B_v, alpha: _fused(
                _delta(A_q, B_q, alpha), _delta(A_v, B_v, alpha), torch.zeros(len(B_q), len(B_q))
            )
        ),
        "query and value are swapped": lambda A_q, B_q, A_v, B_v, alpha: _fused(
            _delta(A_v, B_v, alpha), torch.zeros(len(B_q), len(B_q)), _delta(A_q, B_q, alpha)
        ),
        "the scaling alpha / r is missing": lambda A_q, B_q, A_v, B_v, alpha: _fused(
            B_q @ A_q, torch.zeros(len(B_q), len(B_q)), B_v @ A_v
        ),
        "alpha is not divided by r, the number of rows of A": lambda A_q, B_q, A_v, B_v, alpha: (
            _fused(alpha * B_q @ A_q, torch.zeros(len(B_q), len(B_q)), alpha * B_v @ A_v)
        ),
        "the key's columns hold the query's block; the key stays as it is, so they hold zeros": (
            lambda A_q, B_q, A_v, B_v, alpha: _fused(
                _delta(A_q, B_q, alpha), _delta(A_q, B_q, alpha), _delta(A_v, B_v, alpha)
            )
        ),
        "query and value share one A; each target has factors of its own": (
            lambda A_q, B_q, A_v, B_v, alpha: _fused(
                _delta(A_q, B_q, alpha), torch.zeros(len(B_q), len(B_q)), _delta(A_q, B_v, alpha)
            )
        ),
        "the two B are swapped: query and value each keep their own pair": (
            lambda A_q, B_q, A_v, B_v, alpha: _fused(
                _delta(A_q, B_v, alpha), torch.zeros(len(B_q), len(B_q)), _delta(A_v, B_q, alpha)
            )
        ),
        "the zeros stand first; the order is query, key, value": (
            lambda A_q, B_q, A_v, B_v, alpha: _fused(
                torch.zeros(len(B_q), len(B_q)), _delta(A_q, B_q, alpha), _delta(A_v, B_v, alpha)
            )
        ),
        "the key's columns hold the value's block; the key stays as it is, so they hold zeros": (
            lambda A_q, B_q, A_v, B_v, alpha: _fused(
                _delta(A_q, B_q, alpha), _delta(A_v, B_v, alpha), _delta(A_v, B_v, alpha)
            )
        ),
        "the value's block is not transposed": lambda A_q, B_q, A_v, B_v, alpha: _fused(
            _delta(A_q, B_q, alpha), torch.zeros(len(B_q), len(B_q)), _delta(A_v, B_v, alpha).T
        ),
        "the blocks stand below each other; put them side by side with dim=1": (
            lambda A_q, B_q, A_v, B_v, alpha: torch.cat(
                [
                    _delta(A_q, B_q, alpha).T,
                    torch.zeros(len(B_q), len(B_q)),
                    _delta(A_v, B_v, alpha).T,
                ]
            )
        ),
        "the key block is missing: its columns are there and zero, so the shape is (D, 3 D)": (
            lambda A_q, B_q, A_v, B_v, alpha: torch.cat(
                [_delta(A_q, B_q, alpha).T, _delta(A_v, B_v, alpha).T], dim=1
            )
        ),
    },
    praise="q and v each get a block of their own, the key's columns get exactly nothing, "
    "and the joint rank is up to 2 r.",
    neutral={"alpha": 2.0},  # r is 2
)
