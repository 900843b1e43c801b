"""The exercises of lab 07: what trains, and why the key's bias cannot learn."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from peftlab.lessons.exercise import Exercise


def _count_inputs(draw: torch.Generator) -> dict[str, Any]:
    ranges = {"width": (64, 512), "mlp_width": (600, 1000), "layers": (5, 13), "labels": (3, 9)}
    return {name: int(torch.randint(*ends, (), generator=draw)) for name, ends in ranges.items()}


def _biases(width: int, mlp_width: int) -> int:
    """The biases of one layer.

    Seven have the layer's width: query, key, value, attention output, MLP out and two LayerNorms.
    One has the MLP's width: MLP in.
    """
    return 7 * width + mlp_width


BITFIT_COUNT = Exercise(
    solution=lambda width, mlp_width, layers, labels: (
        layers * _biases(width, mlp_width) + labels * width + labels
    ),
    inputs=_count_inputs,
    mistakes={
        "the head is forgotten: it is new, and trains with its weight and its bias": (
            lambda width, mlp_width, layers, labels: layers * _biases(width, mlp_width)
        ),
        "of the head only the bias is counted; the head is new, so its weight trains too": (
            lambda width, mlp_width, layers, labels: layers * _biases(width, mlp_width) + labels
        ),
        "the gains of the two LayerNorms are counted as biases; they are weights and stay frozen": (
            lambda width, mlp_width, layers, labels: (
                layers * (_biases(width, mlp_width) + 2 * width) + labels * width + labels
            )
        ),
        "the biases of the two LayerNorms are missing": (
            lambda width, mlp_width, layers, labels: (
                layers * (_biases(width, mlp_width) - 2 * width) + labels * width + labels
            )
        ),
        "one bias of the width is missing in each layer: go through all eight kinds; the key's is "
        "counted too, though it has no effect": (
            lambda width, mlp_width, layers, labels: (
                layers * (_biases(width, mlp_width) - width) + labels * width + labels
            )
        ),
        "the bias on the MLP's way in has mlp_width entries, as many as its outputs": (
            lambda width, mlp_width, layers, labels: layers * 8 * width + labels * width + labels
        ),
        "that is a single layer: every one of the layers has biases of its own": (
            lambda width, mlp_width, layers, labels: (
                _biases(width, mlp_width) + labels * width + labels
            )
        ),
    },
    praise="seven biases of the width and one of the MLP's width in each layer, and the head.",
)


def _shift_inputs(draw: torch.Generator) -> dict[str, Any]:
    shapes = {"q": (3, 4), "k": (5, 4), "v": (5, 4), "b": (4,)}
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.T / q.shape[-1] ** 0.5, -1) @ v


KEY_SHIFT = Exercise(
    solution=lambda q, k, v, b: _attention(q, torch.cat([k[:1], k[1:] + b]), v),
    inputs=_shift_inputs,
    mistakes={
        "the bias is on every key or on none, which is the same by the proof above; it belongs on "
        "all keys but the first": (lambda q, k, v, b: _attention(q, k + b, v)),
        "the bias is on the queries; it belongs to the keys": (
            lambda q, k, v, b: _attention(q + b, k, v)
        ),
        "the bias is on the values; it belongs to the keys": (
            lambda q, k, v, b: _attention(q, k, torch.cat([v[:1], v[1:] + b]))
        ),
        "the bias is on the first key alone: the prefix is the one row that has none": (
            lambda q, k, v, b: _attention(q, torch.cat([k[:1] + b, k[1:]]), v)
        ),
        "the scores are not divided by the square root of the width": (
            lambda q, k, v, b: torch.softmax(q @ torch.cat([k[:1], k[1:] + b]).T, -1) @ v
        ),
        "the softmax runs over the queries; it runs over the keys, the last dimension": (
            lambda q, k, v, b: (
                torch.softmax(q @ torch.cat([k[:1], k[1:] + b]).T / q.shape[-1] ** 0.5, 0) @ v
            )
        ),
    },
    praise="a key that the bias does not reach breaks the symmetry, and the key's bias can learn.",
)
