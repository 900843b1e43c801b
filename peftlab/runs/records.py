"""Stored records: runs, and what was computed from them, in a file that is written once.

study = stored("01_lora_sweep")
find_runs(study["runs"], trial, "minilm", "reviews")
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from peftlab import paths
from peftlab.files import versions, write_whole
from peftlab.runs.trial import Run, Trial, rounded


def store(
    name: str, runs: Iterable[Run], command: str, folder: str | Path, **more: Any
) -> dict[str, Any]:
    """Write runs as a stored record, which names the command that made it.

    Args:
        name: of the record, and of its file without the suffix.
        runs: as `run_trials` gives them; what is bulky in them is left out.
        command: makes the record again.
        folder: where to write the file.
        more: further entries of the record, ready for JSON.

    Returns:
        The record, as `stored` gives it. Its numbers are not rounded; those in the file have five
        significant digits.
    """
    runs = list(runs)
    record = {"name": name, "command": command, "versions": versions()}
    plain = [run.to_json(bulky=False) for run in runs]
    with write_whole(Path(folder) / f"{name}.json") as beside:
        beside.write_text(json.dumps(rounded(record | {"runs": plain} | more)) + "\n")
    return record | {"runs": runs} | more


def stored(name: str) -> dict[str, Any]:
    """Read a stored record that comes with the project.

    Args:
        name: of a file in `datasets/records`, without its suffix.

    Returns:
        "name", "command", "versions", "runs" (see `Run`), and the further entries that `store` was
        given.

    Raises:
        ValueError: there is none of that name.
    """
    path = paths.DATASETS / "records" / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.json"))) or "none"
        raise ValueError(f"no stored record {name!r}; there are: {known}")
    record = json.loads(path.read_text())
    return record | {"runs": [Run.from_json(run) for run in record["runs"]]}


def find_runs(runs: Iterable[Run], trial: Trial, backbone: str, task: str) -> list[Run]:
    """Find the runs of exactly this trial on this backbone and task, with any seed and label.

    Args:
        runs: as `run_trials` gives them or a stored record has them.
        trial: whose settings must be equal, all of them.
        backbone: as given to `run_trials`.
        task: as given to `run_trials`.

    Returns:
        The runs in their order; empty where there is none.
    """
    here = [run for run in runs if (run.backbone, run.task) == (backbone, task)]
    return [run for run in here if run.same_setting(trial)]


def accuracies(runs: Iterable[Run], trial: Trial, *, backbone: str, task: str) -> list[float]:
    """Find the test accuracies of a trial; see `find_runs`.

    Args:
        runs: as `run_trials` gives them or a stored record has them.
        trial: whose settings must be equal, all of them.
        backbone: as given to `run_trials`.
        task: as given to `run_trials`.

    Returns:
        From 0 to 1, one for each seed.
    """
    return [run.test_accuracy for run in find_runs(runs, trial, backbone, task)]


def agreement(
    live: Mapping[str, Run],
    scores: Mapping[str, Sequence[float]],
    tolerance: float,
    score: str = "accuracy",
) -> list[dict[str, str]]:
    """Compare runs made just now with the range of the stored seeds.

    Args:
        live: runs by name.
        scores: stored accuracies by name, one for each seed; empty where nothing is stored.
        tolerance: how far outside of the range a run still agrees, this distance included; accuracy
            from 0 to 1.
        score: which score of a run is compared, see `Run.score`.

    Returns:
        A row for each run: its label, its accuracy, the stored range, and whether the two agree.
    """
    slack = tolerance + 1e-9  # 0.07 - 0.03 is a little more than 0.04
    rows = []
    for name, run in live.items():
        now, others = run.score(score), scores[name]
        row = {"run": run.label, "live": f"{100 * now:.1f} %"}
        if not others:
            rows.append(row | {"stored": "no stored run of this setting", "agrees": "–"})
            continue
        low, high = min(others), max(others)
        agrees = low - slack <= now <= high + slack
        between = f"{100 * low:.1f} to {100 * high:.1f} %"
        rows.append(row | {"stored": between, "agrees": "yes" if agrees else "no"})
    return rows


def steps_to(run: Run, accuracy: float) -> int:
    """Find the first step at which a run reached an accuracy on validation.

    Args:
        run: with its looks at the validation split.
        accuracy: from 0 to 1.

    Returns:
        The step; the last step of the run if it never got there.
    """
    reached = [look["step"] for look in run.validation if look["accuracy"] >= accuracy]
    return reached[0] if reached else run.validation[-1]["step"]
