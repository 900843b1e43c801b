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
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from peftlab import anatomy, paths
from peftlab.backbones import quiet
from peftlab.batches import IGNORED
from peftlab.corpus import corpus_version, mask_tokens, token_rows, train_tokenizer
from peftlab.files import sha256, versions, write_whole
from peftlab.recipes import SCATTERED, Recipe
from peftlab.training import decay_groups

CHECKPOINT = "checkpoint.safetensors"


def new_model(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Build the model of a recipe, with random weights and sinusoidal positions.

    Args:
        recipe: gives the sizes and the seed. It sets torch's global seed, too.
        tokenizer: gives the size of the vocabulary, and the ids of the special tokens.

    Returns:
        GPT-2 or BERT with its language-model head, on the CPU.
    """
    torch.manual_seed(recipe.seed)
    heads, vocabulary = recipe.width // 32, len(tokenizer)
    if recipe.decoder:
        model: PreTrainedModel = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=vocabulary,
                n_positions=recipe.row,
                n_embd=recipe.width,
                n_layer=recipe.layers,
                n_head=heads,
                initializer_range=recipe.init_std,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        positions = model.transformer.wpe.weight
    else:
        model = BertForMaskedLM(
            BertConfig(
                vocab_size=vocabulary,
                max_position_embeddings=recipe.row,
                hidden_size=recipe.width,
                intermediate_size=4 * recipe.width,
                num_hidden_layers=recipe.layers,
                num_attention_heads=heads,
                initializer_range=recipe.init_std,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        positions = model.bert.embeddings.position_embeddings.weight
    with torch.no_grad():
        positions.copy_(sinusoids(recipe.row, recipe.width, recipe.init_std))
    return model


def sinusoids(positions: int, width: int, std: float) -> Tensor:
    """Sines and cosines of falling frequency (Vaswani et al., 2017, section 3.5, arXiv 1706.03762).

    Args:
        positions: T, how many.
        width: D, even.
        std: the standard deviation that the entries are scaled to.

    Returns:
        (T, D): the sines in the first half of the columns, the cosines in the second.
    """
    rates = 10_000 ** (-torch.arange(0, width, 2) / width)
    angles = torch.arange(positions)[:, None] * rates  # (T, D/2)
    return torch.cat([angles.sin(), angles.cos()], 1) * math.sqrt(2) * std


def loss_of(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    ids: Tensor,
    causal: bool,
    generator: torch.Generator,
    scatter: bool = False,
) -> Tensor:
    """Mean cross-entropy, in nats, of the next tokens or of the masked tokens.

    Args:
        model: GPT-2 or BERT with its language-model head.
        tokenizer: the tokenizer of the same backbone.
        ids: (B, T) on the CPU.
        causal: whether to predict next tokens; an encoder gets a causal mask for that. Otherwise
            masked tokens are predicted.
        generator: the source of randomness for masks and positions.
        scatter: whether about half of the rows start at a random position instead of the first;
            used with masked tokens alone.

    Returns:
        The loss, a tensor of one number.
    """
    device = model.device
    if causal:
        mask = None
        if not anatomy.family(model.config).decoder:
            side = ids.shape[1]
            mask = torch.ones(side, side, dtype=torch.bool, device=device).tril()
            mask = mask.expand(len(ids), 1, side, side)  # (B, 1, T, T)
        ids = ids.to(device)
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
        labels = ids[:, 1:]
    else:
        inputs, labels = (x.to(device) for x in mask_tokens(ids, tokenizer, generator))
        places = None
        if scatter:
            length = ids.shape[1]
            last = model.config.max_position_embeddings - length
            start = torch.randint(last + 1, (len(ids), 1), generator=generator)
            start *= torch.randint(2, start.shape, generator=generator)
            places = (start + torch.arange(length)).to(device)  # (B, T)
        logits = model(input_ids=inputs, position_ids=places).logits
    return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED)


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
    tokenizer = _tokenizer(recipe, work)
    model = new_model(recipe, tokenizer).to(device)
    optimizer = torch.optim.AdamW(
        decay_groups(list(model.parameters()), 0.01),
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    state = _resume(recipe, work, model, optimizer)
    held_out = token_rows(tokenizer, recipe, -2, 16)
    bar = tqdm(
        total=recipe.steps,
        initial=state["step"],
        unit="step",
        disable=not progress,
        file=sys.stdout,
        ncols=88,
        mininterval=1,
    )
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
        _checkpoint(work, model, optimizer, state)
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


def _tokenizer(recipe: Recipe, work: Path) -> PreTrainedTokenizerBase:
    """The tokenizer for a run.

    A run that goes on takes the tokenizer of its checkpoint. A run that makes a bundled backbone
    again takes the tokenizer of that backbone. Any other run trains a new one.

    A tokenizer that is trained again is not exactly the same: words of equal frequency come in
    another order. Then even the first loss would differ.
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


def _state_names(model: PreTrainedModel, optimizer: torch.optim.Optimizer) -> Iterator[tuple]:
    """Name, parameter and optimizer state of each parameter, in the order of the optimizer."""
    names = {id(p): name for name, p in model.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            yield names[id(parameter)], parameter, optimizer.state[parameter]


def _checkpoint(
    work: Path,
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
) -> None:
    """Write weights, optimizer state and progress into one file, so that they always agree."""
    tensors = {}
    for name, parameter, kept in _state_names(model, optimizer):
        tensors[f"weight/{name}"] = parameter.detach()
        tensors |= {f"{key}/{name}": value for key, value in kept.items()}
    with write_whole(work / CHECKPOINT) as beside:
        save_file(tensors, beside, metadata={"state": json.dumps(state)})


def _resume(
    recipe: Recipe, work: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Read the last checkpoint, if there is one, into the model and the optimizer.

    Returns:
        The progress of the run: recipe, steps done, seconds, loss curve.

    Raises:
        ValueError: the checkpoint is damaged, or belongs to another recipe.
    """
    path = work / CHECKPOINT
    settings = json.loads(json.dumps(dataclasses.asdict(recipe))) | {"corpus": corpus_version()}
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
        for name, parameter, kept in _state_names(model, optimizer):
            try:
                parameter.copy_(tensors[f"weight/{name}"])
                kept["step"] = tensors[f"step/{name}"]
                for key in ("exp_avg", "exp_avg_sq"):
                    kept[key] = tensors[f"{key}/{name}"].view_as(parameter)
            except (KeyError, RuntimeError) as error:
                raise ValueError(_damaged(path, work, error)) from error
    return state


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


def write_checksums(folder: Path) -> None:
    """Write SHA256SUMS, the checksums of all files that a backbone is loaded from.

    Args:
        folder: of the backbone.
    """
    names = sorted(p.name for p in folder.iterdir() if p.suffix in (".json", ".safetensors"))
    with write_whole(folder / "SHA256SUMS") as beside:
        beside.write_text("".join(f"{sha256(folder / name)}  {name}\n" for name in names))
