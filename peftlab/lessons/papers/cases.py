"""The cases of lab 10: a number in a paper that cannot be right, and what the learner finds.

Every right answer is computed from what the paper prints, or by the code that trains.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from peftlab import anatomy
from peftlab.anatomy.catalog import CATALOG, catalog_config
from peftlab.lessons.exercise import OPEN, SOLVED, WRONG, Feedback
from peftlab.methods.adapter.method import Adapter
from peftlab.methods.base import Method
from peftlab.methods.bitfit.method import KINDS, BitFit
from peftlab.methods.lora.method import LoRA
from peftlab.methods.prefix_tuning.method import PrefixTuning
from peftlab.methods.prompt_tuning.method import PromptTuning

#: DistilBERT's table 1: the nine scores of GLUE as they are printed.
GLUE = ("CoLA", "MNLI", "MRPC", "QNLI", "QQP", "RTE", "SST-2", "STS-B", "WNLI")
BERT_BASE = dict(zip(GLUE, (56.3, 86.7, 88.6, 91.8, 89.6, 69.3, 92.7, 89.0, 53.5), strict=True))
DISTILBERT = dict(zip(GLUE, (51.3, 82.2, 87.5, 89.2, 88.5, 59.9, 91.3, 86.9, 56.3), strict=True))
PRINTED_MEANS = {"BERT base": 79.5, "DistilBERT": 77.0}


@dataclass(frozen=True)
class Case:
    """A question whose answer is one number.

    Args:
        answer: computes it; takes nothing.
        praise: what the learner reads when the answer is right.
        hint: what the learner reads beside any other wrong answer.
        digits: behind the point, to which the answer is wanted; rounded or cut.
        wrong: for each message what gives the wrong answer that it is about.
    """

    answer: Callable[[], float]
    praise: str
    hint: str
    digits: int = 0
    wrong: Mapping[str, Callable[[], float]] = field(default_factory=dict)

    def check(self, answer: Any) -> Feedback:
        """Judge an answer; nothing is raised.

        Args:
            answer: a number, or None where the learner has not tried yet.

        Returns:
            Whether it is right, and a message for the learner.
        """
        if answer is None or answer is ...:
            return Feedback(OPEN, "put your number in place of None, then run this cell again")
        try:
            given = math.nan if isinstance(answer, bool | str) else float(answer)
        except (TypeError, ValueError, OverflowError):
            given = math.nan
        if not math.isfinite(given):
            return Feedback(
                WRONG,
                f"give one number, not {type(answer).__name__}; write it without commas, such as "
                "10240 or 79.7",
            )
        right = self.answer()
        if self._same(given, right, self.digits):
            return Feedback(SOLVED, self.praise)
        exactly = (said for said, value in self.wrong.items() if abs(given - value()) < 1e-9)
        if (message := next(exactly, None)) is not None:
            return Feedback(WRONG, message)
        if any(abs(given - round(right, fewer)) < 1e-9 for fewer in range(self.digits)):
            return Feedback(WRONG, f"right so far; give {self.digits} digits behind the point")
        for message, value in self.wrong.items():
            if self._same(given, value(), self.digits):
                return Feedback(WRONG, message)
        if self.digits and self._same(100 * given, right, self.digits):
            return Feedback(WRONG, "that is the share; give it in percent")
        return Feedback(WRONG, f"{given:,.10g} it is not; {self.hint}")

    def _same(self, given: float, other: float, digits: int) -> bool:
        """Whether one is the other, rounded or cut to so many digits, or written with more."""
        if not self.digits:  # a whole number
            return abs(given - other) < 1e-6
        unit = 10.0**-digits
        cut = math.floor(other / unit) * unit
        return abs(given - other) <= unit / 2 + 1e-9 or abs(given - cut) < 1e-9


def counted(method: Method, backbone: str) -> int:
    """Count what a method keeps on a published architecture.

    Args:
        method: with its hyperparameters.
        backbone: name in `anatomy.catalog.CATALOG`.

    Returns:
        Numbers stored, without the head.
    """
    return method.parameter_count(catalog_config(backbone), CATALOG[backbone][0]).stored


def share(method: Method, backbone: str) -> float:
    """Say the same in percent of the backbone.

    Args:
        method: with its hyperparameters.
        backbone: name in `anatomy.catalog.CATALOG`.

    Returns:
        From 0 to 100 and above.
    """
    whole = anatomy.backbone_parameters(catalog_config(backbone), CATALOG[backbone][0])
    return 100 * counted(method, backbone) / whole


def layers_of(backbone: str) -> int:
    """Count the parameters of the layers of a published architecture, without its embeddings.

    Args:
        backbone: name in `anatomy.catalog.CATALOG`.

    Returns:
        How many there are.
    """
    stacks = anatomy.blocks(catalog_config(backbone))
    return sum(block.parameters for stack in stacks for block in stack)


def _missing(wanted: float, name: str, known: Mapping[str, float] = BERT_BASE) -> float:
    """The score that gives the mean, all others as they are."""
    return len(known) * wanted - sum(value for other, value in known.items() if other != name)


def _rank_for(count: int, backbone: str) -> float:
    return count / counted(LoRA(rank=1), backbone)


def _xxl(rows: int) -> int:
    """T5 1.1 XXL with a prompt."""
    backbone = anatomy.backbone_parameters(catalog_config("t5-v1.1-xxl"), "seq2seq_lm")
    return backbone + 4096 * rows


def _xsum(rows: int) -> float:
    """A prefix in BART large, in percent of the model."""
    return share(PrefixTuning(prefix_length=rows), "bart-large")


MEAN = Case(
    answer=lambda: fmean(BERT_BASE.values()),
    digits=1,
    praise="79.7, and the table prints 79.5. At least one of the ten numbers is wrong; arithmetic "
    "does not say which.",
    hint="add the nine scores of BERT base and divide by nine",
    wrong={
        "that is the printed mean, which is in doubt; compute it": lambda: 79.5,
        "that is the mean of DistilBERT's scores": lambda: fmean(DISTILBERT.values()),
    },
)
MNLI = Case(
    answer=lambda: _missing(79.5, "MNLI"),
    digits=1,
    praise="84.7, which is what the authors' code repository prints for MNLI. So 86.7 looks like "
    "the misprint, and the mean is right.",
    hint="nine times the printed mean, less the other eight scores",
    wrong={
        "that is the misprint itself": lambda: 86.7,
        "that is how far off the sum is; take it from 86.7": lambda: (
            sum(BERT_BASE.values()) - 9 * 79.5
        ),
    },
)
KEPT = Case(
    answer=lambda: 100 * 77.0 / fmean(BERT_BASE.values()),
    digits=1,
    praise="96.6 %: it still rounds to 97. The claim survives the misprint, whichever of the two "
    "numbers is wrong.",
    hint="DistilBERT's mean over the one that you computed, in percent",
    wrong={
        "that is with the printed 79.5; which mean do the printed scores have?": lambda: (
            100 * 77.0 / 79.5
        ),
    },
)
XSUM = Case(
    answer=lambda: _xsum(200),
    digits=2,
    praise="3.63 %, which no rounding makes 2 %. Figure 4 and the 2 % cannot be true of one model.",
    hint="keys and values of width 1,024 in three attentions of 12 layers, 200 rows of each; over "
    "406,291,456",
    wrong={
        "that is one stack of 12 layers; the encoder, the decoder and the decoder's look at the "
        "encoder have rows of their own": lambda: _xsum(200) / 3,
        "that is with two attentions; count encoder, decoder, and the decoder's look at the "
        "encoder": lambda: _xsum(200) * 2 / 3,
        "that is half of it: 100 rows where figure 4 says 200, or keys without values": lambda: (
            _xsum(100)
        ),
    },
)
XSUM_ROWS = Case(
    answer=lambda: 100,
    praise="100 rows are 1.81 %, which rounds to 2: table 5 is right, and the figure and the "
    "authors' README are not, or they are about another model.",
    hint="which multiple of a hundred comes nearest to 2 %?",
    wrong={"that is what figure 4 says, and it gives 3.63 %": lambda: 200},
)
T5_SMALL = Case(
    answer=lambda: counted(PromptTuning(prompt_length=20), "t5-v1.1-small"),
    praise="10,240. In the table two digits have changed places, and the total beside it, "
    "76,971,572, was computed with the wrong number; the percentage, 0.01330, with the right one.",
    hint="20 rows, each as wide as the model",
    wrong={
        "that is the misprint": lambda: 10_420,
        "that is with rows as wide as T5 Base; Small has 512": lambda: counted(
            PromptTuning(prompt_length=20), "t5-v1.1-base"
        ),
    },
)
XXL_TOTAL = Case(
    answer=lambda: _xxl(50),
    praise="11,135,537,152, and printed is 11,137,380,352.",
    hint="the backbone's 11,135,332,352 and the rows, each of 4,096 numbers",
    wrong={
        "that is the backbone without the rows": lambda: _xxl(0),
        "that is what is printed": lambda: _xxl(500),
    },
)
XXL_ROWS = Case(
    answer=lambda: (_xxl(500) - _xxl(0)) / 4096,
    praise="500: the printed total is that of a prompt ten times as long.",
    hint="take the backbone's 11,135,332,352 from the printed total, and divide by the width",
    wrong={
        "those are the rows that are too many; of how many rows is it the total?": lambda: 450,
        "that is what the table says, and it gives another total": lambda: 50,
        "that is how many numbers they are; divide by the width of a row": lambda: (
            _xxl(500) - _xxl(0)
        ),
    },
)
LABEL = Case(
    answer=lambda: _rank_for(350_000, "gpt2-medium"),
    digits=2,
    praise="3.56: no whole rank gives 0.35M. Rank 4 gives 393,216. But 0.1 % of the model's "
    "354.8M is 0.35M, and 0.1 % of GPT-2 large's 774M is 0.77M: the label by which prefix-tuning's "
    "budgets are called stands where a count should.",
    hint="how many numbers does each unit of rank add? 24 layers, query and value, width 1,024",
    wrong={
        "that is the rank that the table names, and it gives 393,216": lambda: 4,
        "that counts one of the two factors, or one of query and value": lambda: (
            2 * _rank_for(350_000, "gpt2-medium")
        ),
    },
)
BIASES = Case(
    answer=lambda: counted(BitFit(biases=KINDS), "gpt3-175b") / (96 * 12_288),
    praise="11: four projections, four widths in the MLP's first map, one behind it, two norms. "
    "14.2M needs 12.",
    hint="query, key, value, output; two norms; the MLP's first map is four times as wide",
    wrong={
        "that is 14.2M over 96 layers and the width; count what a layer has": lambda: 12,
        "the MLP's first map has a bias of 4 d": lambda: 8,
        "the norms have biases, too": lambda: 9,
        "each of the two norms has one": lambda: 10,
        "norms have gains as well, but gains are no biases": lambda: 13,
    },
)
OF_WHAT = Case(
    answer=lambda: 100 * counted(Adapter(bottleneck=64), "bert-large") / layers_of("bert-large"),
    digits=2,
    praise="2.13 %: the 2.1 % is a share of the 24 layers. Of the whole model it is 1.92 %.",
    hint="6,444,032 numbers; a layer of BERT large has 12,596,224",
    wrong={
        "that is the share of the whole model; what if embeddings and pooler are left out?": (
            lambda: share(Adapter(bottleneck=64), "bert-large")
        ),
        "that is without the LayerNorms, which train too": lambda: (
            100
            * counted(Adapter(bottleneck=64, layer_norms=False), "bert-large")
            / layers_of("bert-large")
        ),
    },
)
CASES = {
    "mean": MEAN,
    "MNLI": MNLI,
    "kept": KEPT,
    "XSUM": XSUM,
    "XSUM rows": XSUM_ROWS,
    "T5 small": T5_SMALL,
    "XXL total": XXL_TOTAL,
    "XXL rows": XXL_ROWS,
    "label": LABEL,
    "biases": BIASES,
    "of what": OF_WHAT,
}
