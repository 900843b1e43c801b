"""The record that a lab writes of its own run.

A claim holds, does not hold, is too close to call, has no room to differ, or was not measured; a
record says which, with the paper's number, ours with its interval, and the seeds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from peftlab.anatomy import ParameterCount
from peftlab.figures import Picture, Table, forest
from peftlab.files import versions, write_whole
from peftlab.seeds import CLOSE, FAILS, HOLDS, NO_ROOM, UNMEASURED

if TYPE_CHECKING:
    from peftlab.ledger.effects import Effect
    from peftlab.ledger.verdicts import Claim
    from peftlab.runs.trial import Run

_MARKS = {
    HOLDS: "✔ holds",
    FAILS: "✘ does not hold",
    CLOSE: "≈ too close to call",
    NO_ROOM: "○ no room to differ",
    UNMEASURED: "– not measured",
}


class Record:
    """What a lab measured, written as one JSON file.

    Its `data` holds settings, versions, counts, curves, results and claims with their verdicts; a
    lab may add entries of its own, ready for JSON.

    Args:
        lab: the lab's name, such as "01_lora".
        title: as on its first line.
        question: what the lab answers, in one sentence.
        settings: the values of its parameters cell.
        paper: title, arXiv id and date, or None.
        claims: what the lab has to decide, by key.
    """

    def __init__(
        self,
        lab: str,
        title: str,
        question: str,
        settings: dict[str, Any],
        paper: Any = None,
        claims: Mapping[str, Claim] | None = None,
    ):
        self._started = time.perf_counter()
        self._claims = dict(claims or {})
        self.data: dict[str, Any] = {
            "lab": lab,
            "title": title,
            "question": question,
            "paper": asdict(paper) | {"url": paper.url} if paper else None,
            "settings": settings,
            "versions": versions(),
            "counts": {},
            "curves": {},
            "results": [],
            "claims": [],
        }

    def count(self, label: str, count: ParameterCount) -> None:
        """Note the parameter count of a method under the label of its run.

        Args:
            label: of the run.
            count: of its method on the lab's backbone.
        """
        self.data["counts"][label] = count.to_dict()

    def result(self, run: Run, source: str) -> None:
        """Note what a run measured; its curves are kept apart from its results.

        Args:
            run: the run.
            source: "live" for a run of this session, "stored" for one of a stored record.
        """
        result = run.to_json()
        curves = result.pop("history", None)
        self.data["results"].append(result | {"source": source})
        if curves:
            self.data["curves"][f"{run.label}, seed {run.seed}, {source}"] = curves

    def known(self, key: str) -> Claim:
        """Give a claim of the lab.

        Args:
            key: its name in `claims`.

        Returns:
            The claim.

        Raises:
            ValueError: the lab has no claim of that name.
        """
        if key not in self._claims:
            known = ", ".join(self._claims) or "none"
            raise ValueError(f"no claim {key!r}; this lab has: {known}")
        return self._claims[key]

    def claim(
        self,
        key: str,
        ours: str,
        verdict: str,
        seeds: Sequence[int],
        why: str = "",
        numbers: dict[str, Any] | None = None,
        effects: Sequence[Effect] = (),
    ) -> None:
        """Decide a claim.

        Args:
            key: its name in `claims`.
            ours: what was measured, as a reader should see it.
            verdict: HOLDS, FAILS, CLOSE, NO_ROOM or UNMEASURED.
            seeds: the seeds behind our number.
            why: the reason when it does not hold, or a caveat.
            numbers: the numbers behind `ours`.
            effects: the differences that decide it, with their intervals.

        Raises:
            ValueError: an unknown claim or verdict, a claim decided twice, or a verdict other than
                HOLDS without a reason.
        """
        known = self.known(key)
        if verdict not in _MARKS:
            raise ValueError(f"verdict must be one of {', '.join(_MARKS)}; got {verdict!r}")
        if any(claim["key"] == key for claim in self.data["claims"]):
            raise ValueError(f"the claim {key!r} is decided already")
        if verdict != HOLDS and not why:
            raise ValueError(f"say why the verdict on {key!r} is {verdict!r}")
        self.data["claims"].append(
            {"key": key, **asdict(known), "printed": list(known.printed)}
            | {"ours": ours, "seeds": list(seeds)}
            | {"verdict": verdict, "why": why, "numbers": numbers or {}}
            | {"effects": [effect.to_json() for effect in effects]}
        )

    def unmeasured(self, *keys: str) -> None:
        """Note claims as not measured: they need stored runs, and these settings have none.

        Args:
            keys: names of the claims; see `claim` for what is refused.
        """
        why = "no stored runs of these settings; -p rerun_sweep true trains them, for hours"
        for key in keys:
            self.claim(key, ours="–", verdict=UNMEASURED, seeds=[], why=why)

    def claims_table(self) -> Table:
        """The claims as a table: verdict, the paper's number, ours, seeds."""
        rows = [
            {
                "verdict": _MARKS[c["verdict"]] + (f": {c['why']}" if c["why"] else ""),
                "paper says": c["statement"],
                "its number": f"{c['paper']} ({c['where']})",
                "you measured": c["ours"],
                "seeds": ", ".join(map(str, c["seeds"])) or "–",
            }
            for c in self.data["claims"]
        ]
        return Table(rows, caption=f"Paper says, you measured{self._uncertain()}")

    def _uncertain(self) -> str:
        """What the intervals are, and what the test split alone leaves open."""
        count = self.data.get("test_examples")
        if self.data.get("score", "accuracy") != "accuracy":
            return ". In parentheses 95 % intervals over seeds"
        scores = [result["test_accuracy"] for result in self.data["results"]]
        if not (count and scores):
            return ""
        name = self.data["settings"].get("task")
        task = f" of {name}" if name else ""
        p = fmean(scores)
        error = 100 * (p * (1 - p) / count) ** 0.5
        return (
            ". In parentheses 95 % intervals over seeds, or over what is paired; besides, "
            f"{count:,} test examples{task} leave one accuracy near {100 * p:.0f} % uncertain by "
            f"{error:.1f} points (one standard error)"
        )

    def forest(self) -> Picture:
        """Draw the differences that decide the claims, with their intervals."""
        rows = []
        for claim in self.data["claims"]:
            for i, effect in enumerate(claim["effects"]):
                printed = claim["printed"][i] if i < len(claim["printed"]) else None
                rows.append(effect | {"claim": claim["statement"], "printed": printed})
        return forest(rows)

    def write(self, folder: str | Path = ".") -> Path:
        """Write `<lab>.json` to `folder`, whole or not at all.

        Args:
            folder: made where it does not exist.

        Returns:
            The file.

        Raises:
            ValueError: a claim is left open.
            TypeError: an entry is not ready for JSON.
        """
        decided = {claim["key"] for claim in self.data["claims"]}
        if missing := [key for key in self._claims if key not in decided]:
            raise ValueError(f"claims without a verdict: {', '.join(missing)}")
        self.data["seconds"] = round(time.perf_counter() - self._started, 1)
        path = Path(folder) / f"{self.data['lab']}.json"
        with write_whole(path) as beside:
            beside.write_text(json.dumps(self.data, indent=1) + "\n")
        return path
