"""What a method may add to a model: a module around a frozen one, or one led to by hooks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel


class Addition(nn.Module):
    """A module in the place of a frozen one: holds it as `base`, adds parameters beside it."""

    base: nn.Module

    def added_parameters(self) -> dict[str, nn.Parameter]:
        """What this module adds and trains: everything in it but the frozen base."""
        return {name: p for name, p in self.named_parameters() if not name.startswith("base.")}

    def bake(self) -> None:
        """Replace what only training needs by what it computes; here nothing is of that kind."""

    def baked_shapes(self) -> dict[str, torch.Size]:
        """Names and shapes of what is left of the added parameters after `bake`."""
        return {name: p.shape for name, p in self.added_parameters().items()}

    def check_generation(self, model: PreTrainedModel, ids: Tensor | None, settings: dict) -> None:
        """Refuse what `generate` cannot do with this module; here that is nothing.

        Args:
            model: which generates.
            ids: of the input; None where it is given as embeddings.
            settings: what `generate` was given.
        """

    def merged_weight(self) -> Tensor:
        """The weight of `base` with the addition folded in, in the layout of `base`.

        Raises:
            TypeError: this kind of addition cannot be folded into a weight.
        """
        raise TypeError(
            f"{type(self).__name__} cannot be merged into a weight; use the model unmerged"
        )


class Insertion(nn.Module):
    """A module set into the model as a new one, which hooks lead the model's values through."""

    virtual_tokens = 0  # tokens that it puts beside those of the input

    def added_parameters(self) -> dict[str, nn.Parameter]:
        """What this module adds and trains: everything in it."""
        return dict(self.named_parameters())

    def check_generation(self, model: PreTrainedModel, ids: Tensor | None, settings: dict) -> None:
        """Refuse what `generate` cannot do with this module; here that is nothing.

        Args:
            model: which generates.
            ids: of the input; None where it is given as embeddings.
            settings: what `generate` was given.
        """

    def connect(self, model: PreTrainedModel) -> list[RemovableHandle]:
        """Register the hooks on the modules of `model`; removing the handles undoes it."""
        raise NotImplementedError
