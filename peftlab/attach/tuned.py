"""Existing parameters that train: a fresh head, biases, or everything in full fine-tuning."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


class Tuned:
    """The parameters of a model that train in place, with the values that they had before.

    Args:
        model: which they belong to.
        method: name of the method, for messages.

    Attributes:
        parameters: by their names in the model.
        rates: learning rates of their own, where they have one.
    """

    def __init__(self, model: PreTrainedModel, method: str):
        self._model, self._method = model, method
        self.parameters: dict[str, nn.Parameter] = {}
        self.rates: dict[str, float] = {}
        self._before: dict[str, Tensor] = {}

    def add(self, name: str, learning_rate: float | None = None) -> None:
        """Train an existing parameter; its value is kept aside, to be put back.

        Args:
            name: of a parameter of the model.
            learning_rate: its own highest one; None trains it at that of all the others.

        Raises:
            ValueError: it is stored in whole numbers, which no gradient can move.
        """
        parameter = self._model.get_parameter(name)
        if not parameter.is_floating_point():
            raise ValueError(
                f"{self._method} trains {name!r}, which is stored as {parameter.dtype} and "
                "cannot train; load the model without quantization, or choose a method that "
                "leaves it frozen"
            )
        if learning_rate is not None:
            self.rates[name] = learning_rate
        self._before[name] = parameter.detach().clone()
        self.parameters[name] = parameter.requires_grad_(True)

    def values(self) -> dict[str, Tensor]:
        """Copies of the values that they have now, by name."""
        return {name: p.detach().clone() for name, p in self.parameters.items()}

    def write(self, values: dict[str, Tensor]) -> None:
        """Give them other values.

        Args:
            values: by name, as `values` gives them.
        """
        with torch.no_grad():
            for name, value in values.items():
                self.parameters[name].copy_(value)

    def put_back(self) -> None:
        """Give them the values that they had before."""
        self.write(self._before)

    def warn_of_coarse_numbers(self) -> None:
        """Say that values of half precision hardly move where they train in place."""
        dtypes = {p.dtype: torch.finfo(p.dtype).eps for p in self.parameters.values()}
        coarse = max(dtypes, key=dtypes.__getitem__, default=torch.float32)
        if dtypes.get(coarse, 0) > torch.finfo(torch.float32).eps:
            warnings.warn(
                f"{self._method} trains {len(self.parameters)} tensors of this model in place, in "
                f"{coarse}: a step smaller than {dtypes[coarse]:.1g} of a value is lost, so that "
                "the gains of norms, which stand near 1, may never move; call model.float() "
                "before attaching",
                stacklevel=5,
            )
