"""What the papers print: parameter counts that can be recomputed, and claims that a lab decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Claim:
    """What a paper says, with its printed number and where it stands."""

    statement: str
    paper: str
    where: str


@dataclass(frozen=True)
class Printed:
    """A parameter count that a paper prints.

    Args:
        what: the model and setting, in the paper's words.
        printed: the number as printed.
        backbone: name in `counting.CATALOG`.
        hyperparameters: of the method, so that it can be counted again.
        counted: what the arithmetic gives.
        agrees: whether it equals the printed number, rounded or cut to as many digits: the papers
            do both.
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
    "bitfit": (
        Printed("RoBERTa base, all (LoRA's table 2)", "0.1M", "roberta-base", {}, 102_912),
        Printed(
            "BERT base, LayerNorms alone (the adapter paper)",
            "40K",
            "bert-base",
            {"control": "norms"},
            38_400,
            agrees=False,
            note="40K is 38.4K rounded to one digit",
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

CLAIMS: dict[str, dict[str, Claim]] = {
    "01_lora": {
        "identity": Claim(
            "Training starts exactly at the pretrained model",
            "B = 0, so that the update B A is zero at the start",
            "section 4.1",
        ),
        "quality": Claim(
            "LoRA is on par with full fine-tuning",
            "RoBERTa base, GLUE average: 87.2 against 86.4; GPT-3, MNLI: 91.7 against 89.5",
            "tables 2 and 4",
        ),
        "latency": Claim(
            "Merged, LoRA adds no latency at inference",
            "no added latency, where adapters add 20.7 to 30.3 % at batch 1",
            "section 4.1 and table 1",
        ),
        "budget": Claim(
            "For one budget, adapting q and v at a small rank beats one matrix at a larger rank",
            "WikiSQL at 18M: W_q r=8 70.4, W_v r=8 73.0, W_q and W_v r=4 73.7",
            "table 5",
        ),
        "rank": Claim(
            "A very small rank suffices",
            "WikiSQL, W_q and W_v: r=1 73.4, r=64 73.5",
            "table 6",
        ),
        "subspace_ranks": Claim(
            "The top directions of a small and a large rank overlap far more than random ones",
            "similarity of the top direction of r=8 and r=64 above 0.5",
            "section 7.2, figure 3",
        ),
        "subspace_seeds": Claim(
            "Two seeds learn overlapping top directions, random matrices do not",
            "visible overlap for two seeds at r=64, none for random",
            "section 7.2, figure 4",
        ),
        "amplification": Claim(
            "The update amplifies directions that the weight does not emphasise",
            "r=4: |U'WV| 0.32 against |dW| 6.91, factor 21.5; random directions of W: 0.02",
            "section 7.3, table 7",
        ),
    },
    "02_adapter": {
        "start": Claim(
            "Near-identity weights start training near the pretrained model",
            "a standard deviation of 1e-2 cut at two of them is near enough to the identity",
            "section 3.6",
        ),
        "quality": Claim(
            "Adapters come close to full fine-tuning with a few percent of its parameters",
            "BERT large, GLUE test: 80.0 against 80.4, with 3.6 % of the parameters a task",
            "table 1",
        ),
        "norms": Claim(
            "Training the LayerNorms alone is not enough",
            "BERT base: 3.5 to 4 points worse than adapters",
            "section 3.4",
        ),
        "top_layers": Claim(
            "Adapters beat training the top layers at an equal number of parameters",
            "MNLI: top layer (9M) 77.8, adapters of size 64 (2M) 83.7, everything 84.4",
            "section 3.4, figure 4",
        ),
        "size": Claim(
            "The size of the bottleneck hardly matters",
            "mean validation accuracy with sizes 8, 64, 256: 86.2, 85.8, 85.7",
            "section 3.6",
        ),
        "init_std": Claim(
            "Initial standard deviations up to 1e-2 are safe, much larger ones are not",
            "stable from 1e-7 to 1e-2, worse above",
            "section 3.6, figure 6",
        ),
        "ablation": Claim(
            "Removing adapters of a low layer costs little, removing all more than any one layer",
            "one layer: at most 2 points; all: the majority class (MNLI 37 %)",
            "section 3.6, figure 6",
        ),
        "latency": Claim(
            "Adapters add latency at batch 1, where merged LoRA adds none",
            "GPT-2 medium, batch 1, length 128: 20.7 % and 30.3 % more time",
            "table 1 of LoRA, arXiv 2106.09685",
        ),
    },
    "03_prompt_tuning": {
        "mixed": Claim(
            "One batch may hold a task for each row",
            "a prompt is added to each example of a batch, the model is shared",
            "section 2, figure 2",
        ),
        "scale": Claim(
            "The gap to full fine-tuning closes as the backbone grows",
            "SuperGLUE: far behind on T5 Small, level on XXL",
            "section 3, figure 1",
        ),
        "length": Claim(
            "A single row is too little, and beyond 20 rows little is gained",
            "more than 20 rows: marginal gains",
            "section 3.2, figure 3a",
        ),
        "rate": Claim(
            "A large learning rate is necessary",
            "0.3 throughout, found in a search from 0.001 to 0.5",
            "section 3",
        ),
        "init": Claim(
            "Rows that start at words are better than uniform ones on small models",
            "class labels best, sampled words next, uniform worst; no difference on XXL",
            "section 3.2, figure 3b",
        ),
        "ensemble": Claim(
            "The votes of several prompts are better than one prompt",
            "SuperGLUE, five prompts on XXL: 91.3 against 90.5 on average",
            "section 6, table 3",
        ),
    },
    "05_p_tuning": {
        "swing": Claim(
            "One changed word swings a hand-written prompt",
            "capital of a country, four wordings: 31.29 to 51.08 % (figures taken second-hand)",
            "table 1",
        ),
        "spread": Claim(
            "Learnt prompts spread less than worded ones",
            "P-Tuning is the stabler one",
            "sections 1 and 4",
        ),
        "best": Claim(
            "P-Tuning is above the best hand-written prompt",
            "LAMA-34k: 50.6 against 43.3; LAMA-29k: 64.2 against 45.2",
            "table 2",
        ),
        "convergence": Claim(
            "LSTM and MLP train better than free vectors",
            "the encoder is meant against local minima; no number is printed",
            "section 3.2",
        ),
        "anchors": Claim(
            "A fixed word in the template helps",
            'the anchor "?" helps in RTE; no number is printed',
            "section 3.2",
        ),
        "baking": Claim(
            "The prompt encoder can be dropped after training",
            "only the output embeddings are kept for inference",
            "section 3.2",
        ),
    },
    "07_bitfit": {
        "quality": Claim(
            "BitFit is competitive with full fine-tuning",
            "BERT large, GLUE validation average: 84.2 against 84.1 (figures taken second-hand)",
            "table 1",
        ),
        "two": Claim(
            "Two kinds of bias, the query's and the MLP's way in, do almost as well as all",
            "0.04 % of the parameters, little lost",
            "table 3",
        ),
        "random": Claim(
            "As many scalars at random places do worse",
            "rand uniform, 100k scalars of BERT base, below BitFit",
            "table 3",
        ),
        "key": Claim(
            "The key's bias does not move",
            "no change of b_k in the figure; its gradient is zero",
            "section 4, figure 1",
        ),
        "moves": Claim(
            "The query's bias and the bias on the MLP's way in move most",
            "darkest columns of the figure",
            "section 4, figure 1",
        ),
        "crossover": Claim(
            "BitFit wins with little data and loses with much",
            "subsets of SQuAD: ahead of full fine-tuning at small sizes, behind at large ones",
            "section 4, figure 2",
        ),
    },
}
