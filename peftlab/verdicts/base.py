"""What the verdicts of all labs share: two settings compared, and several comparisons in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from peftlab.ledger import CLOSE, FAILS, HOLDS, Record, judge

SPREAD = "the difference is not beyond twice its standard error over the seeds"


def percent(scores: Mapping[object, Sequence[float]], form: str = "{}") -> str:
    """Every setting with its mean in percent; settings without a score are left out."""
    return ", ".join(f"{form.format(n)} {100 * fmean(v):.1f} %" for n, v in scores.items() if v)


def together(*verdicts: str) -> str:
    """The verdict on a claim that says several things: one failure decides, then one doubt."""
    return next((verdict for verdict in (FAILS, CLOSE) if verdict in verdicts), HOLDS)


def above(
    record: Record,
    key: str,
    higher: Mapping[str, Sequence[float]],
    lower: Mapping[str, Sequence[float]],
    seeds: Sequence[int],
) -> None:
    """Holds when the first setting is above the second, beyond the noise of the seeds.

    Args:
        record: of the lab.
        key: of the claim.
        higher: accuracies from 0 to 1, one a seed, of what should be better, under its name.
        lower: the accuracies of what should be worse, under its name.
        seeds: behind the accuracies.
    """
    ((name, values),), ((other, wanted),) = higher.items(), lower.items()
    if not (values and wanted):
        return record.unmeasured(key)
    verdict = judge(values, wanted)
    record.claim(
        key,
        ours=percent({name: values, other: wanted}),
        verdict=verdict,
        seeds=seeds,
        why={HOLDS: "", CLOSE: SPREAD}.get(verdict, f"{name}: not above {other} here"),
        numbers={name: values, other: wanted},
    )


def near(
    record: Record,
    key: str,
    ours: Mapping[str, Sequence[float]],
    reference: Mapping[str, Sequence[float]],
    seeds: Sequence[int],
    beside: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Holds when the first setting is clearly at most 2 points below the second.

    Args:
        record: of the lab.
        key: of the claim.
        ours: accuracies from 0 to 1, one a seed, under their name.
        reference: the accuracies of what it should come near to, under their name.
        seeds: behind the accuracies.
        beside: controls to name along with the two; they decide nothing.
    """
    ((name, values),), ((other, wanted),) = ours.items(), reference.items()
    if not (values and wanted):
        return record.unmeasured(key)
    verdict = judge(values, wanted, margin=0.02)
    shown = {name: values, other: wanted} | dict(beside or {})
    record.claim(
        key,
        ours=percent(shown),
        verdict=verdict,
        seeds=seeds,
        why={HOLDS: "", CLOSE: f"within 2 points? {SPREAD}"}.get(
            verdict, f"{name}: more than 2 points below {other}"
        ),
        numbers=shown,
    )
