"""The prompt encoder of P-Tuning (Liu et al., 2021, arXiv 2103.10385v1), and the slots it fills.

    h_i = MLP([LSTM(h_0:i) : LSTM(h_i:m)])          (equation 6)

Axes: B batch, T tokens, D width, P slots.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from peftlab.attach import Addition

#: Settings of `generate` that look up each id of what they read among the words, where a slot has
#: none, and the value that turns each off: first those that read the text that goes on, then those
#: that read the input of an encoder.
LOOK_UP = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "assistant_model": None}
LOOK_UP_ENCODED = {
    "encoder_repetition_penalty": 1.0,
    "encoder_no_repeat_ngram_size": 0,
    "assistant_model": None,
}


class PromptEncoder(nn.Module):
    """Makes the vectors of all slots from free ones (Liu et al., 2021, section 3.2).

    Args:
        slots: P.
        width: D.
        kind: "lstm", two bidirectional layers of D/2 a direction, then Linear, ReLU, Linear;
            "wide_lstm", the same with D a direction; "mlp", the last three alone; "none", the free
            vectors as they are. Draws come from torch's global generator.

    Shape:
        () -> (P, D)
    """

    def __init__(self, slots: int, width: int, kind: str = "lstm"):
        super().__init__()
        self.free = nn.Embedding(slots, width)
        hidden = {"lstm": width // 2, "wide_lstm": width}.get(kind)
        self.lstm = hidden and nn.LSTM(
            width, hidden, num_layers=2, bidirectional=True, batch_first=True
        )
        wide = 2 * hidden if hidden else width
        self.mlp = None
        if kind != "none":
            self.mlp = nn.Sequential(nn.Linear(wide, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self) -> Tensor:
        """The vectors of all slots."""
        h = self.free.weight  # (P, D)
        if self.lstm:
            h = self.lstm(h[None])[0][0]  # (P, 2 H)
        return self.mlp(h) if self.mlp else h  # (P, D)


class SlotEmbedding(Addition):
    """An embedding table in which the ids -1, -2, ..., -P are the slots of a template.

    Args:
        base: the frozen table.
        encoder: gives the vectors of the slots.

    Attributes:
        encoder: None once it is baked.
        table: the vectors it gave then, (P, D); None before.

    Shape:
        (B, T) ids -> (B, T, D)
    """

    def __init__(self, base: nn.Module, encoder: PromptEncoder):
        super().__init__()
        self.base = base
        self.encoder: PromptEncoder | None = encoder
        self.table: nn.Parameter | None = None

    def vectors(self) -> Tensor:
        """The vectors of all slots, (P, D)."""
        if self.table is not None:
            return self.table
        with torch.autocast("cpu", enabled=False):  # which has no LSTM in half precision
            return self.encoder()

    def forward(self, ids: Tensor) -> Tensor:
        """Words from the table, slots from the encoder.

        Raises:
            ValueError: nothing has a slot while training, or a text has a slot that the template
                lacks.
        """
        slots = ids < 0  # (B, T)
        if not slots.any():
            if self.training and torch.is_grad_enabled():  # generate goes on without slots
                raise ValueError(
                    "a batch has no slot of the template, so that nothing of it would train; "
                    "give train the texts of method.prepare(task)"
                )
            return self.base(ids)
        vectors, words = self.vectors(), self.base(ids.clamp(min=0))  # (P, D), (B, T, D)
        if (number := -int(ids.min())) > len(vectors):
            raise ValueError(f"a text has the slot {number}, the template {len(vectors)}")
        filled = vectors[(-ids - 1).clamp(min=0)].to(words.dtype)  # (B, T, D)
        return torch.where(slots[..., None], filled, words)  # (B, T, D)

    def check_generation(self, model: PreTrainedModel, ids: Tensor | None, settings: dict) -> None:
        """Refuse settings of `generate` that would look for a slot among the words.

        Args:
            model: which generates.
            ids: of the input; None where it is given as embeddings.
            settings: what `generate` was given.

        Raises:
            ValueError: the input has slots, and a setting looks up its ids.
        """
        if ids is None or not (ids < 0).any():
            return
        look_up = LOOK_UP_ENCODED if model.config.is_encoder_decoder else LOOK_UP
        for name, off in look_up.items():
            if settings.get(name) not in (None, off):
                raise ValueError(
                    f"{name} looks up each token of the input among the words, and the slots of "
                    f"P-Tuning's template are none; generate without {name}"
                )

    @torch.no_grad()  # with gradients torch rounds an LSTM differently
    def bake(self) -> None:
        """Keep what the encoder gives, and drop the encoder."""
        if self.table is None:
            self.table = nn.Parameter(self.vectors().clone())
            self.encoder = None

    def baked_shapes(self) -> dict[str, torch.Size]:
        """The vectors of the slots."""
        return {"table": (self.table if self.encoder is None else self.encoder.free.weight).shape}

    @property
    def weight(self) -> Tensor:
        """The frozen table's weight; transformers looks at it."""
        return self.base.weight
