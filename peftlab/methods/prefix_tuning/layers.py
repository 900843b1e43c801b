"""The prefix of prefix-tuning (Li and Liang, 2021, arXiv 2101.00190): rows of keys and values.

    P_theta[i, :] = MLP(P'_theta[i, :])          (section 4.3)

P_theta has for each of the P rows the keys and values of all L layers of a stack. How a layer's
attention gets its part of them is told in `peftlab/attach/attention.py`.

Axes: P prefix length, D width of P', k width of the MLP, N numbers of a row: keys and values of all
layers, one layer after the other. For GPT-2 that is N = 2 L D.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from peftlab.attach import Insertion
from peftlab.attach.attention import AttentionRows


class Prefix(Insertion):
    """The rows of one stack of layers, given as they are or made by an MLP.

    Args:
        widths: of keys and values by the path of each attention module, from the lowest layer up.
        length: P.
        width: D, of P'.
        hidden: k, of the MLP; 0 leaves the MLP out, and the rows themselves train.
        dropout: probability of leaving out a number of the rows while training.
        shift: whether the positions of the tokens start at P.
        mark: id of the token from which on the rows are seen; None lets every token see them.

    Attributes:
        rows: (P, N); None while an MLP makes them.

    Shape:
        layer -> keys (P, key width), values (P, value width)
    """

    def __init__(
        self,
        widths: dict[str, tuple[int, int]],
        length: int,
        width: int,
        hidden: int = 512,
        dropout: float = 0.0,
        shift: bool = True,
        mark: int | None = None,
    ):
        super().__init__()
        self.widths, self.length, self.dropout = widths, length, dropout
        self.shift, self.mark = shift, mark
        total = sum(map(sum, widths.values()))  # N
        self.rows: nn.Parameter | None = None
        if hidden:
            self.embedding = nn.Embedding(length, width)  # P'
            self.down, self.up = nn.Linear(width, hidden), nn.Linear(hidden, total)
        else:
            self.rows = nn.Parameter(torch.randn(length, total))

    @property
    def virtual_tokens(self) -> int:
        """Positions that the rows take from the tokens."""
        return self.length if self.shift else 0

    def forward(self, path: str) -> tuple[Tensor, Tensor]:
        """Keys and values for one attention module, (P, key width) and (P, value width)."""
        start = 0
        for other, (keys, values) in self.widths.items():
            if other == path:
                break
            start += keys + values
        own = slice(start, start + keys + values)
        if self.rows is not None:
            found = self.rows[:, own]  # (P, keys + values)
        else:  # the rows of `up` that make this layer's part
            hidden = torch.tanh(self.down(self.embedding.weight))  # (P, k)
            found = F.linear(hidden, self.up.weight[own], self.up.bias[own])
        found = F.dropout(found, self.dropout, self.training)
        return found[:, :keys], found[:, keys:]

    def all_rows(self) -> Tensor:
        """P_theta, the rows of all layers without dropout, (P, N)."""
        if self.rows is not None:
            return self.rows
        return self.up(torch.tanh(self.down(self.embedding.weight)))

    def connect(self, model: PreTrainedModel) -> list[RemovableHandle]:
        """Put the rows into the attention of their layers.

        Args:
            model: that the module was added to.

        Returns:
            What takes them out again.

        Raises:
            ValueError: the model's attention is not one that rows can be put into.
        """
        rows = {path: partial(self, path) for path in self.widths}
        return [AttentionRows(model, rows, self.length, self.shift, self.mark)]

    def bake(self) -> None:
        """Keep the rows and drop the MLP; the logits stay as they are."""
        if self.rows is None:
            self.rows = nn.Parameter(self.all_rows().detach().clone())
            del self.embedding, self.down, self.up

    def baked_shapes(self) -> dict[str, torch.Size]:
        """Only the rows are left."""
        total = sum(map(sum, self.widths.values()))
        return {"rows": torch.Size((self.length, total))}

    def start_at(self, wanted: Tensor, steps: int = 500, learning_rate: float = 1e-4) -> float:
        """Start at given rows: take them, or fit the MLP to them as the authors' code does.

        Args:
            wanted: (P, N), such as the keys and values of real words.
            steps: of Adam, on the mean squared error.
            learning_rate: of these steps.

        Returns:
            The mean squared error that is left.
        """
        if self.rows is not None:
            with torch.no_grad():
                self.rows.copy_(wanted)
            return 0.0
        with torch.enable_grad():
            optimizer = torch.optim.Adam(self.parameters(), lr=learning_rate)
            for _ in range(steps):
                optimizer.zero_grad()
                F.mse_loss(self.all_rows(), wanted).backward()
                optimizer.step()
            optimizer.zero_grad()
        return F.mse_loss(self.all_rows(), wanted).item()
