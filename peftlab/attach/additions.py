"""What a method may add to a model: a module around a frozen one, or a new one with hooks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel


class Addition(nn.Module):
    """A module in the place of a frozen one: it holds that one as `base` and adds parameters."""

    base: nn.Module

    def added_parameters(self) -> dict[str, nn.Parameter]:
        """Everything in this module that trains: all but the frozen base."""
        return {name: p for name, p in self.named_parameters() if not name.startswith("base.")}

    def bake(self) -> None:
        """Replace what only training needs by its result; here there is nothing of that kind."""

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
        """Fold the addition into the weight of `base`.

        Returns:
            The weight, in the layout of `base`.

        Raises:
            TypeError: this kind of addition cannot be folded into a weight.
        """
        raise TypeError(
            f"{type(self).__name__} cannot be merged into a weight; use the model unmerged"
        )


class Insertion(nn.Module):
    """A module that is new in the model. Hooks lead the model's values through it."""

    virtual_tokens = 0  # tokens that it puts beside those of the input

    def added_parameters(self) -> dict[str, nn.Parameter]:
        """Everything in this module trains."""
        return dict(self.named_parameters())

    def bake(self) -> None:
        """Replace what only training needs by its result; here there is nothing of that kind."""

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

    def connect(self, model: PreTrainedModel) -> list[RemovableHandle]:
        """Register the hooks on the modules of a model; a subclass says which.

        Args:
            model: that the module was added to.

        Returns:
            The handles of the hooks; removing them undoes it.

        Raises:
            NotImplementedError: always, in this base class.
        """
        raise NotImplementedError
