"""Pretrain the bundled backbones on the project's own corpus, from random weights.

pretrain(RECIPES["lab-gpt-nano"], "my-backbones")   # on the command line: peftlab pretrain ...

A run is cut into intervals. The rows of an interval depend on two numbers alone: the seed of the
recipe, and the number of the interval. After each interval a checkpoint is written. So a run that
was killed can go on from its last checkpoint, and it ends where an uninterrupted run would end.

Axes: B rows, T tokens, D width.
"""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from peftlab.backbones import quiet
from peftlab.files import versions, write_whole
from peftlab.pretraining.card import write_checksums
from peftlab.pretraining.corpus import corpus_version, token_rows
from peftlab.pretraining.recipes import SCATTERED, Recipe
from peftlab.pretraining.resume import CHECKPOINT, checkpoint, resume, tokenizer_of
from peftlab.pretraining.start import loss_of, new_model
from peftlab.training import decay_groups, step_bar


def pretrain(
    recipe: Recipe,
    folder: str | Path,
    *,
    device: str | None = None,
    progress: bool = True,
) -> Path:
    """Run a recipe to its end; if there is a checkpoint of it, go on from there.

    Args:
        recipe: one of `RECIPES`, or a variation of it.
        folder: where to write. The backbone gets a subfolder with the name of the recipe, in
            Hugging Face format. The checkpoint gets another, whose name ends with ".partial".
        device: "cpu" or "cuda"; None takes a GPU if there is one.
        progress: whether to show a progress bar.

    Returns:
        The backbone's folder: config.json, model.safetensors in float16, the tokenizer,
        pretraining.json (recipe, versions, hardware, loss curve) and SHA256SUMS.

    Raises:
        ValueError: the folder holds a finished backbone of that name, a damaged checkpoint, or a
            checkpoint of another recipe; or the loss is not finite.
        KeyboardInterrupt: Ctrl-C was pressed. The work of at most one interval is lost.
    """
    folder = Path(folder)
    work = folder / f"{recipe.name}.partial"
    if (folder / recipe.name).exists() and not (work / CHECKPOINT).is_file():
        raise ValueError(
            f"{folder / recipe.name} exists already; delete it, or choose another folder"
        )
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = tokenizer_of(recipe, work)
    model = new_model(recipe, tokenizer).to(device)
    optimizer = torch.optim.AdamW(
        decay_groups(list(model.parameters()), 0.01),
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    settings = dataclasses.asdict(recipe) | {"corpus": corpus_version()}
    state = resume(settings, work, model, optimizer)
    held_out = token_rows(tokenizer, recipe, -2, 16)
    bar = step_bar(recipe.steps, progress, state["step"])
    for number in range(state["step"] // recipe.interval, recipe.steps // recipe.interval):
        started = time.perf_counter()
        batches = token_rows(tokenizer, recipe, number, recipe.interval)
        generator = torch.Generator().manual_seed(1000 * recipe.seed + number)
        scatter = recipe.phase(number) in SCATTERED
        model.train()
        losses = []
        for ids in batches:
            step = state["step"]
            for group in optimizer.param_groups:
                group["lr"] = _learning_rate(recipe, step)
            causal = step < recipe.causal * recipe.steps
            with torch.autocast(device, torch.bfloat16):
                loss = loss_of(model, tokenizer, ids, causal, generator, scatter)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
            state["step"] += 1
            bar.update()
        mean = sum(losses) / len(losses)
        if not math.isfinite(mean):
            raise ValueError(
                f"the loss was {mean} within steps {step - recipe.interval + 1} to {step + 1}; "
                f"the checkpoint before is kept in {work}; lower the learning rate"
            )
        state["seconds"] += time.perf_counter() - started
        state["curve"].append(
            {
                "step": state["step"],
                "phase": "causal" if causal else "masked",
                "train_loss": round(mean, 4),
                "held_out_loss": round(_held_out(model, tokenizer, held_out, causal), 4),
            }
        )
        bar.set_postfix(loss=f"{mean:.3f}")
        checkpoint(work, model, optimizer, state)
    bar.close()
    return _finish(recipe, folder, model, tokenizer, state, device)


def _learning_rate(recipe: Recipe, step: int) -> float:
    """The learning rate of a step.

    It rises for 200 steps and then falls to a tenth, along a cosine. At each restart it goes back
    to half of its highest value and falls again (Loshchilov and Hutter, 2017, SGDR, arXiv
    1608.03983).
    """
    start, length, peak = 0, recipe.fall * recipe.steps, recipe.learning_rate
    ends = [round(share * recipe.steps) for share in (*recipe.restarts, 1.0)]
    for again, end in pairwise(ends):
        if step >= again:
            start, length, peak = again, end - again, recipe.learning_rate / 2
    warm = min(1.0, (step + 1) / 200)
    return peak * warm * (0.55 + 0.45 * math.cos(math.pi * (step - start) / length))


@torch.no_grad()
def _held_out(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Tensor, causal: bool
) -> float:
    """The loss on documents that no step trains on, with the same masks in each call."""
    model.eval()
    generator = torch.Generator().manual_seed(0)
    losses = [loss_of(model, tokenizer, ids, causal, generator) for ids in rows]
    return torch.stack(losses).mean().item()


def _finish(
    recipe: Recipe,
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    state: dict[str, Any],
    device: str,
) -> Path:
    """Write the finished backbone: weights, tokenizer, the record of the run, and checksums."""
    target = folder / recipe.name
    with quiet():
        model.cpu().half().save_pretrained(target)
    (target / "generation_config.json").unlink(missing_ok=True)
    tokenizer.save_pretrained(target)
    hardware = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {platform.machine()}"
    record = state | {
        "tokens": state["step"] * recipe.row * recipe.rows,
        "parameters": sum(p.numel() for p in model.parameters()),
        "hardware": f"{hardware}, {torch.get_num_threads()} threads",
        "versions": versions(),
    }
    with write_whole(target / "pretraining.json") as beside:
        beside.write_text(json.dumps(record, indent=1) + "\n")
    write_checksums(target)
    return target
