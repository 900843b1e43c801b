"""The numbers that the papers print about parameters, and how each is computed again.

    for result in recount(ROWS, METHODS):
        print(result.row.what, result.row.printed, result.said, result.verdict)

A row holds settings and no result: the number is computed from the backbone's config and the method
each time, in closed form, without torch. The rows stand in `peftlab/ledger/rows.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from peftlab import anatomy
from peftlab.anatomy.catalog import CATALOG, catalog_config
from peftlab.figures import Table

if TYPE_CHECKING:
    from peftlab.methods.base import Method

EXACT, ROUNDS, ASSUMES, MISSES = (
    "exact",
    "rounds to it",
    "needs an assumption",
    "does not reproduce",
)
UNITS = {"K": 1_000, "M": 1_000_000, "B": 1_000_000_000}
MEANT = {  # what a printed number is of
    "trained": "what trains, without the head",
    "stored": "what is kept after training, without the head",
    "trained and head": "what trains, the head with it",
    "total": "the backbone with what is added",
    "backbone": "the backbone alone",
    "share": "what is kept, in percent of the backbone",
    "share of the total": "what trains, in percent of the backbone with it",
    "sum": "several of these, as the row says",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A number that a paper prints.

    Args:
        paper: name of the lab's method whose paper it is, or "peft" for the documentation of PEFT.
        where: table, figure or section.
        what: the model and setting, in the paper's words.
        printed: the number as printed: digits, and at the end K, M, B, % or x.
        meant: which of `MEANT`.
        backbone: name in `anatomy.catalog.CATALOG`; "" where a `formula` needs none.
        method: name of the method that is counted.
        hyperparameters: of the method; None where the paper prints none, so that all rests on
            `assuming`.
        head: the task head; None takes what the catalog says.
        factor: the count is multiplied by it, where the paper counts a part of the method.
        layers_only: a share is one of the layers alone, without embeddings.
        million: what the paper may have meant by M.
        formula: computes the number where no method does; takes nothing.
        assumption: what has to be assumed for the number to come out.
        assuming: the fields of this row that the assumption changes.
        reason: why the number does not come out.
    """

    paper: str
    where: str
    what: str
    printed: str
    meant: str = "stored"
    backbone: str = ""
    method: str = ""
    hyperparameters: Mapping[str, Any] | None = field(default_factory=dict)
    head: str | None = None
    factor: float = 1.0
    layers_only: bool = False
    million: int = UNITS["M"]
    formula: Callable[[], float] | None = None
    assumption: str = ""
    assuming: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Result:
    """A row, computed again.

    Args:
        row: what was printed.
        ours: the number that the settings give; where none are printed, that under the assumption.
        verdict: `EXACT`, `ROUNDS`, `ASSUMES` or `MISSES`.
        assumed: the number under the row's assumption; None where there is none.
    """

    row: Row
    ours: float
    verdict: str
    assumed: float | None = None

    @property
    def said(self) -> str:
        """Our number as text, and that under an assumption where it is another one."""
        if self.assumed in (None, self.ours):
            return self._said(self.ours)
        return f"{self._said(self.ours)}; assumed: {self._said(self.assumed)}"

    def _said(self, number: float) -> str:
        """In the unit of the printed number where that is a share or a factor."""
        if self.row.printed.endswith(("%", "x")):
            digits = max(4, len(self.row.printed.partition(".")[2]))
            return f"{number:.{digits}f} {self.row.printed[-1]}"
        return f"{round(number):,}"

    @property
    def why(self) -> str:
        """What was assumed, or why it does not reproduce; else empty."""
        return {ASSUMES: self.row.assumption, MISSES: self.row.reason}.get(self.verdict, "")

    def to_json(self) -> dict[str, Any]:
        """Write the result as plain values."""
        row = self.row
        return {
            "paper": row.paper,
            "where": row.where,
            "what": row.what,
            "printed": row.printed,
            "meant": row.meant,
            "backbone": row.backbone,
            "method": row.method,
            "hyperparameters": row.hyperparameters and dict(row.hyperparameters),
            "factor": row.factor,
            "layers_only": row.layers_only,
            "assuming": dict(row.assuming),
            "ours": self.ours,
            "assumed": self.assumed,
            "verdict": self.verdict,
            "why": self.why,
        }


def printed_number(printed: str, million: int = UNITS["M"]) -> float:
    """Read a printed number.

    Args:
        printed: see `Row.printed`.
        million: what M stands for.

    Returns:
        The number; a share in percent.
    """
    digits = printed.rstrip("KMB%x ").replace(",", "")
    return float(digits) * {**UNITS, "M": million}.get(printed[-1], 1)


def agrees(printed: str, value: float, million: int = UNITS["M"]) -> bool:
    """Say whether a number, rounded or cut to the digits that are printed, is what is printed.

    The papers do both. Zeros at the end of a whole number with a unit are no digits: 500K has one
    digit, and a number is rounded to it, never cut.

    Args:
        printed: see `Row.printed`.
        value: what was computed; a share in percent.
        million: what M stands for.

    Returns:
        Whether it is.
    """
    unit = {**UNITS, "M": million}.get(printed[-1], 1)
    digits = Decimal(printed.rstrip("KMB%x ").replace(",", ""))
    ways = [ROUND_HALF_UP, ROUND_DOWN]
    if "." not in printed and (unit > 1 or printed[-1] in "%x"):
        bare = digits.normalize()
        ways, digits = ways[: 1 if bare.as_tuple().exponent > 0 else 2], bare
    own = Decimal(repr(value)) / unit
    return digits in {own.quantize(digits, rounding=way) for way in ways}


def recount(rows: Iterable[Row], methods: Mapping[str, type[Method]]) -> list[Result]:
    """Compute the numbers of rows again.

    Args:
        rows: any number.
        methods: by name, see `peftlab.methods.METHODS`.

    Returns:
        A result for each row.
    """
    return [_result(row, methods) for row in rows]


def _result(row: Row, methods: Mapping[str, type[Method]]) -> Result:
    other = replace(row, **row.assuming)
    ours = _number(other if row.hyperparameters is None else row, methods)
    if row.hyperparameters is not None and agrees(row.printed, ours, row.million):
        whole = row.printed.replace(",", "").isdigit()
        return Result(row, ours, EXACT if whole else ROUNDS)
    assumed = _number(other, methods) if row.assuming else math.nan
    if row.assuming and agrees(row.printed, assumed, other.million):
        return Result(row, ours, ASSUMES, assumed)
    return Result(row, ours, MISSES)


def _number(row: Row, methods: Mapping[str, type[Method]]) -> float:
    if row.formula:
        return row.formula()
    config, head = catalog_config(row.backbone), row.head or CATALOG[row.backbone][0]
    if row.meant == "backbone":
        return anatomy.backbone_parameters(config, None)
    count = methods[row.method](**row.hyperparameters or {}).parameter_count(config, head)
    whole = count.backbone
    if row.layers_only:
        whole = sum(block.parameters for stack in anatomy.blocks(config, head) for block in stack)
    number = {
        "trained": count.trained,
        "stored": count.stored,
        "trained and head": count.trained + count.head,
        "total": count.backbone + count.stored,
        "share": 100 * count.stored / whole,
        "share of the total": 100 * count.trained / (count.backbone + count.trained),
    }[row.meant]
    return number if row.factor == 1 else row.factor * number


def results_table(
    results: Iterable[Result], caption: str = "", papers: bool = True, reasons: bool = True
) -> Table:
    """Show results as a table.

    Args:
        results: as `recount` gives them.
        caption: of the table.
        papers: whether to name paper and place.
        reasons: whether to say why a number does not reproduce; assumptions are always said.

    Returns:
        A row for each result.
    """
    rows = []
    for result in results:
        own = result.row
        place = {"paper": own.paper, "where": own.where} if papers else {}
        why = result.why if reasons or result.verdict == ASSUMES else ""
        verdict = f"{result.verdict}: {why}" if why else result.verdict
        rows.append(
            place
            | {
                "setting": own.what,
                "printed": own.printed,
                "counted": result.said,
                "what is counted": own.meant,
                "verdict": verdict,
            }
        )
    return Table(rows, caption=caption)


def printed_table(name: str, method: type[Method], caption: str) -> Table:
    """The printed counts of a method, counted again; lab 10 asks why some do not reproduce.

    Args:
        name: of the method.
        method: which takes the hyperparameters.
        caption: of the table.

    Returns:
        A row for each of the papers' numbers that is one of this method.
    """
    from peftlab.ledger.rows import ROWS

    own = [row for row in ROWS if row.method == name]
    return results_table(recount(own, {name: method}), caption, papers=False, reasons=False)
