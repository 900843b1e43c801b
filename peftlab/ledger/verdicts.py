"""How a claim is decided: by the intervals of its effects, or by a fact that needs no seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from peftlab.ledger.effects import Effect, difference, together
from peftlab.ledger.record import Record
from peftlab.seeds import FAILS, HOLDS, paired

AS_GOOD = 2.0  # points of accuracy: at most so far below is as good
AS_FAST = 1.15  # times the backbone's time: below it, no latency was added that a timing can show

Named = tuple[str, Sequence[float]]  # a setting and its accuracies from 0 to 1, one for each seed


@dataclass(frozen=True)
class Claim:
    """What a paper says, with its printed number and where it stands.

    Args:
        statement: the claim in one sentence.
        paper: the numbers that the paper prints for it.
        where: section, table or figure.
        margin: points of accuracy that "as good as" allows; 0 where the claim says "better".
        printed: the paper's own number for each effect that decides the claim, by the effect's
            place, in the unit of the effect; None where the paper prints none.
    """

    statement: str
    paper: str
    where: str
    margin: float = 0.0
    printed: tuple[float | None, ...] = ()


def decide(
    record: Record,
    key: str,
    holds: bool | str,
    *,
    ours: str,
    seeds: Sequence[int],
    fails: str,
    close: str = "",
    numbers: Mapping[str, Any] | None = None,
) -> None:
    """Decide a claim by a fact, and note the reason that belongs to the verdict.

    Args:
        record: of the lab.
        key: of the claim.
        holds: True or False, or CLOSE.
        ours: what was measured, as a reader should see it.
        seeds: behind our numbers.
        fails: the reason if the claim does not hold.
        close: the reason if it is too close to call.
        numbers: the numbers behind `ours`.

    Raises:
        ValueError: see `Record.claim`.
    """
    verdict = (HOLDS if holds else FAILS) if isinstance(holds, bool) else holds
    why = {HOLDS: "", FAILS: fails}.get(verdict, close)
    record.claim(key, ours=ours, verdict=verdict, seeds=seeds, why=why, numbers=dict(numbers or {}))


def compare(
    record: Record,
    key: str,
    effects: Sequence[Effect],
    seeds: Sequence[int],
    *,
    shown: str = "",
    fails: str = "",
    numbers: Mapping[str, Any] | None = None,
) -> None:
    """Decide a claim by the intervals of its effects, and note them.

    Args:
        record: of the lab.
        key: of the claim.
        effects: one for each thing that the claim says, at least one.
        seeds: behind our numbers.
        shown: the means, to stand before the effects.
        fails: what it means if the claim does not hold.
        numbers: the numbers behind the effects.

    Raises:
        ValueError: see `Record.claim`.
    """
    verdict = together(effects)
    reasons = "; ".join(effect.why() for effect in effects if effect.verdict == verdict)
    said = "; ".join(map(str, effects))
    record.claim(
        key,
        ours=f"{shown}; {said}" if shown else said,
        verdict=verdict,
        seeds=seeds,
        why="" if verdict == HOLDS else fails if verdict == FAILS and fails else reasons,
        numbers=dict(numbers or {}),
        effects=effects,
    )


def percent(scores: Mapping[object, Sequence[float]], form: str = "{}") -> str:
    """Say every setting with its mean in percent; settings without a score are left out.

    Args:
        scores: accuracies from 0 to 1 by setting, one for each seed.
        form: how a setting is written; "{}" stands for it.

    Returns:
        The text, such as "LoRA 73.8 %, head only 58.6 %".
    """
    return ", ".join(f"{form.format(n)} {100 * fmean(v):.1f} %" for n, v in scores.items() if v)


def above(
    record: Record,
    key: str,
    higher: Named,
    lower: Named,
    seeds: Sequence[int],
    beside: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Decide whether the first setting is above the second, or at most the claim's margin below.

    Args:
        record: of the lab.
        key: of the claim, whose margin counts.
        higher: what should be better or as good, such as ("LoRA", [0.8, 0.82]).
        lower: what it is compared with, by the same seeds.
        seeds: behind the accuracies.
        beside: controls to name along with the two; they decide nothing.
    """
    (name, values), (other, wanted) = higher, lower
    if not (values and wanted):
        return record.unmeasured(key)
    margin = record.known(key).margin
    shown = {name: values, other: wanted} | dict(beside or {})
    below = f"more than {margin:g} points below" if margin > 0 else "not above"
    if margin < 0:
        below = f"not {-margin:g} points above"
    compare(
        record,
        key,
        [difference(name, values, other, wanted, margin)],
        seeds,
        shown=percent(shown),
        fails=f"{name}: {below} {other} here",
        numbers=shown,
    )


def better(record: Record, key: str, higher: Named, lower: Named, seeds: Sequence[int]) -> None:
    """Decide whether a setting is above another, by the seeds that both have; see `above`.

    Args:
        record: of the lab.
        key: of the claim, whose margin counts.
        higher: what should be better or as good: its name, and scores from 0 to 1.
        lower: what it is compared with.
        seeds: behind the scores, as many as the longer of the two has.
    """
    values, wanted = paired(higher[1], lower[1])
    above(record, key, (higher[0], values), (lower[0], wanted), seeds[: len(values)])
