"""`peftlab ledger`: what the papers print about parameters, computed again."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import click

from peftlab.cli.main import Refused

if TYPE_CHECKING:
    from peftlab.figures import Table


@click.command(short_help="What the papers print about parameters, computed again.")
@click.option("--paper", metavar="NAME", help="One paper alone, such as lora.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "json"]),
    default="text",
    show_default=True,
    help="How to print the table.",
)
def ledger(paper: str | None, form: str) -> None:
    """Compute the papers' parameter counts again, and say which hold.

    Every number is computed from the config of the backbone and the settings of the method, in
    closed form: no model is loaded, and no result is written down anywhere. "Rounds to it" means
    rounded or cut to the digits that are printed, zeros at the end of a whole number left out; the
    papers do both. Papers: lora, adapter, prompt_tuning, prefix_tuning, p_tuning_v2, bitfit,
    distillation, and peft, the documentation of that library. P-Tuning prints no count.

    \b
    Example: peftlab ledger --paper lora
    Example: peftlab ledger --format markdown > ledger.md
    """
    from peftlab.ledger.printed import EXACT, recount, results_table
    from peftlab.ledger.rows import ROWS
    from peftlab.methods import METHODS

    papers = list(dict.fromkeys(row.paper for row in ROWS))
    paper = paper and paper.lower()
    if paper not in (None, *papers):
        raise Refused(f"no paper {paper!r} in the ledger; it has: {', '.join(papers)}")
    results = recount([row for row in ROWS if paper in (None, row.paper)], METHODS)
    if form == "json":
        click.echo(json.dumps([result.to_json() for result in results], indent=1))
        return
    table = results_table(results)
    click.echo(_markdown(table) if form == "markdown" else repr(table))
    counted = Counter(result.verdict for result in results)
    order = sorted(counted, key=lambda verdict: (verdict != EXACT, -counted[verdict]))
    said = ", ".join(f"{verdict}: {counted[verdict]}" for verdict in order)
    click.echo(f"\n{len(results)} numbers; {said}")


def _markdown(table: Table) -> str:
    head, *rows = [list(table.rows[0]), *([*row.values()] for row in table.rows)]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
