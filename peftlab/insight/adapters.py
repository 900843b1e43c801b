"""What a trained method can do without some of its parts, and what adapters change at the start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from peftlab import anatomy
from peftlab.methods.adapter.layers import Bottleneck
from peftlab.methods.adapter.method import Adapter

T = TypeVar("T")


def adapters_by_layer(model: PreTrainedModel) -> list[list[Bottleneck]]:
    """The adapters of each layer.

    Args:
        model: with adapters attached.

    Returns:
        One list for each layer, the lowest layer first. In an encoder-decoder model the layers of
        the encoder come first.

    Raises:
        ValueError: the model has none.
    """
    prefix = anatomy.base_prefix(model)
    stacks = anatomy.blocks(model.config, anatomy.head_of(model))
    found = [
        [m for m in model.get_submodule(prefix + block.path).modules() if isinstance(m, Bottleneck)]
        for stack in stacks
        for block in stack
    ]
    if not any(found):
        raise ValueError("this model has no adapters; attach Adapter() and train it first")
    return found


@contextmanager
def without_adapters(model: PreTrainedModel, layers: Iterable[int]) -> Iterator[PreTrainedModel]:
    """Take the adapters of some layers away, for the length of a `with` block.

    Their up-projections are set to zero, so that they pass on what they get. Norms that trained
    keep their trained values, as in Houlsby et al. (2019, section 3.6, arXiv 1902.00751v2).

    Args:
        model: with adapters attached.
        layers: indices of layers; 0 is the lowest.

    Yields:
        The same model.

    Raises:
        ValueError: the model has no adapters.
    """
    by_layer = adapters_by_layer(model)
    ups = [adapter.up for layer in layers for adapter in by_layer[layer]]
    kept = [(up.weight.detach().clone(), up.bias.detach().clone()) for up in ups]
    try:
        for up in ups:
            nn.init.zeros_(up.weight)
            nn.init.zeros_(up.bias)
        yield model
    finally:
        with torch.no_grad():
            for up, (weight, bias) in zip(ups, kept, strict=True):
                up.weight.copy_(weight)
                up.bias.copy_(bias)


def span_ablation(model: PreTrainedModel, measure: Callable[[], T]) -> list[list[T | None]]:
    """Measure the model without the adapters of layers i to j, for every i and j.

    Args:
        model: with adapters attached.
        measure: called without arguments; it looks at the model as it is at that moment.

    Returns:
        What it gives, in a table with a row for each i and a column for each j, from 0; None where
        j is below i.

    Raises:
        ValueError: the model has no adapters.
    """
    depth = len(adapters_by_layer(model))
    found: list[list[T | None]] = [[None] * depth for _ in range(depth)]
    for first in range(depth):
        for last in range(first, depth):
            with without_adapters(model, range(first, last + 1)):
                found[first][last] = measure()
    return found


@torch.no_grad()
def initial_change(
    model: PreTrainedModel,
    batch: Mapping[str, Tensor],
    bottlenecks: Sequence[int],
    stds: Sequence[float],
    seed: int = 0,
) -> dict[tuple[int, float], float]:
    """How far attaching untrained adapters moves the logits.

    Args:
        model: a plain backbone; it is left as it was.
        batch: inputs of the model.
        bottlenecks: sizes m to try.
        stds: standard deviations of the initial weights to try.
        seed: of the initial weights.

    Returns:
        For each pair (size, deviation) the root mean square of the change, divided by the standard
        deviation of the plain logits.
    """
    plain = model(**batch).logits
    spread = (plain - plain.mean()).pow(2).mean().sqrt()
    found = {}
    for size in bottlenecks:
        for std in stds:
            torch.manual_seed(seed)
            attachment = Adapter(bottleneck=size, init_std=std).attach(model)
            moved = model(**batch).logits - plain
            attachment.detach()
            found[size, std] = (moved.pow(2).mean().sqrt() / spread).item()
    return found
