"""The prompt of prompt tuning (Lester et al., 2021, arXiv 2104.08691v2): rows before the input.

    [P; X] in R^{(P+T) x D}        (section 2; P is the only matrix that trains)

How rows get in front of an input, and out of the output again, is told in `LeadingRows`.

Axes: B batch, T tokens, D width, P prompt length.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from peftlab.attach.entry import LeadingRows
from peftlab.attach.inputs import PerThread


class SoftPrompt(LeadingRows):
    """P rows that stand before every input of a model (Lester et al., 2021, section 2).

    Args:
        rows: the initial rows, (P, D), in the space of the embedded tokens.

    Attributes:
        prompt: the rows, which train.
    """

    def __init__(self, rows: Tensor):
        super().__init__()
        self.prompt = nn.Parameter(rows)
        self._each = PerThread()

    @property
    def each(self) -> Tensor | None:
        """A prompt for each example, (B, P, D), in place of `prompt`; None where all get `prompt`.

        What a thread sets counts for its own calls alone.
        """
        return self._each.get()

    @each.setter
    def each(self, prompts: Tensor | None) -> None:
        self._each.set(prompts)

    @property
    def virtual_tokens(self) -> int:
        """P, of the prompts that are in use."""
        return (self.prompt if self.each is None else self.each).shape[-2]

    def rows(self, batch: int) -> Tensor:
        """Give the prompt of each example.

        Args:
            batch: B, the number of examples.

        Returns:
            (B, P, D).

        Raises:
            ValueError: `each` has prompts for a batch of another size.
        """
        if self.each is None:
            return self.prompt.expand(batch, -1, -1)
        if batch % len(self.each):  # beam search repeats each example
            raise ValueError(
                f"{len(self.each)} prompts are set for a batch of {batch} examples; "
                "give one prompt for each"
            )
        return self.each.repeat_interleave(batch // len(self.each), dim=0)


@torch.no_grad()
def initial_rows(
    table: nn.Module, P: int, init: str, tokens: tuple[tuple[int, ...], ...], common: int
) -> Tensor:
    """Make the rows that a prompt starts with; draws come from torch's global generator.

    Args:
        table: embeds ids, (N,) -> (N, D).
        P: rows.
        init: "vocabulary", "labels", "text" or "uniform", see `PromptTuning`.
        tokens: ids for "labels" and "text".
        common: how many of the first ids to sample from.

    Returns:
        (P, D), in the dtype and on the device of the table.
    """
    weight = table.weight
    draws = "cpu"  # also under `with torch.device(...)`, and the same on every device
    if init == "uniform":
        values = torch.rand(P, weight.shape[1], dtype=torch.float32, device=draws) - 0.5
        return values.to(weight.device, weight.dtype)
    if init == "text":
        ids = [i for entry in tokens for i in entry]
        return table(torch.tensor([ids[i % len(ids)] for i in range(P)], device=weight.device))
    rows = [table(torch.tensor(entry, device=weight.device)).mean(0) for entry in tokens]
    common = min(common, weight.shape[0])
    fresh = P - len(rows)
    if fresh <= common:
        sampled = torch.randperm(common, device=draws)[:fresh]
    else:
        sampled = torch.randint(common, (fresh,), device=draws)
    return torch.cat(
        [torch.stack(rows), table(sampled.to(weight.device))]
        if rows
        else [table(sampled.to(weight.device))]
    )  # (P, D)
