"""Checkpoints of a pretraining run: written whole, read back, refused when damaged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from peftlab import paths
from peftlab.files import write_whole
from peftlab.pretraining.corpus import corpus_version, train_tokenizer
from peftlab.pretraining.recipes import Recipe

CHECKPOINT = "checkpoint.safetensors"


def tokenizer_of(recipe: Recipe, work: Path) -> PreTrainedTokenizerBase:
    """Find the tokenizer for a run, or train it.

    A run that goes on takes the tokenizer of its checkpoint. A run that makes a bundled backbone
    again takes the tokenizer of that backbone. Any other run trains a new one.

    A tokenizer that is trained again is not exactly the same: words of equal frequency come in
    another order. Then even the first loss would differ.

    Args:
        recipe: of the run.
        work: the folder of the run; the tokenizer is kept in it.

    Returns:
        The tokenizer.

    Raises:
        ValueError: the tokenizer in the folder is damaged.
    """
    kept = work / "tokenizer"
    if not (work / CHECKPOINT).is_file():  # a tokenizer alone may be another recipe's
        bundled = paths.DATASETS / "backbones" / recipe.name
        same = False
        if (bundled / "pretraining.json").is_file():
            made = json.loads((bundled / "pretraining.json").read_text())["recipe"]
            same = (made["corpus"], made["seed"]) == (corpus_version(), recipe.seed)
        tokenizer = (
            PreTrainedTokenizerFast.from_pretrained(bundled) if same else train_tokenizer(recipe)
        )
        tokenizer.save_pretrained(kept)
    try:
        return PreTrainedTokenizerFast.from_pretrained(kept)
    except Exception as error:
        raise ValueError(_damaged(kept, work, error)) from error


def _damaged(path: Path, work: Path, error: Exception) -> str:
    """What to say about a file that cannot be read."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"{path} is damaged ({reason}); delete {work} to start again"


def state_names(model: PreTrainedModel, optimizer: torch.optim.Optimizer) -> Iterator[tuple]:
    """Pair each parameter with its name and its optimizer state, in the order of the optimizer.

    Args:
        model: which trains.
        optimizer: over parameters of the model.

    Yields:
        Name, parameter, and the dictionary of its optimizer state.
    """
    names = {id(p): name for name, p in model.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            yield names[id(parameter)], parameter, optimizer.state[parameter]


def checkpoint(
    work: Path,
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
) -> None:
    """Write weights, optimizer state and progress into one file, so that they always agree.

    Args:
        work: the folder of the run.
        model: which trains.
        optimizer: of the model.
        state: the progress of the run, ready for JSON.
    """
    tensors = {}
    for name, parameter, kept in state_names(model, optimizer):
        tensors[f"weight/{name}"] = parameter.detach()
        tensors |= {f"{key}/{name}": value for key, value in kept.items()}
    with write_whole(work / CHECKPOINT) as beside:
        save_file(tensors, beside, metadata={"state": json.dumps(state)})


def resume(
    settings: dict[str, Any], work: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Read the last checkpoint, if there is one, into the model and the optimizer.

    Args:
        settings: everything that decides the run, ready for JSON; those of the checkpoint must be
            equal.
        work: the folder of the run.
        model: gets the weights.
        optimizer: gets the state of each parameter.

    Returns:
        The progress of the run: its settings as "recipe", steps done, seconds, loss curve.

    Raises:
        ValueError: the checkpoint is damaged, or belongs to a run of other settings.
    """
    path = work / CHECKPOINT
    settings = json.loads(json.dumps(settings))  # as the checkpoint gives them back: no tuples
    if not path.is_file():
        return {"recipe": settings, "step": 0, "seconds": 0.0, "curve": []}
    try:
        with safe_open(path, "pt") as file:
            state = json.loads(file.metadata()["state"])
        tensors = load_file(path, device=str(model.device))
    except Exception as error:
        raise ValueError(_damaged(path, work, error)) from error
    if state["recipe"] != settings:
        differs = [k for k in settings if state["recipe"].get(k) != settings[k]]
        raise ValueError(
            f"{path} belongs to another run: {', '.join(differs)} differ; "
            f"delete {work} to start again"
        )
    with torch.no_grad():
        for name, parameter, kept in state_names(model, optimizer):
            try:
                parameter.copy_(tensors[f"weight/{name}"])
                kept["step"] = tensors[f"step/{name}"]
                for key in ("exp_avg", "exp_avg_sq"):
                    kept[key] = tensors[f"{key}/{name}"].view_as(parameter)
            except (KeyError, RuntimeError) as error:
                raise ValueError(_damaged(path, work, error)) from error
    return state
