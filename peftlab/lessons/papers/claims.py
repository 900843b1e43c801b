"""How lab 10 decides whether the numbers of a paper follow from its settings."""

from __future__ import annotations

from collections.abc import Sequence

from peftlab.ledger.printed import MISSES, Result
from peftlab.ledger.record import Record
from peftlab.ledger.rows import ROWS
from peftlab.ledger.verdicts import Claim, decide

TITLES = {
    "lora": "LoRA",
    "adapter": "the adapter paper",
    "prompt_tuning": "the prompt tuning paper",
    "prefix_tuning": "the prefix-tuning paper",
    "p_tuning_v2": "the P-Tuning v2 paper",
    "bitfit": "BitFit",
    "distillation": "the DistilBERT paper",
    "peft": "PEFT's documentation",
}
PLACES = {
    "lora": "tables 2, 3, 4 and 15",
    "adapter": "tables 1 and 2, section 3.4",
    "prompt_tuning": "table 4",
    "prefix_tuning": "tables 1 and 2, figure 4, section 7",
    "p_tuning_v2": "section 1, abstract",
    "bitfit": "tables 1 to 3",
    "distillation": "table 3, abstract",
    "peft": "section on each method",
}
_NUMBERS = {paper: sum(row.paper == paper for row in ROWS) for paper in TITLES}
CLAIMS = {
    paper: Claim(
        f"The parameter counts of {title} follow from the printed settings",
        f"{_NUMBERS[paper]} numbers",
        PLACES[paper],
    )
    for paper, title in TITLES.items()
}


def papers(record: Record, results: Sequence[Result], seed: int) -> None:
    """Decide the claim on every paper: it holds when no number fails, assumptions allowed.

    Args:
        record: of the lab.
        results: of all rows.
        seed: of the lab; nothing here is random.
    """
    for paper in TITLES:
        own = [result for result in results if result.row.paper == paper]
        missing = [result for result in own if result.verdict == MISSES]
        assumed = [result for result in own if result.why and result not in missing]
        ours = f"{len(own) - len(missing)} of {len(own)} follow"
        if assumed:
            ours += f", {len(assumed)} of them with an assumption"
        decide(
            record,
            paper,
            not missing,
            ours=ours,
            seeds=[seed],
            fails=", ".join(f"{r.row.printed} ({r.row.what})" for r in missing),
            numbers={f"{r.row.what}: {r.row.printed}": r.ours for r in own},
        )
