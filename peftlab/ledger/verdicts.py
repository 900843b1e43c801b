"""How a claim is decided: by numbers over several seeds, within margins that are named here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from peftlab.ledger.record import Record
from peftlab.seeds import CLOSE, FAILS, HOLDS, judge

AS_GOOD = 0.02  # two points of accuracy: at most so far below is as good
AS_FAST = 1.15  # times the backbone's time: below it, no latency was added that a timing can show
BEYOND_CHANCE = 10.0  # times the similarity of random directions: above it, two subspaces overlap

SPREAD = "the difference is not beyond twice its standard error over the seeds"

Named = tuple[str, Sequence[float]]  # a setting and its accuracies from 0 to 1, one for each seed


@dataclass(frozen=True)
class Claim:
    """What a paper says, with its printed number and where it stands."""

    statement: str
    paper: str
    where: str


def decide(
    record: Record,
    key: str,
    verdict: str | bool,
    *,
    ours: str,
    seeds: Sequence[int],
    fails: str,
    close: str = SPREAD,
    numbers: Mapping[str, Any] | None = None,
) -> None:
    """Put a verdict into the record, with the reason that belongs to it.

    Args:
        record: of the lab.
        key: of the claim.
        verdict: HOLDS, FAILS or CLOSE; True and False stand for the first two.
        ours: what was measured, as a reader should see it.
        seeds: behind our numbers.
        fails: the reason if the claim does not hold.
        close: the reason if it is too close to call.
        numbers: the numbers behind `ours`.

    Raises:
        ValueError: see `Record.claim`.
    """
    if isinstance(verdict, bool):
        verdict = HOLDS if verdict else FAILS
    why = {HOLDS: "", CLOSE: close}.get(verdict, fails)
    record.claim(key, ours=ours, verdict=verdict, seeds=seeds, why=why, numbers=dict(numbers or {}))


def percent(scores: Mapping[object, Sequence[float]], form: str = "{}") -> str:
    """Say every setting with its mean in percent; settings without a score are left out.

    Args:
        scores: accuracies from 0 to 1 by setting, one for each seed.
        form: how a setting is written; "{}" stands for it.

    Returns:
        The text, such as "LoRA 73.8 %, head only 58.6 %".
    """
    return ", ".join(f"{form.format(n)} {100 * fmean(v):.1f} %" for n, v in scores.items() if v)


def together(*verdicts: str) -> str:
    """Give one verdict on a claim that says several things.

    Args:
        *verdicts: one for each thing that the claim says.

    Returns:
        FAILS if one of them fails, else CLOSE if one of them is close, else HOLDS.
    """
    return next((verdict for verdict in (FAILS, CLOSE) if verdict in verdicts), HOLDS)


def above(record: Record, key: str, higher: Named, lower: Named, seeds: Sequence[int]) -> None:
    """Decide whether the first setting is above the second, beyond the noise of the seeds.

    Args:
        record: of the lab.
        key: of the claim.
        higher: what should be better, such as ("LoRA", [0.8, 0.82]).
        lower: what should be worse.
        seeds: behind the accuracies.
    """
    (name, values), (other, wanted) = higher, lower
    if not (values and wanted):
        return record.unmeasured(key)
    shown = {name: values, other: wanted}
    decide(
        record,
        key,
        judge(values, wanted),
        ours=percent(shown),
        seeds=seeds,
        fails=f"{name}: not above {other} here",
        numbers=shown,
    )


def near(
    record: Record,
    key: str,
    ours: Named,
    reference: Named,
    seeds: Sequence[int],
    beside: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Decide whether the first setting is at most 2 points below the second, beyond the noise.

    Args:
        record: of the lab.
        key: of the claim.
        ours: such as ("LoRA", [0.8, 0.82]).
        reference: what it should come near to.
        seeds: behind the accuracies.
        beside: controls to name along with the two; they decide nothing.
    """
    (name, values), (other, wanted) = ours, reference
    if not (values and wanted):
        return record.unmeasured(key)
    shown = {name: values, other: wanted} | dict(beside or {})
    decide(
        record,
        key,
        judge(values, wanted, margin=AS_GOOD),
        ours=percent(shown),
        seeds=seeds,
        close=f"within 2 points? {SPREAD}",
        fails=f"{name}: more than 2 points below {other}",
        numbers=shown,
    )
