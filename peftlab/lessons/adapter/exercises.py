"""The exercises of lab 02: what an adapter computes, where it stands, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from peftlab.lessons.exercise import Exercise, whole_numbers


def _forward_inputs(draw: torch.Generator) -> dict[str, Any]:
    m = 3 if draw.initial_seed() else 2  # another size on the second try
    shapes = {"h": (2, 3, 6), "W_down": (m, 6), "b_down": (m,), "W_up": (6, m), "b_up": (6,)}
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


def _bottleneck(
    h: Tensor,
    W_down: Tensor,
    b_down: Tensor,
    W_up: Tensor,
    b_up: Tensor,
    f: Callable[[Tensor], Tensor] = F.gelu,
) -> Tensor:
    return f(h @ W_down.T + b_down) @ W_up.T + b_up


OTHERS = {
    "ReLU": F.relu,
    "SiLU": F.silu,
    "tanh": torch.tanh,
    "the sigmoid": torch.sigmoid,
    "a leaky ReLU": F.leaky_relu,
}
ADAPTER_FORWARD = Exercise(
    solution=lambda h, W_down, b_down, W_up, b_up: h + _bottleneck(h, W_down, b_down, W_up, b_up),
    inputs=_forward_inputs,
    mistakes={
        "h itself is missing: without it the adapter starts near zero and switches its sub-layer "
        "off; the residual inside makes it start near the identity": _bottleneck,
        "h itself is missing, and the bottleneck is there twice: you have overwritten h": (
            lambda **w: 2 * _bottleneck(**w)
        ),
        "h itself and the nonlinearity are missing": lambda **w: _bottleneck(**w, f=lambda x: x),
        "the nonlinearity is missing: two linear maps in a row are one, of low rank": (
            lambda h, **w: h + _bottleneck(h, **w, f=lambda x: x)
        ),
        "the nonlinearity stands behind the up-projection; it belongs in the bottleneck": (
            lambda h, **w: h + F.gelu(_bottleneck(h, **w, f=lambda x: x))
        ),
        "there is a nonlinearity behind the up-projection as well; it belongs in the bottleneck "
        "alone": lambda h, **w: h + F.gelu(_bottleneck(h, **w)),
        "a second nonlinearity is over everything, h included; the one in the bottleneck is all": (
            lambda h, **w: F.gelu(h + _bottleneck(h, **w))
        ),
        "W_up brings h down and W_down brings it up; each has its own way, and a transpose": (
            lambda h, W_down, b_down, W_up, b_up: h + F.gelu(h @ W_up + b_down) @ W_down + b_up
        ),
        "the nonlinearity is over everything, h included; it belongs in the bottleneck, between "
        "the two maps": lambda h, **w: F.gelu(h + _bottleneck(h, **w, f=lambda x: x)),
        "h goes through the nonlinearity before the bottleneck; it enters W_down as it is": (
            lambda h, **w: h + _bottleneck(F.gelu(h), **w)
        ),
        "h is added twice; the adapter adds it once": lambda h, **w: 2 * h + _bottleneck(h, **w),
        "the bottleneck is subtracted; it is added": lambda h, **w: h - _bottleneck(h, **w),
        "both biases are missing": lambda h, W_down, b_down, W_up, b_up: (
            h + F.gelu(h @ W_down.T) @ W_up.T
        ),
        "the bias of the down-projection is missing": lambda h, W_down, b_down, W_up, b_up: (
            h + F.gelu(h @ W_down.T) @ W_up.T + b_up
        ),
        "the bias of the up-projection is missing": lambda h, W_down, b_down, W_up, b_up: (
            h + F.gelu(h @ W_down.T + b_down) @ W_up.T
        ),
        "b_down is added behind the nonlinearity; it belongs inside, with W_down": (
            lambda h, W_down, b_down, W_up, b_up: (
                h + (F.gelu(h @ W_down.T) + b_down) @ W_up.T + b_up
            )
        ),
        **{
            f"you use {name}; this exercise, like the authors' code, uses GELU": (
                lambda h, f=f, **w: h + _bottleneck(h, **w, f=f)
            )
            for name, f in OTHERS.items()
        },
        "you use the other GELU, the approximation by tanh; call nn.functional.gelu without it": (
            lambda h, **w: h + _bottleneck(h, **w, f=lambda x: F.gelu(x, approximate="tanh"))
        ),
    },
    praise="h + W_up f(W_down h + b_down) + b_up: with both weights near zero it passes h through.",
    hint="W_down is (m, D), W_up (D, m): h @ W_down.T brings h down, @ W_up.T brings it up again.",
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


Half = Callable[[Tensor, Tensor, Tensor], Tensor]  # input, weight and adapter of a half of a layer


def _half(h: Tensor, W: Tensor, A: Tensor) -> Tensor:
    """Sub-layer, adapter, residual, norm."""
    return _norm(h + _adapter(h @ W.T, A))


def _layer(first: Half = _half, second: Half | None = None) -> Callable[..., Tensor]:
    """A layer of two halves, the second like the first where it is not given."""

    def attempt(
        x: Tensor, W_attention: Tensor, W_mlp: Tensor, A_attention: Tensor, A_mlp: Tensor
    ) -> Tensor:
        return (second or first)(first(x, W_attention, A_attention), W_mlp, A_mlp)

    return attempt


def _bare(h: Tensor, W: Tensor, A: Tensor) -> Tensor:
    return _norm(h + h @ W.T)


def _lone(h: Tensor, W: Tensor, A: Tensor) -> Tensor:
    return _norm(_adapter(h @ W.T, A))


def _unnormed(h: Tensor, W: Tensor, A: Tensor) -> Tensor:
    return h + _adapter(h @ W.T, A)


def _second_from_x(mlp_reads_x: bool) -> Callable[..., Tensor]:
    def attempt(
        x: Tensor, W_attention: Tensor, W_mlp: Tensor, A_attention: Tensor, A_mlp: Tensor
    ) -> Tensor:
        h = _half(x, W_attention, A_attention)
        read, kept = (x, h) if mlp_reads_x else (h, x)
        return _norm(kept + _adapter(read @ W_mlp.T, A_mlp))

    return attempt


ADAPTER_LAYER = Exercise(
    solution=_layer(),
    inputs=_layer_inputs,
    mistakes={
        "the adapters stand after the residual; they belong before it, so that they change what "
        "the sub-layer adds and not the stream itself": _layer(
            lambda h, W, A: _norm(_adapter(h + h @ W.T, A))
        ),
        "the adapters stand after the norm; they belong before the residual": _layer(
            lambda h, W, A: _adapter(_norm(h + h @ W.T), A)
        ),
        "the adapters stand beside the sub-layers and read the same input; here they stand behind "
        "them, and read what the sub-layer gives": _layer(
            lambda h, W, A: _norm(h + h @ W.T + F.gelu(h @ A.T))
        ),
        "the adapters read the sub-layer's input; they stand behind its output": _layer(
            lambda h, W, A: _norm(h + _adapter(h, A) @ W.T)
        ),
        "the adapters have lost their own residual: call adapter(h, A), which adds h": _layer(
            lambda h, W, A: _norm(h + F.gelu(h @ W.T @ A.T))
        ),
        "the residual around the sub-layers is missing": _layer(_lone),
        "the residual around the attention is missing": _layer(_lone, _half),
        "the residual around the MLP is missing": _layer(_half, _lone),
        "what the sub-layer gives is added twice: adapter(h, A) adds it already": _layer(
            lambda h, W, A: _norm(h + h @ W.T + _adapter(h @ W.T, A))
        ),
        "the adapters read the input of the sub-layers and stand beside them; they stand behind "
        "them, and read what the sub-layer gives": _layer(
            lambda h, W, A: _norm(h + h @ W.T + _adapter(h, A))
        ),
        "the norms stand before the residual is added; they stand behind it": _layer(
            lambda h, W, A: h + _norm(_adapter(h @ W.T, A))
        ),
        "the norms stand between sub-layer and adapter; they stand behind the residual": _layer(
            lambda h, W, A: h + _adapter(_norm(h @ W.T), A)
        ),
        "there is a norm between sub-layer and adapter; a half has one, behind the residual": (
            _layer(lambda h, W, A: _norm(h + _adapter(_norm(h @ W.T), A)))
        ),
        "there is a norm before the sub-layer, too; a half has one, behind the residual": _layer(
            lambda h, W, A: _norm(_norm(h) + _adapter(_norm(h) @ W.T, A)),
        ),
        "the norm stands before the sub-layer, as in GPT-2; BERT, and this layer, have it behind "
        "the residual": _layer(lambda h, W, A: h + _adapter(_norm(h) @ W.T, A)),
        "both norms are missing: each half ends with one": _layer(_unnormed),
        "the norm of the attention half is missing: each half ends with one": _layer(
            _unnormed, _half
        ),
        "the norm of the MLP half is missing: each half ends with one": _layer(_half, _unnormed),
        "that is the attention half alone; the MLP half follows, and looks the same": _layer(
            _half, lambda h, W, A: h
        ),
        "that is the MLP half alone; the attention half comes first": _layer(
            lambda h, W, A: h, _half
        ),
        "there is one adapter, behind the MLP; a layer has two": _layer(_bare, _half),
        "there is one adapter, behind the attention; a layer has two": _layer(_half, _bare),
        "both adapters are missing": _layer(_bare),
        "the MLP reads x; it reads what the attention half gives": _second_from_x(True),
        "the second residual adds x; it adds what the attention half gives": _second_from_x(False),
        "the weights are transposed: a map computes W h for each row h, which is h @ W.T": _layer(
            lambda h, W, A: _norm(h + _adapter(h @ W, A))
        ),
        "both sub-layers share one adapter; each has its own": (
            lambda x, W_attention, W_mlp, A_attention, A_mlp: _layer()(
                x, W_attention, W_mlp, A_attention, A_attention
            )
        ),
        "the adapters are exchanged: A_attention stands behind W_attention, A_mlp behind W_mlp": (
            lambda x, W_attention, W_mlp, A_attention, A_mlp: _layer()(
                x, W_attention, W_mlp, A_mlp, A_attention
            )
        ),
        "the halves are exchanged: the attention comes first": (
            lambda x, W_attention, W_mlp, A_attention, A_mlp: _layer()(
                x, W_mlp, W_attention, A_mlp, A_attention
            )
        ),
    },
    praise="sub-layer, adapter, residual, norm, and that twice: an adapter that does nothing "
    "leaves the layer exactly as it was.",
)


def _counting(
    *, adapters: int = 2, weights: int = 2, norms: int = 2, embedding: int = 1, parts: int = 2
) -> Callable[..., int]:
    """A count with some other numbers: adapters a layer, weights an adapter, parts a norm."""

    def count(width: int, layers: int, bottleneck: int) -> int:
        one = weights * width * bottleneck + bottleneck + width
        return layers * adapters * one + parts * width * (norms * layers + embedding)

    return count


ADAPTER_COUNT = Exercise(
    solution=_counting(),
    inputs=whole_numbers(width=(64, 512), layers=(5, 12), bottleneck=(3, 40)),
    mistakes={
        "one adapter a layer is counted; there are two": _counting(adapters=1),
        "of each adapter one weight is counted; W_down and W_up have m D numbers each": _counting(
            weights=1
        ),
        "the LayerNorms are missing; they train too, gains and biases": _counting(
            norms=0, embedding=0
        ),
        "the LayerNorm behind the embeddings is missing; it trains as well": _counting(embedding=0),
        "2 L D numbers are missing: b_up of every adapter, or one of the two LayerNorms of every "
        "layer; these are as many": _counting(norms=1),
        "of the LayerNorms only gains or only biases are counted; both train": _counting(parts=1),
        "the biases of the adapters are missing: m of the one, D of the other": (
            lambda width, layers, bottleneck: (
                layers * 4 * width * bottleneck + 2 * width * (2 * layers + 1)
            )
        ),
        "biases and LayerNorms are missing; all of them train": lambda width, layers, bottleneck: (
            layers * 4 * width * bottleneck
        ),
        "there are one adapter and one norm a layer; there are two of each": _counting(
            adapters=1, norms=1
        ),
        "both biases have m numbers; b_up has D": lambda width, layers, bottleneck: (
            _counting()(width, layers, bottleneck) + 2 * layers * (bottleneck - width)
        ),
        "both biases have D numbers; b_down has m": lambda width, layers, bottleneck: (
            _counting()(width, layers, bottleneck) + 2 * layers * (width - bottleneck)
        ),
        "b_down is missing, which has m numbers": lambda width, layers, bottleneck: (
            _counting()(width, layers, bottleneck) - 2 * layers * bottleneck
        ),
        "that is a single layer, with the norm behind the embeddings: every layer has two adapters "
        "and two norms": lambda width, layers, bottleneck: _counting()(width, 1, bottleneck),
    },
    praise="2 L (2 m D + m + D) in the adapters, and 2 D for each of the 2 L + 1 norms.",
)
