"""The rows of the ledger: what the eight papers print about parameters, with the settings.

No row holds a result; `peftlab.ledger.printed` computes it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from peftlab import anatomy
from peftlab.anatomy.catalog import catalog_config
from peftlab.ledger.printed import Row

MEBI = 2**20
ALL_FOUR = ("query", "key", "value", "attention_output")
ELEVEN = (*ALL_FOUR, "attention_norm", "mlp_in", "mlp_out", "mlp_norm")  # 11 d biases of a block
BUDGET_LABEL = "equals 0.1 % of the model's size, the label that prefix-tuning gives its budget"
OF_TOTAL = "share of the total"
OF_LAYERS: dict[str, Any] = {"layers_only": True}


def _lora(what: str, printed: str, backbone: str, **more: Any) -> Row:
    options = {"rank": more.pop("rank"), "targets": more.pop("targets", ("query", "value"))}
    where = more.pop("where", "table 4")
    return Row(paper="lora", where=where, what=what, printed=printed, method="lora",
               backbone=backbone, hyperparameters=options, **more)  # fmt: skip


def _in_lora(what: str, printed: str, backbone: str, method: str, where: str, **more: Any) -> Row:
    """Another method in a table of the LoRA paper."""
    return Row(paper="lora", where=where, what=what, printed=printed, backbone=backbone,
               method=method, **more)  # fmt: skip


def _rows_before(tokens: int, printed: str) -> Row:
    """LoRA's prefix-embedding tuning: tokens in front, and eight behind."""
    return _in_lora(
        f"GPT-3, PreEmbed, l_p = {tokens}, l_i = 8",
        printed,
        "gpt3-175b",
        "prompt_tuning",
        "table 15",
        hyperparameters={"prompt_length": tokens + 8},
    )


_T5_NAMES = {"small": "Small", "large": "Large", "xxl": "XXL"}


def _rows_in_layers(before: int, behind: int, printed: str, counted: str) -> Row:
    """LoRA's prefix-layer tuning: activations at each of these positions, in every layer.

    Two activations are as many numbers as a key and a value.
    """
    return _in_lora(
        f"GPT-3, PreLayer, l_p = {before}, l_i = {behind}",
        printed,
        "gpt3-175b",
        "p_tuning_v2",
        "table 15",
        hyperparameters={"prefix_length": (before + behind) // 2},
        reason=f"{counted}: {before + behind} activations of 12,288 numbers in 96 layers",
    )


def _t5(size: str, length: int, printed: str, meant: str, **more: Any) -> Row:
    what = f"T5 1.1 {_T5_NAMES[size]}, P = {length}"
    return Row(paper="prompt_tuning", where="table 4", what=what, printed=printed,
               backbone=f"t5-v1.1-{size}", method="prompt_tuning",
               hyperparameters={"prompt_length": length}, meant=meant, **more)  # fmt: skip


def _many_tasks(tasks: int, percent: float) -> float:
    """A model, and a share of it for each task."""
    return 1 + tasks * percent / 100


def _smaller() -> float:
    """How much smaller DistilBERT is than BERT base, in percent."""
    student, teacher = (
        anatomy.backbone_parameters(catalog_config(name), None)
        for name in ("distilbert", "bert-base")
    )
    return 100 * (1 - student / teacher)


def _peft_mlp(tokens: int, d: int, hidden: int) -> int:
    """PEFT's encoder of P-Tuning: rows, and three linear maps with biases."""
    maps = ((d, hidden), (hidden, hidden), (hidden, d))
    return tokens * d + sum(a * b + b for a, b in maps)


LORA_ROWS = (
    _lora("GPT-3, r_q = r_v = 1", "4.7M", "gpt3-175b", rank=1),
    _lora("GPT-3, r_v = 2", "4.7M", "gpt3-175b", rank=2, targets=("value",)),
    _lora("GPT-3, r_q = r_v = 2", "9.4M", "gpt3-175b", rank=2, where="table 15"),
    _lora("GPT-3, r_q = r_v = 4", "18.8M", "gpt3-175b", rank=4, where="table 15"),
    _lora("GPT-3, r_q = r_v = 8", "37.7M", "gpt3-175b", rank=8),
    _lora(
        "GPT-3, all four r = 4", "37.7M", "gpt3-175b", rank=4, targets=ALL_FOUR, where="table 15"
    ),
    _lora(
        "GPT-3, all four r = 2",
        "37.7M",
        "gpt3-175b",
        rank=2,
        targets=ALL_FOUR,
        where="section D.4",
        reason="18.87M; table 15 has rank 4 for it",
    ),
    _lora("GPT-3, r_q = r_v = 64", "301.9M", "gpt3-175b", rank=64, where="table 15"),
    _lora(
        "GPT-3, all four r = 64",
        "603.8M",
        "gpt3-175b",
        rank=64,
        targets=ALL_FOUR,
        where="table 15",
        reason="603.98M: neither rounded nor cut",
    ),
    _lora("RoBERTa base, r = 8", "0.3M", "roberta-base", rank=8, where="table 2"),
    _lora("RoBERTa large, r = 8", "0.8M", "roberta-large", rank=8, where="table 2"),
    _lora(
        "DeBERTa XXL, r = 8",
        "4.7M",
        "deberta-xxl-shape",
        rank=8,
        where="table 2",
        assumption="r = 16, as the authors' scripts have it; their table of settings says 8",
        assuming={"hyperparameters": {"rank": 16}},
    ),
    _lora(
        "GPT-2 medium, r = 4",
        "0.35M",
        "gpt2-medium",
        rank=4,
        where="table 3",
        reason=BUDGET_LABEL,
    ),
    _lora(
        "GPT-2 large, r = 4", "0.77M", "gpt2-large", rank=4, where="table 3", reason=BUDGET_LABEL
    ),
    _in_lora("GPT-2 large, all of it", "774.03M", "gpt2-large", "full", "table 3", meant="trained"),
    _in_lora(
        "GPT-2 medium, all of it",
        "354.92M",
        "gpt2-medium",
        "full",
        "table 3",
        meant="trained",
        reason="354.82M, with the output embedding tied: 0.1M less",
    ),
    _in_lora(
        "GPT-2 medium, the top two layers",
        "25.19M",
        "gpt2-medium",
        "top_layers",
        "table 3",
        meant="trained",
        hyperparameters={"layers": 2},
    ),
    _in_lora(
        "GPT-2 medium, the top two layers",
        "24M",
        "gpt2-medium",
        "top_layers",
        "tables 13 and 14",
        meant="trained",
        hyperparameters={"layers": 2},
        reason="25.19M, as table 3 has it",
    ),
    _in_lora(
        "RoBERTa base, all of it",
        "125.0M",
        "roberta-base",
        "full",
        "table 2",
        meant="trained and head",
        reason="124.6M: the size by which the model is called, with a digit too many",
    ),
    _in_lora(
        "RoBERTa large, all of it",
        "355.0M",
        "roberta-large",
        "full",
        "table 2",
        meant="trained and head",
        reason="355.4M: the size by which the model is called, with a digit too many",
    ),
    _in_lora(
        "GPT-3, all of it",
        "175,255.8M",
        "gpt3-175b",
        "full",
        "table 4",
        meant="trained",
        reason="174,604M from the published shape; what else was counted is not said",
    ),
    _rows_before(32, "0.4M"),
    _rows_before(64, "0.9M"),
    _rows_before(128, "1.7M"),
    _rows_before(256, "3.2M"),
    _rows_before(512, "6.4M"),
    _rows_in_layers(2, 2, "5.1M", "4.72M"),
    _rows_in_layers(8, 0, "10.1M", "9.44M"),
    _rows_in_layers(8, 8, "20.2M", "18.87M"),
    _rows_in_layers(32, 4, "44.1M", "42.47M"),
    _rows_in_layers(64, 0, "76.1M", "75.50M"),
    *(
        _in_lora(
            f"GPT-3, Houlsby's adapters, r = {m}",
            printed,
            "gpt3-175b",
            "adapter",
            "table 15",
            hyperparameters={"bottleneck": m, "layer_norms": False},
        )
        for m, printed in ((1, "7.1M"), (4, "21.2M"), (8, "40.1M"), (16, "77.9M"), (64, "304.4M"))
    ),
    _in_lora(
        "GPT-3, biases",
        "14.2M",
        "gpt3-175b",
        "bitfit",
        "table 4",
        hyperparameters={"biases": ELEVEN},
        reason="a block of GPT-2's shape has 11 d biases; 12 d would give 14,155,776",
    ),
    _in_lora("RoBERTa base, biases", "0.1M", "roberta-base", "bitfit", "table 2"),
    _in_lora(
        "RoBERTa large, Houlsby's adapters, m = 64",
        "6.0M",
        "roberta-large",
        "adapter",
        "table 2",
        hyperparameters={"bottleneck": 64, "layer_norms": False},
        assumption="a million is 2**20",
        assuming={"million": MEBI},
    ),
    _in_lora(
        "RoBERTa large, Houlsby's adapters, m = 8",
        "0.8M",
        "roberta-large",
        "adapter",
        "table 2",
        hyperparameters={"bottleneck": 8, "layer_norms": False},
    ),
    _in_lora(
        "RoBERTa large, one adapter a layer, m = 64",
        "3.0M",
        "roberta-large",
        "adapter",
        "table 2",
        hyperparameters={"bottleneck": 64, "layer_norms": False},
        factor=0.5,
        assumption="a million is 2**20",
        assuming={"million": MEBI},
    ),
    _in_lora(
        "RoBERTa large, one adapter a layer, m = 16",
        "0.8M",
        "roberta-large",
        "adapter",
        "table 2",
        hyperparameters={"bottleneck": 16, "layer_norms": False},
        factor=0.5,
    ),
)


def _adapter(what: str, printed: str, where: str, backbone: str = "bert-large", **more: Any) -> Row:
    return Row(paper="adapter", where=where, what=what, printed=printed, backbone=backbone,
               method=more.pop("method", "adapter"), **more)  # fmt: skip


ADAPTER_ROWS = (
    _adapter(
        "BERT large, m = 64, a task",
        "2.1 %",
        "table 1",
        meant="share",
        hyperparameters={"bottleneck": 64},
        assumption="a share of the 24 layers, without embeddings",
        assuming=OF_LAYERS,
    ),
    _adapter(
        "BERT large, m from 8 to 256, a task",
        "3.6 %",
        "table 1",
        meant="share",
        hyperparameters=None,
        assumption="fitted: sizes of 110 on average, of the layers; those by task are not printed",
        assuming=OF_LAYERS | {"hyperparameters": {"bottleneck": 110}},
    ),
    Row(
        paper="adapter",
        where="table 1",
        what="nine tasks at 3.6 %",
        printed="1.3x",
        meant="sum",
        formula=partial(_many_tasks, 9, 3.6),
    ),
    Row(
        paper="adapter",
        where="table 1",
        what="nine tasks at 2.1 %",
        printed="1.2x",
        meant="sum",
        formula=partial(_many_tasks, 9, 2.1),
    ),
    Row(
        paper="adapter",
        where="table 2",
        what="seventeen tasks at 1.14 %",
        printed="1.19x",
        meant="sum",
        formula=partial(_many_tasks, 17, 1.14),
    ),
    _adapter(
        "BERT base, m = 64",
        "2M",
        "section 3.4",
        "bert-base",
        hyperparameters={"bottleneck": 64, "layer_norms": False},
    ),
    _adapter(
        "BERT base, LayerNorms alone",
        "40K",
        "section 3.4",
        "bert-base",
        method="bitfit",
        hyperparameters={"control": "norms"},
    ),
    _adapter(
        "BERT base, the top layer",
        "9M",
        "section 3.4",
        "bert-base",
        method="top_layers",
        meant="trained",
        hyperparameters={"layers": 1},
        reason="a layer has 7.09M; with the pooler, 7.68M",
    ),
)

PROMPT_ROWS = (
    _t5("small", 1, "76,961,664", "total"),
    _t5("small", 20, "10,420", "trained", reason="20 rows of 512 numbers: two digits exchanged"),
    _t5("small", 20, "76,971,572", "total", reason="the sum with the wrong 10,420"),
    _t5("small", 20, "0.01330 %", OF_TOTAL),  # so the percentage knows the right count
    _t5("large", 100, "0.01907 %", OF_TOTAL, reason="a wrong digit: 0.01307 %"),
    _t5("xxl", 5, "20,480", "trained"),
    _t5("xxl", 5, "0.00018 %", OF_TOTAL),
    _t5(
        "xxl",
        50,
        "11,137,380,352",
        "total",
        reason="printed is the total with 500 rows",
    ),
    _t5("xxl", 100, "409,600", "trained"),
    _t5("xxl", 100, "0.00368 %", OF_TOTAL),
)


def _prefix(what: str, printed: str, where: str, length: int, **more: Any) -> Row:
    return Row(paper="prefix_tuning", where=where, what=what, printed=printed,
               backbone=more.pop("backbone", "gpt2-medium"), method="prefix_tuning",
               hyperparameters={"prefix_length": length}, **more)  # fmt: skip


PREFIX_ROWS = (
    _prefix("GPT-2 medium, E2E and WebNLG, P = 5", "250K", "section 6.1", 5),
    _prefix("GPT-2 medium, E2E and WebNLG, P = 5", "0.1 %", "table 1", 5, meant="share"),
    _prefix("GPT-2 medium, DART, P = 10", "500K", "section 6.1", 10),
    _prefix(
        "BART large, XSUM, P = 200",
        "2 %",
        "table 2, figure 4",
        200,
        backbone="bart-large",
        meant="share",
        assumption="P = 100, as table 5 says, and prefixes for all three attentions",
        assuming={"hyperparameters": {"prefix_length": 100}},
    ),
)

DEEP_ROWS = (
    Row(
        paper="p_tuning_v2",
        where="abstract",
        what="the least: RoBERTa large",
        printed="0.1 %",
        meant="share",
        backbone="roberta-large",
        method="p_tuning_v2",
        hyperparameters=None,
        assumption="P = 8, the shortest prompt of the scripts (BoolQ); no length is printed",
        assuming={"hyperparameters": {"prefix_length": 8}},
    ),
    Row(
        paper="p_tuning_v2",
        where="abstract",
        what="the most: BERT large",
        printed="3 %",
        meant="share",
        backbone="bert-large",
        method="p_tuning_v2",
        hyperparameters=None,
        assumption="P = 224, the longest prompt of the scripts (CoNLL05); no length is printed",
        assuming={"hyperparameters": {"prefix_length": 224}},
    ),
)


def _bitfit(what: str, printed: str, where: str, backbone: str, biases: tuple[str, ...]) -> Row:
    return Row(paper="bitfit", where=where, what=what, printed=printed, meant="share",
               backbone=backbone, method="bitfit", hyperparameters={"biases": biases})  # fmt: skip


TWO = ("query", "mlp_in")
BITFIT_ROWS = (
    _bitfit("BERT base, all biases of the layers", "0.09 %", "table 2", "bert-base-cased", ELEVEN),
    _bitfit(
        "BERT large, all biases of the layers", "0.08 %", "table 1", "bert-large-cased", ELEVEN
    ),
    _bitfit("BERT base, query and MLP in", "0.04 %", "table 3", "bert-base-cased", TWO),
    _bitfit("BERT large, query and MLP in", "0.04 %", "table 3", "bert-large-cased", TWO),
)

DISTILLATION_ROWS = (
    Row(
        paper="distillation",
        where="table 3",
        what="DistilBERT",
        printed="66M",
        meant="backbone",
        backbone="distilbert",
    ),
    Row(
        paper="distillation",
        where="table 3",
        what="BERT base",
        printed="110M",
        meant="backbone",
        backbone="bert-base",
    ),
    Row(
        paper="distillation",
        where="abstract",
        what="smaller than BERT base",
        printed="40 %",
        meant="sum",
        formula=_smaller,
    ),
)

PEFT_ROWS = (
    Row(
        paper="peft",
        where="documentation",
        what="BERT base, prefix, P = 20, with a head of two labels",
        printed="370,178",
        meant="trained and head",
        backbone="bert-base-cased",
        method="p_tuning_v2",
        hyperparameters={"prefix_length": 20},
    ),
    Row(
        paper="peft",
        where="documentation",
        what="BLOOMZ 560m, P-Tuning with an MLP of 128, P = 20",
        printed="300,288",
        meant="sum",
        formula=partial(_peft_mlp, 20, 1024, 128),
    ),
    Row(
        paper="peft",
        where="documentation",
        what="RoBERTa base, prompt, P = 20, with a head of two labels",
        printed="607,490",
        meant="trained and head",
        backbone="roberta-base",
        method="prompt_tuning",
        hyperparameters={"prompt_length": 20},
    ),
)

ROWS: tuple[Row, ...] = (
    *LORA_ROWS,
    *ADAPTER_ROWS,
    *PROMPT_ROWS,
    *PREFIX_ROWS,
    *DEEP_ROWS,
    *BITFIT_ROWS,
    *DISTILLATION_ROWS,
    *PEFT_ROWS,
)
