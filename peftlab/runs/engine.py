"""Many runs on one task and backbone: every trial with every seed, on this machine.

Each run is kept as soon as it is finished.

trials = [Trial(label="LoRA r=8", method=LoRA(rank=8), learning_rate=5e-3, epochs=5)]
runs = run_trials(trials, backbone="minilm", task="reviews", seeds=[0, 1, 2], folder="runs")
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import joblib
import torch
from tqdm import tqdm

from peftlab import insight
from peftlab.attach import Attachment
from peftlab.files import write_whole
from peftlab.runs.trial import Run, Trial, run_trial

Keep = Callable[[Attachment, Run, Path], Run]


def keep_what_is_small(attachment: Attachment, run: Run, folder: Path) -> Run:
    """Save a run's checkpoint; of a whole trained model keep the spectra of its update instead.

    Args:
        attachment: trained.
        run: its run.
        folder: where to save the checkpoint.

    Returns:
        The run. Where the whole backbone was trained it has the spectra of its update, and no
        checkpoint is saved. A run that trained nothing but the head has no checkpoint either.
    """
    count = attachment.report()
    if count.trained >= count.backbone:
        moved = insight.updates(attachment)
        return replace(run, spectra={n: insight.spectrum(delta) for n, delta in moved.items()})
    if count.trained:
        attachment.save(folder)
    return run


def run_trials(
    trials: Sequence[Trial],
    *,
    backbone: str,
    task: str,
    seeds: Sequence[int],
    folder: str | Path,
    jobs: int = 2,
    progress: bool = True,
    keep: Keep = keep_what_is_small,
) -> list[Run]:
    """Run every trial with every seed, `jobs` side by side with one thread each.

    A finished run is kept in `folder`, with its checkpoint, and is not run again: an interrupted
    call goes on where it stopped. Delete the folder when the backbone's or the task's files change.

    Args:
        trials: at least one, with different labels.
        backbone: see `load_backbone`.
        task: see `load_task`.
        seeds: at least one.
        folder: keeps the runs.
        jobs: runs side by side, at least 1.
        progress: show a bar over the runs.
        keep: gets the trained attachment, its run and the run's folder, before the run is written;
            returns the run to write. See `keep_what_is_small`.

    Returns:
        What `run_trial` says of each run, all seeds of the first trial first.

    Raises:
        ValueError: two trials have one label, or there is nothing to run.
        KeyboardInterrupt: Ctrl-C; finished runs are kept, a half-trained one is not.
    """
    labels = [trial.label for trial in trials]
    if not trials or not seeds:
        raise ValueError("nothing to run: give at least one trial and one seed")
    if len(set(labels)) < len(labels):
        raise ValueError(
            f"two trials are called {next(x for x in labels if labels.count(x) > 1)!r}"
        )
    work = [
        (run_folder(Path(folder).absolute(), trial, backbone, task, seed) / "run.json", trial, seed)
        for trial in trials
        for seed in seeds
    ]
    # by path: labels apart, two trials may be one setting, which then runs once
    left = {path: (trial, seed) for path, trial, seed in work if not path.is_file()}
    here = Path.cwd()
    jobs_left = [
        joblib.delayed(_run_and_keep)(trial, backbone, task, seed, path.parent, jobs, keep, here)
        for path, (trial, seed) in left.items()
    ]
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    for _ in tqdm(
        parallel(jobs_left), total=len(jobs_left), unit="run", disable=not progress, ncols=88
    ):
        pass
    runs = [(Run.from_json(json.loads(path.read_text())), trial) for path, trial, _ in work]
    return [replace(run, label=trial.label) for run, trial in runs]


def run_folder(folder: str | Path, trial: Trial, backbone: str, task: str, seed: int) -> Path:
    """Name the folder where `run_trials` keeps a run.

    The name depends on every setting of the trial, but not on its label.

    Args:
        folder: as given to `run_trials`.
        trial: what was trained.
        backbone: as given to `run_trials`.
        task: as given to `run_trials`.
        seed: one of those given to `run_trials`.

    Returns:
        The path, whether or not the run exists.
    """
    key = json.dumps([trial.settings(), backbone, task, seed], sort_keys=True)
    return Path(folder) / f"{trial.method.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _run_and_keep(
    trial: Trial,
    backbone: str,
    task: str,
    seed: int,
    folder: Path,
    jobs: int,
    keep: Keep,
    here: Path,
) -> None:
    os.chdir(here)  # joblib keeps workers, which may have started elsewhere
    if jobs > 1:  # workers that share cores; a single run keeps all of them
        torch.set_num_threads(1)
    attachment, run = run_trial(trial, backbone, task, seed, progress=False)
    if run.history["interrupted"]:  # half a run must not pass for a whole one
        raise KeyboardInterrupt
    run = keep(attachment, run, folder)
    with write_whole(folder / "run.json") as beside:
        beside.write_text(json.dumps(run.to_json()))
