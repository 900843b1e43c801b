"""How lab 10 decides whether the numbers of a paper follow from its settings."""

from __future__ import annotations

from collections.abc import Sequence

from peftlab.ledger.printed import ASSUMES, MISSES, Result
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
    "lora": "tables 2, 3, 4, 13, 14 and 15, section D.4",
    "adapter": "tables 1 and 2, section 3.4",
    "prompt_tuning": "table 4",
    "prefix_tuning": "tables 1 and 2, figure 4, section 6.1",
    "p_tuning_v2": "section 1 and the abstract",
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
    """Decide the claim on every paper: it holds when every number follows, without an assumption.

    Args:
        record: of the lab.
        results: of all rows.
        seed: of the lab; nothing here is random.
    """
    for paper in TITLES:
        own = [result for result in results if result.row.paper == paper]
        missing = [result for result in own if result.verdict == MISSES]
        assumed = [result for result in own if result.verdict == ASSUMES]
        ours = f"{len(own) - len(missing) - len(assumed)} of {len(own)} follow"
        if assumed:
            ours += f", {len(assumed)} more with an assumption that we add"
        said = ", ".join(f"{r.row.printed} ({r.row.what})" for r in (*missing, *assumed))
        decide(
            record,
            paper,
            not (missing or assumed),
            ours=ours,
            seeds=[seed],
            fails=f"these do not, or not without an assumption: {said}",
            numbers={f"{r.row.what}: {r.row.printed}": r.ours for r in own},
        )
