"""One seeded loop that trains whatever an attachment declares, and one that evaluates it.

history = train(attachment, tokenizer, task, epochs=3, learning_rate=1e-3)
evaluation = evaluate(model, tokenizer, task.test)
"""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from peftlab import anatomy
from peftlab.attach import Attachment, attachment_of
from peftlab.batches import IGNORED, LengthBuckets, answer_ids, choice_ids, collator, encode
from peftlab.evaluation import Evaluation
from peftlab.refuse import require_number
from peftlab.tasks import Example, Task
from peftlab.template import ANSWER


class NonFiniteLossError(ArithmeticError):
    """The loss or its gradient was no longer a number, and training stopped.

    Args:
        message: at which step, and why it probably happened.
        history: the steps before.
    """

    def __init__(self, message: str, history: History):
        super().__init__(message)
        self.history = history


@dataclass
class History:
    """What a training run did, step by step.

    Args:
        settings: the arguments of `train`.
        losses: training loss of each step.
        learning_rates: learning rate of each step.
        validation: one {"step", "accuracy", "loss"} for each evaluation of the validation split.
            Where a decoder answers with texts, the accuracy is the share of tokens that it
            predicts, each after the right ones: writing the answers would take longer than the
            epoch.
        seconds: wall-clock time, evaluations included.
        interrupted: whether Ctrl-C ended it early; the model keeps what it learned until then.
    """

    settings: dict[str, Any]
    losses: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    validation: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The history as plain values."""
        return dataclasses.asdict(self)


def train(
    attachment: Attachment,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    *,
    learning_rate: float,
    epochs: int = 3,
    batch_size: int = 32,
    warmup: float = 0.06,
    weight_decay: float = 0.01,
    max_grad_norm: float = 1.0,
    max_length: int = 128,
    seed: int = 0,
    validate: bool = True,
    progress: bool = True,
) -> History:
    """Train with AdamW, linear warmup and linear decay, on batches of similar lengths.

    The accelerate library chooses the device: the CPU, one GPU, or several GPUs under
    `accelerate launch`. The seed is given to torch's global generator. Ctrl-C ends the run and
    returns the history so far; the model keeps what it learned.

    Args:
        attachment: from `method.attach(model)`.
        tokenizer: of the same backbone.
        task: `task.train` is trained on; `task.validation` is evaluated if `validate`.
        learning_rate: the highest one, above 0. Small models need 10 to 100 times the papers'
            values. What a method trains at a rate of its own follows the same rise and fall.
        epochs: passes over the training split, at least 1.
        batch_size: the examples of each step, at least 1.
        warmup: share of the steps over which the learning rate rises, from 0 to 1.
        weight_decay: on matrices; biases, norms and other vectors are left out.
        max_grad_norm: gradients are scaled down to this norm.
        max_length: longer inputs are cut to this many tokens, and to the model's table of
            positions; see `peftlab.batches.encode`.
        seed: decides the order of the batches, and dropout.
        validate: whether to evaluate after each epoch.
        progress: whether to show a bar with the loss and the time left.

    Returns:
        The losses and learning rates of all steps, and what validation gave.

    Raises:
        NonFiniteLossError: the loss or a gradient is NaN or infinite; names the step and the likely
            cause.
        TypeError, ValueError: an argument is out of range, a split empty, or the attachment merged.
    """
    settings = {
        "learning_rate": learning_rate,
        "epochs": epochs,
        "batch_size": batch_size,
        "warmup": warmup,
        "weight_decay": weight_decay,
        "max_grad_norm": max_grad_norm,
        "max_length": max_length,
        "seed": seed,
        "validate": validate,
    }
    _check(attachment, task, settings)
    torch.manual_seed(seed)
    attachment.model.zero_grad(set_to_none=True)  # whatever an earlier backward left behind
    max_length = _fitting(attachment.model, max_length)
    encoded = encode(tokenizer, task.train, max_length)
    batches = LengthBuckets([len(e["input_ids"]) for e in encoded], batch_size, seed)
    loader = DataLoader(encoded, batch_sampler=batches, collate_fn=collator(tokenizer, "right"))
    accelerator = Accelerator()
    model, optimizer, loader = accelerator.prepare(
        attachment.model, _optimizer(attachment, learning_rate, weight_decay), loader
    )
    total = epochs * len(loader)
    rise = max(1, round(warmup * total))
    history = History(settings)
    started = time.perf_counter()
    bar = _bar(total, show=progress and accelerator.is_main_process)
    try:
        for epoch in range(epochs):
            batches.epoch = epoch
            model.train()
            for batch in loader:
                now = learning_rate * rate(len(history.losses), total, rise)
                for group in optimizer.param_groups:
                    group["lr"] = now * group["scale"]
                loss = model(**batch).loss
                accelerator.backward(loss)
                norm = accelerator.clip_grad_norm_(attachment.parameters(), max_grad_norm)
                value = loss.item()
                if not (math.isfinite(value) and math.isfinite(float(norm))):
                    cause = _diagnosis(attachment, history, value, float(norm), now)
                    raise NonFiniteLossError(cause, history)
                optimizer.step()
                optimizer.zero_grad()
                history.losses.append(value)
                history.learning_rates.append(now)
                bar.set_postfix(loss=f"{fmean(history.losses[-10:]):.3f}", refresh=False)
                bar.update()
            if validate:
                seen = _validate(
                    attachment.model, tokenizer, task.validation, batch_size, max_length
                )
                history.validation.append({"step": len(history.losses), **seen})
    except KeyboardInterrupt:
        history.interrupted = True
    finally:
        bar.close()
        attachment.model.eval()
        attachment.model.zero_grad(set_to_none=True)
        history.seconds = time.perf_counter() - started
    return history


def rate(step: int, total: int, rise: int) -> float:
    """The share of the highest learning rate at a step: a linear rise, then a linear fall.

    With 8 steps and a rise of 2, the shares are 1/2, 1, 1, 5/6, 4/6, 3/6, 2/6 and 1/6.

    Args:
        step: the steps taken before, from 0 to `total - 1`.
        total: the steps of the whole run.
        rise: the steps of the rise, from 1 to `total`.

    Returns:
        The share, above 0 and at most 1.
    """
    return min((step + 1) / rise, (total - step) / max(1, total - rise))


def decay_groups(parameters: Sequence[torch.Tensor], weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer, with weight decay on matrices only.

    Args:
        parameters: what trains.
        weight_decay: of the matrices; biases, norms and other vectors get none.

    Returns:
        One group for the matrices and one for the vectors; an empty group is left out.
    """
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _check(attachment: Attachment, task: Task, settings: dict[str, Any]) -> None:
    """Refuse what cannot be trained, before anything is touched."""
    require_number("learning_rate", settings["learning_rate"], 1e-12, 1e3)
    require_number("warmup", settings["warmup"], 0, 1)
    require_number("weight_decay", settings["weight_decay"], 0, 1e3)
    require_number("max_grad_norm", settings["max_grad_norm"], 1e-12)
    for name in ("epochs", "batch_size", "max_length"):
        require_number(name, settings[name], 1, integer=True)
    if attachment.merged:
        raise ValueError(
            "the attachment is merged, so that nothing of it would train; call unmerge() first"
        )
    if not attachment.parameters():
        raise ValueError(f"{attachment.method!r} has nothing to train on this model")
    task.split("train")
    if settings["validate"]:
        task.split("validation")


def _optimizer(
    attachment: Attachment, learning_rate: float, weight_decay: float
) -> torch.optim.AdamW:
    """AdamW over what trains; "scale" is a group's own learning rate as a share of the common."""
    groups = [
        group | {"scale": 1.0 if own is None else own / learning_rate}
        for own, parameters in attachment.parameters_by_rate().items()
        for group in decay_groups(parameters, weight_decay)
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


def _bar(total: int, show: bool) -> tqdm:
    return tqdm(
        total=total, unit="step", disable=not show, file=sys.stdout, ncols=88, mininterval=1
    )


def _diagnosis(
    attachment: Attachment, history: History, loss: float, norm: float, rate: float
) -> str:
    """At which step training stopped, and the likely cause."""
    step = len(history.losses) + 1
    what = f"loss {loss}" if not math.isfinite(loss) else f"a gradient of norm {norm}"
    broken = [
        name for name, p in attachment.model.named_parameters() if not torch.isfinite(p).all()
    ]
    if step == 1 and broken:
        cause = f"{broken[0]} was not finite before training: load the backbone again"
    elif attachment.model.dtype == torch.float16:
        cause = "float16 overflows beyond 65504: load the model in float32 or bfloat16"
    elif step == 1:
        cause = "the first batch gives it: look for labels that are all ignored or empty inputs"
    else:
        lower = history.settings["learning_rate"] / 10
        cause = f"the learning rate {rate:.2g} is probably too large: try {lower:.2g}"
    last = f"; the loss before was {history.losses[-1]:.3f}" if history.losses else ""
    return f"training stopped at step {step} with {what}{last}; {cause}"


@torch.no_grad()
def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    batch_size: int = 32,
    max_length: int = 128,
) -> Evaluation:
    """Predict every example, in eval mode; the model's mode is put back afterwards.

    Where texts answer, a decoder writes the likeliest token each time. It stops at its end token,
    or 8 tokens after the length of the longest reference. A gap "[Y]" is filled with as many
    tokens as its answer has: an encoder fills that many masks, and a decoder continues the text
    before the gap. Where examples have choices, the likeliest choice is the answer.

    Args:
        model: with the head that the examples need; `load_backbone(name, task)` gives one.
        tokenizer: of the same backbone.
        examples: at least one.
        batch_size: how many examples go through the model at a time, at least 1.
        max_length: longer inputs are cut, see `train`.

    Returns:
        The prediction for each example, in the order of the examples, and the mean loss.

    Raises:
        ValueError: `examples` is empty, or does not fit the tokenizer (see `batches.encode`)
            or the model's head; or a number is out of range.
    """
    if not examples:
        raise ValueError("there is nothing to evaluate: the split is empty")
    for name, value in (("batch_size", batch_size), ("max_length", max_length)):
        require_number(name, value, 1, integer=True)
    writing = anatomy.head_of(model) in ("causal_lm", "masked_lm")
    if writing != bool(examples[0].references):
        raise ValueError(
            f"{type(model).__name__} cannot answer these examples, which ask for "
            f"{'texts' if examples[0].references else 'labels'}; "
            "load the model with load_backbone(name, task)"
        )
    max_length = _fitting(model, max_length)
    encoded = encode(tokenizer, examples, max_length)
    with _eval_mode(model):
        loss, answers = _answers(model, tokenizer, examples, encoded, batch_size)
        if not examples[0].references:
            predictions = answers
        elif _writes(model, examples):
            predictions = _written(model, tokenizer, examples, encoded, batch_size)
        else:
            predictions = [
                example.references[0]  # by its tokens: decoding may not give back case and spaces
                if list(answer) == _labelled(row)
                else tokenizer.decode(answer).strip()
                for example, answer, row in zip(examples, answers, encoded, strict=True)
            ]
    return Evaluation(tuple(examples), tuple(predictions), loss)


def _fitting(model: PreTrainedModel, max_length: int) -> int:
    """The length asked for, or less where the model has no positions for so many tokens."""
    return min(max_length, _room(model, max_length))


def _room(model: PreTrainedModel, otherwise: int) -> int:
    """The tokens of the input that have a position beside the virtual tokens.

    Where the model has no limit, this is what the caller gives as `otherwise`.
    """
    room = anatomy.position_room(model.config)
    if room is None:
        room = getattr(model.config, "max_position_embeddings", None)
    if room is None:
        return otherwise
    attachment = attachment_of(model)
    return room - (attachment.virtual_tokens if attachment else 0)


def _writes(model: PreTrainedModel, examples: Sequence[Example]) -> bool:
    """Whether the model writes its answers, instead of giving labels or filling a gap."""
    free = bool(examples[0].references) and ANSWER not in examples[0].text
    return free and anatomy.head_of(model) == "causal_lm"


@torch.no_grad()
def _validate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    batch_size: int,
    max_length: int,
) -> dict[str, float]:
    """Accuracy and loss; where a decoder would write, its predicted tokens are counted instead."""
    if not _writes(model, examples):
        found = evaluate(model, tokenizer, examples, batch_size, max_length)
        return {"accuracy": found.accuracy, "loss": found.loss}
    encoded = encode(tokenizer, examples, max_length)
    with _eval_mode(model):
        loss, answers = _answers(model, tokenizer, examples, encoded, batch_size)
    wanted = [token for row in encoded for token in _labelled(row)]
    given = [token for answer in answers for token in answer]
    right = sum(w == g for w, g in zip(wanted, given, strict=True))
    return {"accuracy": right / len(wanted), "loss": loss}


def _answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    encoded: Sequence[dict[str, Any]],
    batch_size: int,
) -> tuple[float, list[Any]]:
    """Mean loss, and the likeliest label of each example or of each of its labelled tokens."""
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]["input_ids"]))
    collate, device = collator(tokenizer, "right"), next(model.parameters()).device
    shift = 1 if anatomy.head_of(model) == "causal_lm" else 0  # there a token predicts the next
    choices = choice_ids(tokenizer, examples)
    answers: list[Any] = [None] * len(encoded)
    loss_sum, label_count = 0.0, 0
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = {
            name: tensor.to(device) for name, tensor in collate([encoded[i] for i in rows]).items()
        }
        output = model(**batch)
        labels = batch["labels"]
        counted = int((labels != IGNORED).sum())
        loss_sum, label_count = loss_sum + output.loss.item() * counted, label_count + counted
        if choices is None:
            best = output.logits.argmax(-1).cpu()  # (B,) or (B, T)
        else:
            best = torch.tensor(choices)[output.logits[..., choices].argmax(-1).cpu()]  # (B, T)
        for i, answer, label in zip(rows, best, labels.cpu(), strict=True):
            if answer.ndim == 0:
                answers[i] = answer.item()
            else:
                kept = label[shift:] != IGNORED
                answers[i] = tuple(answer[: len(answer) - shift][kept].tolist())
    return loss_sum / max(1, label_count), answers


def _written(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    encoded: Sequence[dict[str, Any]],
    batch_size: int,
) -> list[str]:
    """Greedy continuations of the prompts, which are padded on the left."""
    prompts = [row["input_ids"][: row["labels"].count(IGNORED)] for row in encoded]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    longest = max(len(answer_ids(tokenizer, text)) for e in examples for text in e.references)
    texts = [""] * len(prompts)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        unpadded = [
            {"input_ids": prompts[i], "attention_mask": [1] * len(prompts[i])} for i in rows
        ]
        inputs = tokenizer.pad(unpadded, padding_side="left", return_tensors="pt")
        width = inputs["input_ids"].shape[1]
        written = model.generate(
            input_ids=inputs["input_ids"].to(model.device),
            attention_mask=inputs["attention_mask"].to(model.device),
            max_new_tokens=min(longest + 8, _room(model, width + longest + 8) - width),
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        for i, tokens in zip(rows, written[:, width:], strict=True):
            texts[i] = tokenizer.decode(tokens, skip_special_tokens=True).strip()
    return texts


@contextmanager
def _eval_mode(model: PreTrainedModel) -> Iterator[None]:
    mode = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(mode)


def _labelled(row: dict[str, Any]) -> list[int]:
    return [label for label in row["labels"] if label != IGNORED]
