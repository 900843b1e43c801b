"""The ledger: what the papers print, the record of a lab, and how a claim is decided."""

from peftlab.ledger.printed import PRINTED, Printed
from peftlab.ledger.record import Record
from peftlab.ledger.verdicts import Claim, above, decide, near

__all__ = ["PRINTED", "Claim", "Printed", "Record", "above", "decide", "near"]
