"""Distil a teacher on plain text, as DistilBERT was made: masked tokens, soft targets, cosine.

distill(Distillation(), "lab-bert", "my.txt", "my-student")   # peftlab distill lab-bert my.txt ...

The step's number alone decides which texts a step reads, which tokens it hides and what dropout
leaves out. After each interval a checkpoint is written. So a run that was killed goes on from its
last checkpoint, and ends where an uninterrupted run would end.

Axes: B texts, T tokens, V vocabulary.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from peftlab import anatomy
from peftlab.backbones import load_language_model, quiet
from peftlab.files import versions, write_whole
from peftlab.methods.distillation.method import Distillation
from peftlab.pretraining.card import write_checksums
from peftlab.pretraining.corpus import hide
from peftlab.pretraining.resume import checkpoint, resume
from peftlab.refuse import require_number
from peftlab.training import decay_groups, fitting_length, rate, step_bar
from peftlab.training.batches import IGNORED, LengthBuckets

HELD_OUT = 50  # one piece of text in so many is never trained on
LOOKED_AT = 512  # pieces of held-out text at most
SMOOTHING = 0.7  # a token is hidden with a chance of its frequency to the power of minus this


def distill(
    method: Distillation,
    teacher: str | Path,
    text: str | Path | Sequence[str],
    folder: str | Path,
    *,
    steps: int = 1000,
    learning_rate: float = 5e-4,
    batch_size: int = 32,
    max_length: int = 128,
    masked: float = 0.15,
    warmup: float = 0.05,
    interval: int = 100,
    seed: int = 0,
    device: str | None = None,
    progress: bool = True,
) -> Path:
    """Train a student on text; if there is a checkpoint of this run, go on from there.

    Args:
        method: the student's layers, and the losses.
        teacher: an encoder with its language-model head, see `load_backbone`.
        text: a text file in UTF-8, each line a text of its own; or the texts. Longer texts than
            `max_length` become several pieces.
        folder: gets the student; the checkpoint is beside it, with ".partial" in its name.
        steps: of the whole run, at least 1. The authors read their corpus three times.
        learning_rate: the highest one, above 0; the authors have 5e-4, at 4,000 texts a step.
        batch_size: pieces of text in a step.
        max_length: in tokens.
        masked: share of the tokens that are hidden, above 0 and below 1.
        warmup: share of the steps over which the learning rate rises; then it falls to 0.
        interval: steps between two checkpoints, at least 1.
        seed: of the order of the texts, the masks, dropout, and what the student does not copy.
        device: "cpu" or "cuda"; None takes a GPU if there is one.
        progress: whether to show a bar.

    Returns:
        The student's folder in Hugging Face format: config, weights, tokenizer, distillation.json
        (settings, counts, the losses of each interval) and SHA256SUMS.

    Raises:
        ValueError: a number is out of range, the folder exists, there is no text, the teacher does
            not fit, the checkpoint belongs to another run, or the loss is not finite.
        KeyboardInterrupt: Ctrl-C; the work of at most one interval is lost.
    """
    for name, value in {"steps": steps, "batch_size": batch_size, "interval": interval}.items():
        require_number(name, value, 1, integer=True, example=100)
    require_number("learning_rate", learning_rate, 1e-12, 1e3, example=5e-4)
    require_number("masked", masked, 1e-3, 1, example=0.15, below=True)
    require_number("max_length", max_length, 4, integer=True, example=128)
    require_number("warmup", warmup, 0, 1, example=0.05)
    require_number("seed", seed, 0, 2**32, integer=True)
    folder = Path(folder)
    if folder.exists():
        raise ValueError(f"{folder} exists already; delete it, or choose another folder")
    work = folder.with_name(f"{folder.name}.partial")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    taught, tokenizer = load_language_model(teacher)
    student = method.student(taught.to(device), seed)
    check_tokenizer(tokenizer, taught)
    distiller = method.distiller(taught, student)
    pieces = _pieces(tokenizer, text, fitting_length(taught, max_length))
    settings = {
        "teacher": Path(teacher).name,
        "teacher_weights": _weights(taught),
        "text": _fingerprint(pieces),
        "method": method.hyperparameters(),
        "steps": steps,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "max_length": max_length,
        "masked": masked,
        "warmup": warmup,
        "seed": seed,
    }
    optimizer = torch.optim.AdamW(
        decay_groups(list(student.parameters()), 0.01),
        lr=learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    state = resume(settings, work, student, optimizer)
    _check_writable(work)
    seen = pieces[HELD_OUT - 1 :: HELD_OUT][:LOOKED_AT]
    if seen:
        del pieces[HELD_OUT - 1 : HELD_OUT * len(seen) : HELD_OUT]
    chances = _chances(tokenizer, pieces, student.config.vocab_size)
    order = _steps(pieces, batch_size, seed, state["step"])
    rise = max(1, round(warmup * steps))
    bar = step_bar(steps, progress, state["step"])
    if "teacher_held_out" not in state and seen:
        state["teacher_held_out"] = round(_held_out(taught, tokenizer, seen, chances, masked), 4)
    with bar:
        while state["step"] < steps:
            started, sums = time.perf_counter(), {}
            last = min(steps, (state["step"] // interval + 1) * interval)
            count = last - state["step"]
            student.train()
            for step in range(state["step"], last):
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate * rate(step, steps, rise)
                draw = torch.Generator().manual_seed(1_000_003 * seed + step)
                batch = _batch(tokenizer, next(order), chances, masked, draw)
                torch.manual_seed(int(torch.randint(2**62, (), generator=draw)))  # of dropout
                losses = distiller.losses({k: v.to(device) for k, v in batch.items()})
                optimizer.zero_grad()
                losses["total"].backward()
                norm = torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
                _check_finite(float(losses["total"].detach() + norm), step, learning_rate, work)
                optimizer.step()
                for name, loss in losses.items():
                    sums[name] = sums.get(name, 0.0) + float(loss.detach()) / count
                bar.update()
            state["step"] = last
            state["seconds"] += time.perf_counter() - started
            point = {"step": last} | {k: round(v, 4) for k, v in sums.items()}
            if seen:
                own = _held_out(student, tokenizer, seen, chances, masked)
                _check_finite(own, last - 1, learning_rate, work)
                point["held_out"] = round(own, 4)
            state["curve"].append(point)
            bar.set_postfix(loss=f"{sums['total']:.3f}")
            checkpoint(work, student, optimizer, state)
    return _finish(folder, work, student, tokenizer, state | {"counts": distiller.report()})


def _pieces(
    tokenizer: PreTrainedTokenizerBase, text: str | Path | Sequence[str], max_length: int
) -> list[array]:
    """The token ids of all texts, in pieces of at most `max_length`, special tokens included."""
    if isinstance(text, str | Path):
        if not os.path.isfile(text):  # a whole text as its name is no file, either
            raise ValueError(f"there is no text file {text}; give one with a text on each line")
        try:
            lines = Path(text).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"{text} is no text in UTF-8: {error}; save it as UTF-8") from error
    else:
        lines = list(text)
        if strange := [line for line in lines if not isinstance(line, str)]:
            raise TypeError(f"the texts must be strings, got {strange[0]!r}")
    special, found = set(tokenizer.all_special_ids), []
    for some in _parts([line for line in lines if line.strip()], 1000):
        rows = tokenizer(
            some, truncation=True, max_length=max_length, return_overflowing_tokens=True
        )
        found += [array("i", ids) for ids in rows["input_ids"] if not special.issuperset(ids)]
    if not found:
        where = text if isinstance(text, str | Path) else "the sequence"
        raise ValueError(
            f"there is no text in {where} of which the tokenizer knows a word; "
            "give a text on each line"
        )
    return found


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """Refuse a tokenizer that cannot hide tokens, or whose tokens the model does not have.

    Args:
        tokenizer: of the teacher.
        model: the teacher.

    Raises:
        ValueError: the tokenizer has no mask token or no padding token, or too many tokens.
    """
    for kind in ("mask", "pad"):
        if getattr(tokenizer, f"{kind}_token_id") is None:
            raise ValueError(
                f"the tokenizer has no {kind}_token, which masked tokens need; "
                "set it and save the tokenizer in the teacher's folder"
            )
    if len(tokenizer) > model.config.vocab_size:
        raise ValueError(
            f"the tokenizer has {len(tokenizer)} tokens, and the model {model.config.vocab_size}; "
            "give the model its own tokenizer"
        )


def _check_writable(work: Path) -> None:
    """Refuse a folder that cannot be written before hours of work, not after them."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=work).close()
    except OSError as error:
        raise ValueError(
            f"cannot write to {work}: {error.strerror}; choose a folder of your own"
        ) from error


def _check_finite(value: float, step: int, learning_rate: float, work: Path) -> None:
    if not math.isfinite(value):
        raise ValueError(
            f"the loss or its gradient was not finite at step {step + 1}; delete {work} and try "
            f"the learning rate {learning_rate / 10:g}"
        )


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _fingerprint(pieces: Sequence[array]) -> str:
    found = hashlib.sha256()
    for piece in pieces:
        found.update(len(piece).to_bytes(4, "little") + piece.tobytes())
    return found.hexdigest()[:16]


def _weights(model: PreTrainedModel) -> str:
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def _chances(tokenizer: PreTrainedTokenizerBase, pieces: Sequence[array], size: int) -> Tensor:
    """How readily each token is hidden, (V,): by frequency^-0.7; special tokens never are."""
    counts = torch.zeros(size)
    for some in _parts(pieces, 10_000):
        ids = torch.tensor([i for piece in some for i in piece])
        counts += torch.bincount(ids, minlength=size)
    chances = counts.clamp(min=1) ** -SMOOTHING
    chances[tokenizer.all_special_ids] = 0
    return chances


def _steps(pieces: Sequence[array], batch_size: int, seed: int, done: int) -> Iterator[list[array]]:
    """The pieces of each step, without end, from the step after `done` on."""
    buckets = LengthBuckets([len(piece) for piece in pieces], batch_size, seed)
    buckets.epoch, skip = divmod(done, len(buckets))
    while True:
        for batch in list(buckets)[skip:]:
            yield [pieces[i] for i in batch]
        buckets.epoch, skip = buckets.epoch + 1, 0


def _batch(
    tokenizer: PreTrainedTokenizerBase,
    pieces: Sequence[array],
    chances: Tensor,
    masked: float,
    draw: torch.Generator,
) -> dict[str, Tensor]:
    """Pad on the right and hide tokens; teacher and student see the same ones."""
    width = max(map(len, pieces))
    ids = torch.full((len(pieces), width), tokenizer.pad_token_id)  # (B, T)
    mask = torch.zeros_like(ids)
    for row, piece in enumerate(pieces):
        ids[row, : len(piece)] = torch.tensor(piece)
        mask[row, : len(piece)] = 1
    weights = (chances[ids] * mask).flatten()
    count = max(1, round(masked * int((weights > 0).sum())))
    hidden = torch.zeros(ids.numel(), dtype=torch.bool)
    hidden[torch.multinomial(weights, count, generator=draw)] = True
    inputs, labels = hide(ids, hidden.view(ids.shape), tokenizer, draw)
    return {"input_ids": inputs, "attention_mask": mask, "labels": labels}


@torch.no_grad()
def _held_out(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pieces: Sequence[array],
    chances: Tensor,
    masked: float,
) -> float:
    """The loss of masked tokens in text that no step reads, with the same masks in each call."""
    model.eval()
    draw, total, count = torch.Generator().manual_seed(0), 0.0, 0
    for some in _parts(sorted(pieces, key=len), 32):
        batch = _batch(tokenizer, some, chances, masked, draw)
        batch = {name: value.to(model.device) for name, value in batch.items()}
        hidden = int((batch["labels"] != IGNORED).sum())
        total += float(model(**batch).loss) * hidden
        count += hidden
    return total / count


def held_out_loss(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    masked: float = 0.15,
) -> float:
    """Measure how well a model fills in masked tokens of given texts.

    Args:
        model: an encoder with its language-model head, at most 128 tokens of each piece are read.
        tokenizer: of the model.
        texts: at least one.
        masked: share of the tokens that are hidden; the same ones in each call.

    Returns:
        The mean loss of the hidden tokens, in nats.

    Raises:
        ValueError: there is no text, `masked` is out of range, or the tokenizer does not fit.
    """
    require_number("masked", masked, 1e-3, 1, example=0.15, below=True)
    check_tokenizer(tokenizer, model)
    pieces = _pieces(tokenizer, texts, fitting_length(model, 128))
    chances = torch.ones(model.config.vocab_size)
    chances[tokenizer.all_special_ids] = 0
    return _held_out(model, tokenizer, pieces, chances, masked)


def _finish(
    folder: Path,
    work: Path,
    student: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    state: dict[str, Any],
) -> Path:
    """Write the student whole: everything beside, then the folder gets its name."""
    made = work / "student"
    shutil.rmtree(made, ignore_errors=True)  # of a run that was killed here
    with quiet():
        student.eval().cpu().save_pretrained(made)
    names = [n for n in tokenizer.model_input_names if n != "token_type_ids"]
    tokenizer.model_input_names = names  # DistilBERT has no token types
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.save_pretrained(made)
    counts: anatomy.ParameterCount = state.pop("counts")
    record = state | {"counts": counts.to_dict(), "versions": versions()}
    with write_whole(made / "distillation.json") as beside:
        beside.write_text(json.dumps(record, indent=1) + "\n")
    write_checksums(made)
    made.rename(folder)
    shutil.rmtree(work)
    return folder
