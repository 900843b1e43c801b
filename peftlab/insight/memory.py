"""What a training step keeps in memory besides weights, gradients and optimizer state."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import PreTrainedModel


def activation_bytes(model: PreTrainedModel, batch: Mapping[str, Tensor]) -> int:
    """Bytes of intermediate results that autograd keeps between forward and backward pass.

    Each piece of memory counts once, whatever looks at it. Parameters, buffers and the batch
    itself, which are in memory anyway, do not count.

    Args:
        model: as it trains; its mode, training or eval, is left as it is.
        batch: its inputs, with labels.

    Returns:
        The bytes; 0 where nothing trains.
    """
    there = [*model.parameters(), *model.buffers(), *batch.values()]
    known = {tensor.untyped_storage().data_ptr() for tensor in there}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor  # held by the graph, so that no address is given out twice

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(**batch).loss
    del loss
    return sum(kept.values())
