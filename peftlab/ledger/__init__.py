"""The ledger: what the papers print, the record of a lab, and how a claim is decided."""

from peftlab.ledger.effects import Effect, difference, measured
from peftlab.ledger.printed import PRINTED, Printed
from peftlab.ledger.record import Record
from peftlab.ledger.verdicts import Claim, above, compare, decide

__all__ = [
    "PRINTED",
    "Claim",
    "Effect",
    "Printed",
    "Record",
    "above",
    "compare",
    "decide",
    "difference",
    "measured",
]
