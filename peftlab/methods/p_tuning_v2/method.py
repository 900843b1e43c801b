"""P-Tuning v2: Prompt Tuning Can Be Comparable to Fine-tuning Universally Across Scales and Tasks.

Liu, Ji, Fu, Tam, Du, Yang, Tang (2021), arXiv 2110.07602v2; section 3.2: prompts are put as prefix
tokens into every layer, not into the input alone. They are the keys and values of prefix-tuning.

The idea: a prompt before the input has few numbers, and works through all layers before it reaches
the answer. Rows in every layer have more of them, and a short way. The task is answered by a head
on [CLS], or on each token, and not by words. The mechanism is that of
`peftlab/methods/prefix_tuning/`, as it stands there: without its MLP the two methods are one
function.

Differs from the paper: a span of layers may be chosen for every family; no pre-training of prompts
on several tasks. Differs from the authors' code: the rows go through the attention function and not
through a cache; RoBERTa's head is that of transformers, where theirs is one linear map.

| ours                      | paper            | PEFT                                |
|---------------------------|------------------|-------------------------------------|
| `prefix_length`           | prompt length    | `num_virtual_tokens`                |
| `reparametrization_width` | MLP              | `encoder_hidden_size`               |
| `layers`                  | prompt depth     | `num_layers` (only as a number)     |
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from peftlab.methods.base import Paper
from peftlab.methods.hyperparameters import number, own, whole
from peftlab.methods.prefix_tuning.method import PrefixTuning


def _span(layers: Any) -> tuple[int, int] | None:
    """`layers` as a pair, or a refusal."""
    if layers is None:
        return None
    pair = isinstance(layers, (tuple, list)) and len(layers) == 2
    if not pair or any(isinstance(n, bool) or not isinstance(n, int) for n in layers):
        raise TypeError(
            f"layers must be the first and the last layer, got {layers!r}; "
            "write for example layers=(7, 12), counted from 1"
        )
    if min(layers) < 1:
        raise ValueError(
            f"layers must be at least 1, got {layers!r}: they are counted from 1; "
            "write for example layers=(1, 6)"
        )
    if layers[0] > layers[1]:
        raise ValueError(f"layers goes from {layers[0]} to {layers[1]}; put the lower one first")
    return tuple(layers)


@dataclass(frozen=True, kw_only=True)
class PTuningV2(PrefixTuning):
    """Trained rows of keys and values in every layer, or in a span of layers.

    Args:
        prefix_length: P, at least 1; the paper's tasks want 8 to 224, classification short ones and
            tagging longer ones.
        reparametrization_width: k, of the MLP that makes the rows while training; 0 trains the rows
            themselves, which is the default of the authors' code.
        dropout: probability of leaving out a number of the rows while training; 0.1 in the authors'
            code, where it is that of the backbone.
        shift_positions: see `PrefixTuning`.
        init_tokens: see `PrefixTuning`; the authors start at random.
        layers: the first and the last layer that get rows, counted from 1; None is all of them.

    Raises:
        TypeError: a hyperparameter has the wrong type.
        ValueError: a hyperparameter is out of range.
    """

    name: ClassVar[str] = "p_tuning_v2"
    title: ClassVar[str] = "P-Tuning v2"
    paper: ClassVar[Paper | None] = Paper(
        title="P-Tuning v2: Prompt Tuning Can Be Comparable to Fine-tuning Universally Across "
        "Scales and Tasks",
        authors="Liu, Ji, Fu, Tam, Du, Yang, Tang",
        arxiv="2110.07602",
        date="2021-10-18",
    )

    prefix_length: int = whole(20, low=1, usual=(1, 128), counts=True)
    reparametrization_width: int = whole(0, low=0, usual=(512, 512), counts=True)
    dropout: float = number(0.1, low=0.0, high=1.0, below=True)
    infix_after: ClassVar[None] = None  # no infix here: the rows are seen by all
    layers: tuple[int, int] | None = own(None, _span, offers=(None, (1, 1)), counts=True)

    def _widths(self, config: Any, head: str | None) -> dict[str, dict[str, tuple[int, int]]]:
        """Only the attention modules of the chosen layers."""
        found = super()._widths(config, head)
        if self.layers is None:
            return found
        first, last = self.layers
        chosen = {
            stack: {path: own for path, own in modules.items() if first <= layer_of(path) <= last}
            for stack, modules in found.items()
        }
        deepest = min(max(map(layer_of, modules)) for modules in found.values())
        if last > deepest:
            raise ValueError(
                f"layers={self.layers}, but this model has {deepest} layers; "
                f"write for example layers=(1, {deepest})"
            )
        return chosen


def layer_of(path: str) -> int:
    """Find the layer of an attention module.

    Args:
        path: of the module.

    Returns:
        The layer, counted from 1: the first number in the path.
    """
    return 1 + int(re.search(r"\.(\d+)\.", f".{path}.").group(1))
