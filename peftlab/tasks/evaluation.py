"""What a model answered on a list of examples, and how much of it is right.

Nothing here imports torch: scores are computed from answers that are already there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from peftlab.tasks.task import Example


@dataclass(frozen=True)
class Evaluation:
    """What a model answers on a list of examples.

    Args:
        examples: the examples, in order.
        predictions: for each example the index of a label, for tagging one index for each word, or
            a text.
        loss: mean loss over the labels, or over the tokens of the answers.
    """

    examples: tuple[Example, ...]
    predictions: tuple[int | tuple[int, ...] | str, ...]
    loss: float

    @property
    def accuracy(self) -> float:
        """Share of correct answers, from 0 to 1.

        For tagging this is the share of words, and words that were cut off are wrong. A text is
        correct when it is one of the references; white space does not matter.
        """
        return _accuracy(self.examples, self.predictions)

    def by(self, tag: str) -> dict[str, dict[str, float]]:
        """Accuracy and number of examples for each value of a tag, such as "kind".

        Args:
            tag: one that every example has.

        Returns:
            "accuracy" and "examples" for each value, in the order of the values.

        Raises:
            ValueError: the examples have no such tag.
        """
        groups = defaultdict(list)
        for pair in zip(self.examples, self.predictions, strict=True):
            if tag not in pair[0].tags:
                raise ValueError(
                    f"no tag {tag!r}; the examples have: {', '.join(pair[0].tags) or 'none'}"
                )
            groups[pair[0].tags[tag]].append(pair)
        return {
            value: {"accuracy": _accuracy(*zip(*pairs, strict=True)), "examples": len(pairs)}
            for value, pairs in sorted(groups.items())
        }


def _accuracy(examples: Sequence[Example], predictions: Sequence[Any]) -> float:
    if examples[0].references:
        right = [
            text.split() in [reference.split() for reference in example.references]
            for example, text in zip(examples, predictions, strict=True)
        ]
        return sum(right) / len(right)
    pairs = [
        pair
        for example, answer in zip(examples, predictions, strict=True)
        for pair in (
            zip_longest(example.label, answer)
            if isinstance(answer, tuple)
            else [(example.label, answer)]
        )
    ]
    return sum(wanted == given for wanted, given in pairs) / max(1, len(pairs))
