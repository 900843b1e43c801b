"""The sweeps behind the stored records: many runs, and what is computed from their checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from peftlab import checkpoints, compare
from peftlab.ablation import bias_change, span_ablation
from peftlab.analysis import (
    mean_amplification,
    mean_overlap,
    overlap,
    random_directions,
    stored_updates,
    weights,
)
from peftlab.backbones import load_backbone
from peftlab.compare import Trial
from peftlab.prompts import attention_mass, vote_accuracy
from peftlab.separation import PROMPTED
from peftlab.tasks import load_task
from peftlab.training import evaluate

ROWS, COLUMNS = 8, 16  # size of the similarity maps
VOTED = "facts/capital"  # what ensembles of prompts answer


def lora_sweep(
    trials: Sequence[Trial],
    small: Trial,
    large: Trial,
    backbone: str,
    task: str,
    seeds: Sequence[int],
    *,
    controls: Sequence[Trial] = (),
    control_seeds: Sequence[int] = (),
    folder: str = "01_lora_runs",
) -> dict[str, Any]:
    """Run all trials of lab 01 and write them as `01_lora_sweep.json` to the working directory.

    Args:
        trials: what to run; `small` and `large` among them.
        small: LoRA at a small rank.
        large: LoRA at a large rank.
        backbone: see `load_backbone`.
        task: see `load_task`.
        seeds: at least two.
        controls: those of the trials that run with more seeds.
        control_seeds: their seeds, `seeds` among them.
        folder: keeps finished runs, so that an interrupted sweep goes on.

    Returns:
        "runs"; "full_spectra", singular values by matrix of the first full fine-tuning; "overlaps",
        similarity maps (8, 16) of small against large rank, of two seeds at the large rank, and of
        random directions; "amplification", one record a seed at the small rank.

    Raises:
        ValueError: fewer than two seeds, `small`, `large` or a full fine-tuning is not among the
            trials, or the controls lack a seed.
    """
    _require_two(seeds)
    if small not in trials or large not in trials or small.method.rank >= large.method.rank:
        raise ValueError("small and large must be two of the trials, small with the smaller rank")
    if not any(trial.method.name == "full" and trial.pretrained for trial in trials):
        raise ValueError("one of the trials must be full fine-tuning, to compare its update with")
    if controls and not set(seeds) <= set(control_seeds):
        raise ValueError(f"control_seeds must hold the seeds {seeds!r}, got {control_seeds!r}")
    where = {"backbone": backbone, "task": task, "folder": folder}
    others = [trial for trial in trials if trial not in controls]
    runs = compare.run_trials(controls, seeds=control_seeds, **where) if controls else []
    runs += compare.run_trials(others, seeds=seeds, **where) if others else []
    lora = {
        (trial.method.rank, seed): stored_updates(
            compare.run_folder(folder, trial, backbone, task, seed)
        )
        for trial in (small, large)
        for seed in seeds
    }
    few, many = small.method.rank, large.method.rank
    across = [mean_overlap(lora[few, s], lora[many, s], ROWS, COLUMNS) for s in seeds]
    between = [
        mean_overlap(lora[many, a], lora[many, b], ROWS, COLUMNS) for a, b in pairwise(seeds)
    ]
    chance = [
        overlap(
            random_directions(ROWS, delta.shape[1], 2 * i),
            random_directions(COLUMNS, delta.shape[1], 2 * i + 1),
        )
        for i, delta in enumerate(lora[many, seeds[0]].values())
    ]
    frozen = weights(load_backbone(backbone, load_task(task))[0])
    full = next(run for run in runs if run["method"] == "full" and run["pretrained"])
    study = {
        "full_spectra": {"seed": full["seed"], "spectra": full["spectra"]},
        "overlaps": {
            f"r={few} and r={many}": _mean(across),
            f"r={many}, two seeds": _mean(between),
            "random directions": _mean(chance),
        },
        "amplification": [
            {"seed": s, "rank": few} | mean_amplification(frozen, lora[few, s], few) for s in seeds
        ],
    }
    return _store("01_lora", runs, backbone, task, **study)


def adapter_sweep(
    trials: Sequence[Trial],
    main: Trial,
    backbone: str,
    task: str,
    seeds: Sequence[int],
    *,
    folder: str = "02_adapter_runs",
) -> dict[str, Any]:
    """Run all trials of lab 02 and write them as `02_adapter_sweep.json` to the working directory.

    Args:
        trials: what to run; `main` among them.
        main: the adapters whose layers are taken away afterwards.
        backbone: see `load_backbone`.
        task: see `load_task`.
        seeds: at least two.
        folder: keeps finished runs, so that an interrupted sweep goes on.

    Returns:
        "runs", and "ablation", test accuracy without the adapters of layers i to j, a map a seed.

    Raises:
        ValueError: fewer than two seeds, or `main` is not among the trials.
    """
    _require_two(seeds)
    if main not in trials:
        raise ValueError("main must be one of the trials")
    runs = compare.run_trials(trials, backbone=backbone, task=task, seeds=seeds, folder=folder)
    data, maps = load_task(task), []
    for seed in seeds:
        model, tokenizer = load_backbone(backbone, data, seed=seed)
        checkpoints.load(compare.run_folder(folder, main, backbone, task, seed), model)
        maps.append(
            span_ablation(model, lambda m=model, t=tokenizer: evaluate(m, t, data.test).accuracy)
        )
    return _store("02_adapter", runs, backbone, task, ablation=maps)


def bitfit_sweep(
    trials: Sequence[Trial],
    main: Trial,
    backbone: str,
    task: str,
    seeds: Sequence[int],
    *,
    curves: Sequence[Trial] = (),
    curve_seeds: Sequence[int] = (),
    folder: str = "07_bitfit_runs",
) -> dict[str, Any]:
    """Run all trials of lab 07 and write them as `07_bitfit_sweep.json` to the working directory.

    Args:
        trials: what to run; `main` among them.
        main: BitFit on all biases, whose movement is looked at afterwards.
        backbone: see `load_backbone`.
        task: see `load_task`.
        seeds: at least one.
        curves: more trials, which run with other seeds.
        curve_seeds: their seeds.
        folder: keeps finished runs, so that an interrupted sweep goes on.

    Returns:
        "runs", and "moves", how far each kind of bias moved by layer, a map a seed.

    Raises:
        ValueError: `main` is not among the trials.
    """
    if main not in trials:
        raise ValueError("main must be one of the trials")
    where = {"backbone": backbone, "task": task, "folder": folder}
    runs = compare.run_trials(trials, seeds=seeds, **where)
    runs += compare.run_trials(curves, seeds=curve_seeds, **where) if curves else []
    data, moves = load_task(task), []
    for seed in seeds:
        model, _ = load_backbone(backbone, data, seed=seed)
        run = compare.run_folder(folder, main, backbone, task, seed)
        moves.append(bias_change(checkpoints.load(run, model)))
    return _store("07_bitfit", runs, backbone, task, moves=moves)


def prompt_sweep(
    trials: Sequence[Trial],
    lengths: Mapping[int, Trial],
    sizes: Mapping[str, Sequence[Trial]],
    voter: Trial,
    backbone: str,
    task: str,
    seeds: Sequence[int],
    *,
    folder: str = "03_prompt_tuning_runs",
) -> dict[str, Any]:
    """Run all trials of lab 03 and write them as `03_prompt_tuning_sweep.json` to the working
    directory.

    Args:
        trials: what to run on `backbone`.
        lengths: those of them that differ in the length of the prompt, by length.
        sizes: what to run on other backbones, by name.
        voter: prompt tuning on `PROMPTED`, three times five seeds of which vote.
        backbone: see `load_backbone`.
        task: see `load_task`.
        seeds: at least two.
        folder: keeps finished runs, so that an interrupted sweep goes on.

    Returns:
        "runs"; "mass", the attention that the text gives to the prompt by length, a number a layer,
        averaged over the seeds; "ensembles", single accuracies and that of the vote.

    Raises:
        ValueError: fewer than two seeds, or a length's trial is not among the trials.
    """
    _require_two(seeds)
    if not all(trial in trials for trial in lengths.values()):
        raise ValueError("the trials of `lengths` must be among the trials")
    runs = compare.run_trials(trials, backbone=backbone, task=task, seeds=seeds, folder=folder)
    for other, own in sizes.items():
        runs += compare.run_trials(own, backbone=other, task=task, seeds=seeds, folder=folder)
    mass = {
        str(P): torch.tensor(
            [_mass(compare.run_folder(folder, trial, backbone, task, s), trial, backbone, task)
             for s in seeds]
        ).mean(0).tolist()
        for P, trial in lengths.items()
    }  # fmt: skip
    groups = [range(start, start + 5) for start in (0, 5, 10)]
    where = {"backbone": PROMPTED, "task": VOTED}
    single = compare.run_trials([voter], seeds=range(15), folder=folder, **where)
    data = voter.task(VOTED)
    model, tokenizer = load_backbone(PROMPTED, data)
    attachment = voter.method.attach(model)
    ensembles = []
    for group in groups:
        rows = [
            next(iter(checkpoints.read(compare.run_folder(folder, voter, PROMPTED, VOTED, s))[1]
                 .values()))
            for s in group
        ]  # fmt: skip
        found = vote_accuracy(attachment, tokenizer, data.test, rows)
        alone = [vote_accuracy(attachment, tokenizer, data.test, [row]) for row in rows]
        ensembles.append({"seeds": list(group), "single": alone, "vote": found})
    return _store("03_prompt_tuning", runs + single, backbone, task, mass=mass, ensembles=ensembles)


def _mass(run: Path, trial: Trial, backbone: str, task: str) -> list[float]:
    """The attention on a trained prompt, on 32 texts of the validation split."""
    data = trial.task(task)
    model, tokenizer = load_backbone(backbone, data)
    attachment = checkpoints.load(run, model)
    texts = [e.text for e in data.validation[:32]]
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right")
    return attention_mass(attachment, {k: batch[k] for k in ("input_ids", "attention_mask")})


def p_tuning_sweep(
    trials: Sequence[Trial],
    everywhere: Sequence[Trial],
    relations: Sequence[str],
    backbone: str,
    task: str,
    seeds: Sequence[int],
    *,
    folder: str = "05_p_tuning_runs",
) -> dict[str, Any]:
    """Run all trials of lab 05 and write them as `05_p_tuning_sweep.json` to the working directory.

    Args:
        trials: what to run on `task`.
        everywhere: what to run on every relation.
        relations: tasks, such as "facts/capital".
        backbone: see `load_backbone`.
        task: see `load_task`.
        seeds: at least one.
        folder: keeps finished runs, so that an interrupted sweep goes on.

    Returns:
        "runs".
    """
    where = {"backbone": backbone, "seeds": seeds, "folder": folder}
    runs = []
    for relation in dict.fromkeys([task, *relations]):
        own = [
            *(trials if relation == task else ()),
            *(everywhere if relation in relations else ()),
        ]
        runs += compare.run_trials(compare.distinct(own), task=relation, **where)
    return _store("05_p_tuning", runs, backbone, task)


def _require_two(seeds: Sequence[int]) -> None:
    if len(set(seeds)) < 2:
        raise ValueError(f"seeds must be at least two, to compare one with another; got {seeds!r}")


def _store(
    lab: str, runs: Sequence[dict[str, Any]], backbone: str, task: str, **more: Any
) -> dict[str, Any]:
    """Write runs, without what is bulky, and what was computed from them; and return them."""
    runs = [
        {key: value for key, value in run.items() if key not in ("spectra", "history")}
        | {"validation": run["history"]["validation"]}
        for run in runs
    ]
    command = f"peftlab run {lab} -p rerun_sweep true -p backbone {backbone} -p task {task}"
    compare.store(f"{lab}_sweep", runs, command, ".", **more)
    return {"runs": runs, **more}


def _mean(maps: Sequence[list[list[float]]]) -> list[list[float]]:
    return torch.tensor(maps).mean(0).tolist()
