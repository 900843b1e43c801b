"""Many runs on one task and backbone: every trial with every seed, here or on a cluster.

Each run is kept as soon as it is finished.

trials = [Trial(label="LoRA r=8", method=LoRA(rank=8), learning_rate=5e-3, epochs=5)]
runs = run_trials(trials, backbone="minilm", task="reviews", seeds=[0, 1, 2], folder="runs")
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import torch
from tqdm import tqdm

from peftlab import insight
from peftlab.attach import Attachment
from peftlab.files import write_text_whole
from peftlab.runs.trial import Run, Trial, run_trial

Keep = Callable[[Attachment, Run, Path], Run]


@dataclass(frozen=True)
class Failure:
    """A run that ended with an error.

    Args:
        label: of its trial.
        seed: of the run.
        error: what was raised.
    """

    label: str
    seed: int
    error: Exception

    def __str__(self) -> str:
        said = " ".join(str(self.error).split())
        return f"{self.label}, seed {self.seed}: {type(self.error).__name__}: {said}"


def keep_the_run_alone(attachment: Attachment, run: Run, folder: Path) -> Run:
    """Save no checkpoint.

    Args:
        attachment: trained; it is let go.
        run: its run.
        folder: where a checkpoint would go.

    Returns:
        The run as it is.
    """
    return run


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
    scheduler: str | None = None,
    failures: list[Failure] | None = None,
    takes: Mapping[str, float] | None = None,
    title: str | None = None,
) -> list[Run]:
    """Run every trial with every seed, `jobs` side by side with one thread each.

    A finished run is kept in `folder`, with its checkpoint, and is not run again: an interrupted
    call goes on where it stopped. A run that fails does not stop the others; its error is written
    to `failed.txt` in its folder, and the next call tries it again. Delete the folder when the
    backbone's or the task's files change.

    Args:
        trials: at least one, with different labels.
        backbone: see `load_backbone`.
        task: see `load_task`.
        seeds: at least one.
        folder: keeps the runs.
        jobs: runs side by side, at least 1; on a cluster its workers say how many.
        progress: show a bar over the runs.
        keep: gets the trained attachment, its run and the run's folder, before the run is written;
            returns the run to write. See `keep_what_is_small`.
        scheduler: address of a Dask scheduler whose workers do the runs, such as
            "tcp://10.0.0.5:8786"; they need this package and, under the same paths, the folders
            that backbone, task and `folder` name. None starts processes here.
        failures: gets the runs that failed, in no order. With None the first error is raised once
            all others are done.
        takes: about how many seconds a run takes, by the label of its trial, so that the longest
            begin first and the bar knows what time is left; None takes all for equal.
        title: of the bar.

    Returns:
        What `run_trial` says of each run, all seeds of the first trial first; without those that
        failed.

    Raises:
        ValueError: two trials have one label, there is nothing to run, or a kept run was altered.
        ModuleNotFoundError: a scheduler is given, and the package distributed is not installed.
        OSError: no scheduler answers at that address.
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
    alone = jobs == 1 and scheduler is None
    # milliseconds, since a sum of fractions may pass the bar's end
    costs = {path: round(1000 * takes[t.label]) if takes else 1 for path, (t, _) in left.items()}
    jobs_left = [
        joblib.delayed(_run)(path, *left[path], backbone, task, alone, keep, here)
        for path in sorted(left, key=lambda path: -costs[path])
    ]
    failed: list[Failure] = []
    bar = tqdm(
        total=sum(costs.values()),
        disable=not (progress and left),
        ncols=88,
        smoothing=0,
        mininterval=0,
        miniters=0,
        desc=title,
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
        postfix=f"0 of {len(left)} runs",
    )
    with _workers(jobs, scheduler) as parallel, bar:
        done = parallel(jobs_left) if jobs_left else ()
        for count, (path, found) in enumerate(done, 1):
            bar.set_postfix_str(f"{count} of {len(left)} runs", refresh=False)
            bar.update(costs[path])
            trial, seed = left[path]
            if isinstance(found, Exception):
                failed.append(Failure(trial.label, seed, found))
                write_text_whole(path.with_name("failed.txt"), f"{failed[-1]}\n")
            else:
                write_text_whole(path, json.dumps(found))
                path.with_name("failed.txt").unlink(missing_ok=True)
    if failed and failures is None:
        raise failed[0].error
    if failures is not None:
        failures += failed
    return [replace(_read(path), label=trial.label) for path, trial, _ in work if path.is_file()]


def _read(path: Path) -> Run:
    try:
        return Run.from_json(json.loads(path.read_text()))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(
            f"{path} was altered and is no run any more; delete it, and it is made again"
        ) from error


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


def cluster_cores(scheduler: str) -> int:
    """Count the cores of a cluster.

    Args:
        scheduler: its address, see `run_trials`.

    Returns:
        At least 1.

    Raises:
        ModuleNotFoundError: the package distributed is not installed.
        OSError: no scheduler answers at that address, or it has no worker.
    """
    with _client(scheduler) as client:
        return sum(client.ncores().values())


@contextmanager
def _client(scheduler: str) -> Iterator[Any]:
    try:
        from dask.distributed import Client
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a cluster needs the package distributed: pip install 'peftlab[cluster]'"
        ) from error
    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise OSError(
            f"no scheduler answers at {scheduler!r}; start one with `dask scheduler`, which says "
            "its address"
        ) from error
    with client:
        if not client.ncores():
            raise OSError(
                f"the scheduler at {scheduler} has no worker; start one with "
                f"`dask worker {scheduler} --nthreads 1`"
            )
        yield client


@contextmanager
def _workers(jobs: int, scheduler: str | None) -> Iterator[joblib.Parallel]:
    """Processes of this machine, or the workers of a Dask cluster."""
    if scheduler is None:
        with warnings.catch_warnings():  # between two runs a worker that grew is replaced
            warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
            yield joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
        return
    with _client(scheduler), joblib.parallel_config(backend="dask"):
        yield joblib.Parallel(return_as="generator_unordered")


def _run(
    path: Path,
    trial: Trial,
    seed: int,
    backbone: str,
    task: str,
    alone: bool,
    keep: Keep,
    here: Path,
) -> tuple[Path, dict[str, Any] | Exception]:
    """What a worker does: one run, ready to be written at `path`, or why there is none."""
    try:
        os.chdir(here)  # workers are kept, and may have started elsewhere
        if not alone:  # workers that share cores; a single run keeps all of them
            torch.set_num_threads(1)
        attachment, run = run_trial(trial, backbone, task, seed, progress=False)
        if run.history["interrupted"]:  # half a run must not pass for a whole one
            raise KeyboardInterrupt
        return path, keep(attachment, run, path.parent).to_json()
    except Exception as error:
        return path, _sendable(error)


def _sendable(error: Exception) -> Exception:
    """The error, or its text where it does not survive the way between two processes."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
