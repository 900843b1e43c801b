"""The exercises of lab 02: what an adapter computes, and where in a layer it stands."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from peftlab.lessons.exercise import Exercise


def _forward_inputs(draw: torch.Generator) -> dict[str, Any]:
    shapes = {
        "h": (2, 3, 6),
        "W_down": (6, 6),  # square, so that a swap is not a shape error
        "b_down": (6,),
        "W_up": (6, 6),
        "b_up": (6,),
    }
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


ADAPTER_FORWARD = Exercise(
    solution=lambda h, W_down, b_down, W_up, b_up: (
        h + F.gelu(h @ W_down.T + b_down) @ W_up.T + b_up
    ),
    inputs=_forward_inputs,
    mistakes={
        "h itself is missing: without it the adapter starts near zero and cuts the layer off; "
        "the residual inside makes it start near the identity": (
            lambda h, W_down, b_down, W_up, b_up: F.gelu(h @ W_down.T + b_down) @ W_up.T + b_up
        ),
        "the nonlinearity is missing: two linear maps in a row are one, of low rank": (
            lambda h, W_down, b_down, W_up, b_up: h + (h @ W_down.T + b_down) @ W_up.T + b_up
        ),
        "the nonlinearity stands behind the up-projection; it belongs in the bottleneck": (
            lambda h, W_down, b_down, W_up, b_up: (
                h + F.gelu((h @ W_down.T + b_down) @ W_up.T + b_up)
            )
        ),
        "both biases are missing": lambda h, W_down, b_down, W_up, b_up: (
            h + F.gelu(h @ W_down.T) @ W_up.T
        ),
        "the bias of the up-projection is missing": lambda h, W_down, b_down, W_up, b_up: (
            h + F.gelu(h @ W_down.T + b_down) @ W_up.T
        ),
        "the two maps act in the wrong order: W_down first, then W_up": (
            lambda h, W_down, b_down, W_up, b_up: h + F.gelu(h @ W_up.T + b_up) @ W_down.T + b_down
        ),
        "the weights are transposed: a map computes W h for each row h, which is h @ W.T": (
            lambda h, W_down, b_down, W_up, b_up: h + F.gelu(h @ W_down + b_down) @ W_up + b_up
        ),
        "you use ReLU; this exercise, like the authors' code, uses GELU": (
            lambda h, W_down, b_down, W_up, b_up: h + F.relu(h @ W_down.T + b_down) @ W_up.T + b_up
        ),
    },
    praise="h + W_up f(W_down h + b_down) + b_up: with both weights near zero it passes h through.",
)


def _layer_inputs(draw: torch.Generator) -> dict[str, Any]:
    shapes = {"x": (2, 3, 6)} | {
        name: (6, 6) for name in ("W_attention", "W_mlp", "A_attention", "A_mlp")
    }
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


def _norm(h: Tensor) -> Tensor:
    return F.layer_norm(h, h.shape[-1:])


def _adapter(h: Tensor, A: Tensor) -> Tensor:
    return h + F.gelu(h @ A.T)


ADAPTER_LAYER = Exercise(
    solution=lambda x, W_attention, W_mlp, A_attention, A_mlp: _layer(
        x, W_attention, W_mlp, A_attention, A_mlp
    ),
    inputs=_layer_inputs,
    mistakes={
        "the adapters stand after the residual; they belong before it, so that they change what "
        "the sub-layer adds and not the stream itself": (
            lambda x, W_attention, W_mlp, A_attention, A_mlp: _each(
                x, W_attention, W_mlp, A_attention, A_mlp,
                lambda h, W, A: _norm(_adapter(h + h @ W.T, A)),
            )
        ),
        "the adapters stand after the norm; they belong before the residual": (
            lambda x, W_attention, W_mlp, A_attention, A_mlp: _each(
                x, W_attention, W_mlp, A_attention, A_mlp,
                lambda h, W, A: _adapter(_norm(h + h @ W.T), A),
            )
        ),
        "both sub-layers share one adapter; each has its own": (
            lambda x, W_attention, W_mlp, A_attention, A_mlp: _layer(
                x, W_attention, W_mlp, A_attention, A_attention
            )
        ),
        "the adapters are exchanged: A_attention stands behind W_attention, A_mlp behind W_mlp": (
            lambda x, W_attention, W_mlp, A_attention, A_mlp: _layer(
                x, W_attention, W_mlp, A_mlp, A_attention
            )
        ),
        "there is one adapter, behind the MLP; a layer has two": (
            lambda x, W_attention, W_mlp, A_attention, A_mlp: _layer(
                x, W_attention, W_mlp, torch.zeros_like(A_mlp), A_mlp
            )
        ),
        "there is one adapter, behind the attention; a layer has two": (
            lambda x, W_attention, W_mlp, A_attention, A_mlp: _layer(
                x, W_attention, W_mlp, A_attention, torch.zeros_like(A_mlp)
            )
        ),
        "the adapters read the sub-layer's input; they stand behind its output": (
            lambda x, W_attention, W_mlp, A_attention, A_mlp: _each(
                x, W_attention, W_mlp, A_attention, A_mlp,
                lambda h, W, A: _norm(h + _adapter(h, A) @ W.T),
            )
        ),
        "the residual around the sub-layers is missing": (
            lambda x, W_attention, W_mlp, A_attention, A_mlp: _each(
                x, W_attention, W_mlp, A_attention, A_mlp,
                lambda h, W, A: _norm(_adapter(h @ W.T, A)),
            )
        ),
    },
    praise="sub-layer, adapter, residual, norm, and that twice: an adapter that does nothing "
    "leaves the layer exactly as it was.",
)  # fmt: skip


def _each(x: Tensor, W_attention, W_mlp, A_attention, A_mlp, half) -> Tensor:
    """The attention half of a layer, then its MLP half."""
    return half(half(x, W_attention, A_attention), W_mlp, A_mlp)


def _layer(x: Tensor, W_attention, W_mlp, A_attention, A_mlp) -> Tensor:
    """A layer with its two adapters: sub-layer, adapter, residual and norm, and that twice."""
    return _each(
        x, W_attention, W_mlp, A_attention, A_mlp,
        lambda h, W, A: _norm(h + _adapter(h @ W.T, A)),
    )  # fmt: skip
