"""The formulas of lab 10: written by the learner, checked on four published backbones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from peftlab import anatomy
from peftlab.anatomy.catalog import CATALOG, catalog_config
from peftlab.lessons.exercise import OPEN, SOLVED, WRONG, Feedback
from peftlab.methods.adapter.method import Adapter
from peftlab.methods.base import Method
from peftlab.methods.lora.method import LoRA

BACKBONES = ("bert-base", "roberta-large", "gpt2-medium", "gpt3-175b")
TWO_NORMED = ("bert-base", "roberta-large", "minilm", "bert-large")  # LayerNorms as in BERT

Count = Callable[..., Any]


@dataclass(frozen=True)
class Formula:
    """A count that the learner writes as a formula of a backbone's sizes.

    Args:
        method: takes the last argument of the formula, and gives the method that is counted.
        argument: what the last argument is called.
        values: of it, one for each backbone.
        backbones: on which it is tried.
        mistakes: for each message the wrong formula that it is about; it takes what the learner's
            takes, and the number of labels, 2, and alpha, 16, beside it.
        praise: what the learner reads when the formula is right.
    """

    method: Callable[[int], Method]
    argument: str
    values: tuple[int, ...]
    backbones: tuple[str, ...]
    mistakes: Mapping[str, Count]
    praise: str

    def check(self, attempt: Count) -> Feedback:
        """Try a formula on every backbone; nothing is raised.

        Args:
            attempt: takes `width`, `layers` and `self.argument`, and gives a whole number.

        Returns:
            Whether it is right on all of them, and a message for the learner.
        """
        if not callable(attempt):
            return Feedback(WRONG, "give the function itself to check, without calling it")
        known = self.known()
        answers = []
        for backbone, inputs in known.items():
            try:
                answers.append(attempt(**inputs))
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
                return Feedback(WRONG, f"on {backbone} your function raised {said}")
        if all(answer is None or answer is ... for answer in answers):
            return Feedback(
                OPEN, "write the formula, and return what it gives; then run this cell again"
            )
        if not all(isinstance(answer, int) and not isinstance(answer, bool) for answer in answers):
            kinds = {type(answer).__name__ for answer in answers}
            return Feedback(
                WRONG, f"return a whole number on every backbone, not {', '.join(sorted(kinds))}"
            )
        wanted = [self.right(backbone, inputs) for backbone, inputs in known.items()]
        if answers == wanted:
            return Feedback(SOLVED, self.praise)
        for message, mistake in self.mistakes.items():
            if answers == [mistake(**inputs) for inputs in known.values()]:
                return Feedback(WRONG, message)
        backbone, inputs = next(
            (name, inputs)
            for (name, inputs), own, right in zip(known.items(), answers, wanted, strict=True)
            if own != right
        )
        own, right = answers[list(known).index(backbone)], self.right(backbone, inputs)
        rightly = sum(a == b for a, b in zip(answers, wanted, strict=True))
        return Feedback(
            WRONG,
            f"right on {rightly} of {len(wanted)} backbones; on {backbone}, "
            f"{', '.join(f'{k}={v:,}' for k, v in inputs.items())}, it gives {own:,} where the "
            f"code that trains counts {right:,}, {_times(own, right)} times as many",
        )

    def known(self) -> dict[str, dict[str, int]]:
        """The arguments of the formula by backbone."""
        found = {}
        for backbone, value in zip(self.backbones, self.values, strict=True):
            (stack,) = anatomy.blocks(catalog_config(backbone))
            width = anatomy.width(catalog_config(backbone))
            found[backbone] = {"width": width, "layers": len(stack), self.argument: value}
        return found

    def right(self, backbone: str, inputs: Mapping[str, int]) -> int:
        """Count with the code that trains.

        Args:
            backbone: name in `anatomy.catalog.CATALOG`.
            inputs: of the formula.

        Returns:
            What the method trains there, without the head.
        """
        method = self.method(inputs[self.argument])
        return method.parameter_count(catalog_config(backbone), CATALOG[backbone][0]).trained


def _times(own: int, right: int) -> str:
    return f"{own / right:.4g}" if abs(own) < 10**300 else "far more than a thousand"


LORA_FORMULA = Formula(
    method=lambda rank: LoRA(rank=rank),
    argument="rank",
    values=(8, 4, 2, 64),
    backbones=BACKBONES,
    mistakes={
        "the head is counted, too: LoRA's paper leaves it out": lambda width, layers, rank: (
            layers * 4 * width * rank + 2 * width + 2
        ),
        "RoBERTa's head is counted, a dense map and the labels' own: LoRA's paper leaves it out": (
            lambda width, layers, rank: layers * 4 * width * rank + width * width + 3 * width + 2
        ),
        "alpha is counted: it is a constant, and nothing learns it": lambda width, layers, rank: (
            layers * 4 * width * rank + layers * 2
        ),
        "one alpha for the whole model is counted: it is a constant": (
            lambda width, layers, rank: layers * 4 * width * rank + 1
        ),
        "that is half of it: one of the two factors, or one of query and value": (
            lambda width, layers, rank: layers * 2 * width * rank
        ),
        "the key is included: three projections; the paper adapts query and value": (
            lambda width, layers, rank: layers * 6 * width * rank
        ),
        "all four projections of attention are counted; the paper adapts query and value": (
            lambda width, layers, rank: layers * 8 * width * rank
        ),
        "that is a single layer": lambda width, layers, rank: 4 * width * rank,
        "that is the matrices themselves; the rank has to appear": lambda width, layers, rank: (
            layers * 2 * width * width
        ),
        "biases are counted beside the factors; LoRA adds none": lambda width, layers, rank: (
            layers * (4 * width * rank + 2 * (width + rank))
        ),
        "LayerNorms are counted; LoRA leaves them frozen": lambda width, layers, rank: (
            layers * (4 * width * rank + 4 * width)
        ),
        "the sides of a factor are added; it has rows times columns numbers": (
            lambda width, layers, rank: layers * 4 * (width + rank)
        ),
    },
    praise="4 r D in each of L layers, on all four backbones; rank 64 on GPT-3 is 301,989,888, "
    "which the paper prints as 301.9M.",
)
ADAPTER_FORMULA = Formula(
    method=lambda m: Adapter(bottleneck=m),
    argument="bottleneck",
    values=(64, 8, 2, 256),
    backbones=TWO_NORMED,
    mistakes={
        "the LayerNorms are missed: gains and biases of two in a layer, and one behind the "
        "embeddings": lambda width, layers, bottleneck: (
            2 * layers * (2 * width * bottleneck + bottleneck + width)
        ),
        "the LayerNorm behind the embeddings is missed": lambda width, layers, bottleneck: (
            2 * layers * (2 * width * bottleneck + bottleneck + width) + 4 * layers * width
        ),
        "LayerNorms have gains and biases; that counts one of the two": (
            lambda width, layers, bottleneck: (
                2 * layers * (2 * width * bottleneck + bottleneck + width)
                + width * (2 * layers + 1)
            )
        ),
        "the adapters' biases are missed: m behind the first map, D behind the second": (
            lambda width, layers, bottleneck: (
                4 * layers * width * bottleneck + 2 * width * (2 * layers + 1)
            )
        ),
        "the adapters' biases and all LayerNorms are missed": lambda width, layers, bottleneck: (
            4 * layers * width * bottleneck
        ),
        "one LayerNorm in a layer is counted; there are two, and one behind the embeddings": (
            lambda width, layers, bottleneck: (
                2 * layers * (2 * width * bottleneck + bottleneck + width) + 2 * layers * width
            )
        ),
        "one adapter in a layer is counted; there are two": lambda width, layers, bottleneck: (
            layers * (2 * width * bottleneck + bottleneck + width) + 2 * width * (2 * layers + 1)
        ),
        "one of the two maps is counted": lambda width, layers, bottleneck: (
            2 * layers * (width * bottleneck + bottleneck + width) + 2 * width * (2 * layers + 1)
        ),
        "the head is counted, too; the paper leaves it out": lambda width, layers, bottleneck: (
            2 * layers * (2 * width * bottleneck + bottleneck + width)
            + 2 * width * (2 * layers + 1)
            + 2 * width
            + 2
        ),
    },
    praise="adapters with their biases, and every LayerNorm.",
)
