"""The prompt of prompt tuning (Lester et al., 2021, arXiv 2104.08691v2): rows before the input.

    [P; X] in R^{(P+T) x D}        (section 2; P is the only matrix that trains)

How rows get in front of an input, and out of the output again, is told in `LeadingRows`.

Axes: B batch, T tokens, D width, P prompt length.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
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


TWIN = 0.99  # cosine from which on two rows of a table are one


@torch.no_grad()
def known_tokens(weight: Tensor, common: int) -> Tensor:
    """Guess which ids pretraining has met, among the first ones of a vocabulary.

    The rows of tokens that no text had get the same gradients all along, and end as nearly one
    vector: such rows have a twin. So two words of one meaning may pass for unknown, too.

    Args:
        weight: the table of embeddings, (V, D).
        common: how many of the first ids to look at.

    Returns:
        The ids whose rows are not zero and have no twin, in their order; all of them where none is
        left.
    """
    if weight.is_meta:
        return torch.arange(min(common, len(weight)))
    rows = F.normalize(weight[:common].detach().float().cpu(), dim=-1)
    alike = (rows @ rows.T).fill_diagonal_(-1).amax(1) > TWIN
    alike |= rows.norm(dim=-1) == 0
    return (~alike).nonzero()[:, 0] if not alike.all() else torch.arange(len(rows))


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
        common: how many of the first ids to sample from, see `known_tokens`.

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
    known, fresh = known_tokens(weight, common), P - len(rows)
    if fresh <= len(known):
        sampled = known[torch.randperm(len(known), device=draws)[:fresh]]
    else:
        sampled = known[torch.randint(len(known), (fresh,), device=draws)]
    return torch.cat(
        [torch.stack(rows), table(sampled.to(weight.device))]
        if rows
        else [table(sampled.to(weight.device))]
    )  # (P, D)
