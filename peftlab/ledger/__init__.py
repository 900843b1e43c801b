"""The ledger: what the papers print, the record of a lab, and how a claim is decided."""

from peftlab.ledger.effects import Effect, difference, measured
from peftlab.ledger.printed import Result, Row, recount
from peftlab.ledger.record import Record
from peftlab.ledger.rows import ROWS
from peftlab.ledger.verdicts import Claim, above, compare, decide

__all__ = [
    "ROWS",
    "Claim",
    "Effect",
    "Record",
    "Result",
    "Row",
    "above",
    "compare",
    "decide",
    "difference",
    "measured",
    "recount",
]
