"""How long a forward pass takes, as ratios within one run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from peftlab.attach import Attachment


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


def latency(attachment: Attachment, ratio: Callable[[], float]) -> dict[str, float]:
    """Time what is left of a method after training, and once more where it can be merged.

    Args:
        attachment: it is baked, and merged if it can be.
        ratio: times the model as it stands, against whatever.

    Returns:
        What `ratio` gives "unmerged", and "merged" where the method fits into the weights.
    """
    attachment.bake()
    found = {"unmerged": ratio()}
    try:
        attachment.merge()
    except TypeError:  # what adds tokens or layers fits into no weight
        return found
    return found | {"merged": ratio()}


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
