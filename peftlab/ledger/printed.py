"""The parameter counts that the papers print, with the settings to count them again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peftlab.anatomy.catalog import CATALOG, catalog_config

if TYPE_CHECKING:
    from peftlab.methods.base import Method
from peftlab.figures import Table


@dataclass(frozen=True)
class Printed:
    """A parameter count that a paper prints.

    Args:
        what: the model and setting, in the paper's words.
        printed: the number as printed, or the share of the backbone in percent.
        backbone: name in `anatomy.catalog.CATALOG`.
        hyperparameters: of the method, so that it can be counted again.
        counted: what the arithmetic gives, of what is stored.
        agrees: whether it equals the printed number, rounded or cut to as many digits: the papers
            do both. Zeros at the end of a whole number are no digits.
        note: why not, when it does not.
    """

    what: str
    printed: str
    backbone: str
    hyperparameters: dict[str, Any]
    counted: int
    agrees: bool = True
    note: str = ""


_ALL_FOUR = ("query", "key", "value", "attention_output")
_KINDS = (
    *_ALL_FOUR,
    "attention_norm",
    "mlp_in",
    "mlp_out",
    "mlp_norm",
)
_BUDGET_LABEL = "equals 0.1 % of the model's size, the label that prefix-tuning gives its budget"

PRINTED: dict[str, tuple[Printed, ...]] = {
    "lora": (
        Printed("GPT-3, r_q = r_v = 1", "4.7M", "gpt3-175b", {"rank": 1}, 4_718_592),
        Printed("GPT-3, r_q = r_v = 2", "9.4M", "gpt3-175b", {"rank": 2}, 9_437_184),
        Printed("GPT-3, r_q = r_v = 4", "18.8M", "gpt3-175b", {"rank": 4}, 18_874_368),
        Printed("GPT-3, r_q = r_v = 8", "37.7M", "gpt3-175b", {"rank": 8}, 37_748_736),
        Printed("GPT-3, r_q = r_v = 64", "301.9M", "gpt3-175b", {"rank": 64}, 301_989_888),
        Printed(
            "GPT-3, all four r = 64",
            "603.8M",
            "gpt3-175b",
            {"rank": 64, "targets": _ALL_FOUR},
            603_979_776,
            agrees=False,
            note="603.98M after rounding",
        ),
        Printed("RoBERTa base, r = 8", "0.3M", "roberta-base", {"rank": 8}, 294_912),
        Printed("RoBERTa large, r = 8", "0.8M", "roberta-large", {"rank": 8}, 786_432),
        Printed(
            "GPT-2 medium, r = 4",
            "0.35M",
            "gpt2-medium",
            {"rank": 4},
            393_216,
            agrees=False,
            note=_BUDGET_LABEL,
        ),
        Printed(
            "GPT-2 large, r = 4",
            "0.77M",
            "gpt2-large",
            {"rank": 4},
            737_280,
            agrees=False,
            note=_BUDGET_LABEL,
        ),
    ),
    "adapter": (
        Printed("BERT base, m = 64", "2M", "bert-base", {"bottleneck": 64}, 2_417_664),
        Printed(
            "RoBERTa large, m = 64, without LayerNorms (LoRA's table 2)",
            "6.0M",
            "roberta-large",
            {"bottleneck": 64, "layer_norms": False},
            6_343_680,
            agrees=False,
            note="agrees if a million is 2**20",
        ),
        Printed(
            "RoBERTa large, m = 8, without LayerNorms (LoRA's table 2)",
            "0.8M",
            "roberta-large",
            {"bottleneck": 8, "layer_norms": False},
            835_968,
        ),
    ),
    "prompt_tuning": (
        Printed("T5 1.1 XXL, p = 5", "20,480", "t5-v1.1-xxl", {"prompt_length": 5}, 20_480),
        Printed("T5 1.1 XXL, p = 100", "409,600", "t5-v1.1-xxl", {"prompt_length": 100}, 409_600),
        Printed(
            "T5 1.1 Small, p = 20",
            "10,420",
            "t5-v1.1-small",
            {"prompt_length": 20},
            10_240,
            agrees=False,
            note="20 rows of 512 numbers; a misprint",
        ),
    ),
    "prefix_tuning": (
        Printed("GPT-2 medium, P = 5", "250K", "gpt2-medium", {"prefix_length": 5}, 245_760),
        Printed("GPT-2 medium, P = 10", "500K", "gpt2-medium", {"prefix_length": 10}, 491_520),
        Printed(
            "BART large, three stacks, P = 100 (table 5)",
            "2 %",
            "bart-large",
            {"prefix_length": 100},
            7_372_800,
        ),
        Printed(
            "BART large, three stacks, P = 200 (figure 4)",
            "2 %",
            "bart-large",
            {"prefix_length": 200},
            14_745_600,
            agrees=False,
            note="3.63 %; the paper names both lengths",
        ),
    ),
    "p_tuning_v2": (
        Printed(
            "RoBERTa large, P = 8 (BoolQ)", "0.1 %", "roberta-large", {"prefix_length": 8}, 393_216
        ),
        Printed(
            "BERT large, P = 224 (CoNLL05, the longest prompt of the scripts)",
            "3 %",
            "bert-large",
            {"prefix_length": 224},
            11_010_048,
        ),
        Printed(
            "BERT base, P = 20, as PEFT's documentation counts it",
            "370,178",
            "bert-base",
            {"prefix_length": 20},
            368_640,
            agrees=False,
            note="370,178 has the head of two labels in it, 1,538 numbers",
        ),
    ),
    "bitfit": (
        Printed("RoBERTa base, all (LoRA's table 2)", "0.1M", "roberta-base", {}, 102_912),
        Printed(
            "BERT base, LayerNorms alone (the adapter paper)",
            "40K",
            "bert-base",
            {"control": "norms"},
            38_400,
        ),
        Printed(
            "GPT-3 (LoRA's table 4)",
            "14.2M",
            "gpt3-175b",
            {"biases": _KINDS},
            12_976_128,
            agrees=False,
            note="a block of GPT-2's shape has 11 d biases; 12 d would give 14,155,776",
        ),
    ),
}


def printed_table(name: str, method: type[Method], caption: str) -> Table:
    """The printed counts of a paper, counted again.

    Args:
        name: of the paper in `PRINTED`.
        method: which takes the hyperparameters.
        caption: of the table.

    Returns:
        A row for each count: setting, printed, counted as it is stored, and whether they agree.
    """
    rows = []
    for row in PRINTED[name]:
        config, head = catalog_config(row.backbone), CATALOG[row.backbone][0]
        count = method(**row.hyperparameters).parameter_count(config, head)
        agrees = "yes" if row.agrees else f"no: {row.note}"
        share = f" ({100 * count.stored / count.backbone:.2f} %)" if "%" in row.printed else ""
        counted = f"{count.stored:,}{share}" if share else count.stored
        rows.append({"setting": row.what, "printed": row.printed, "counted": counted})
        rows[-1]["agrees"] = agrees
    return Table(rows, caption=caption)
