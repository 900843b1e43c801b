"""One seeded loop that trains whatever an attachment declares, and one that evaluates it.

history = train(attachment, tokenizer, task, epochs=3, learning_rate=1e-3)
evaluation = evaluate(model, tokenizer, task.test)
"""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from peftlab import anatomy
from peftlab.attach import Attachment
from peftlab.refuse import require_number
from peftlab.tasks import Task
from peftlab.training.batches import LengthBuckets, collator, encode
from peftlab.training.evaluate import fitting_length, look
from peftlab.training.forward import answered


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
        settings: the numbers and switches that `train` was given.
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
    validate: int = 1,
    progress: bool = True,
    loss: Callable[[dict[str, Tensor]], Tensor] | None = None,
) -> History:
    """Train with AdamW, linear warmup and linear decay, on batches of similar lengths.

    The accelerate library chooses the device: the CPU, one GPU, or several GPUs under
    `accelerate launch`. The seed is given to torch's global generator. Ctrl-C ends the run and
    returns the history so far; the model keeps what it learned.

    Args:
        attachment: from `method.attach(model)`.
        tokenizer: of the same backbone.
        task: `task.train` is trained on; `task.validation` is looked at, see `validate`.
        learning_rate: the highest one, above 0. Small models need 10 to 100 times the papers'
            values. What a method trains at a rate of its own follows the same rise and fall.
        epochs: passes over the training split, at least 1.
        batch_size: the examples of each step, at least 1.
        warmup: share of the steps over which the learning rate rises, from 0 to 1.
        weight_decay: on matrices; biases, norms and other vectors are left out.
        max_grad_norm: gradients are scaled down to this norm.
        max_length: longer inputs are cut to this many tokens, and to the model's table of
            positions; see `peftlab.training.batches.encode`.
        seed: decides the order of the batches, and dropout.
        validate: epochs between two looks at the validation split; the last epoch ends with one.
            0 never looks.
        progress: whether to show a bar with the loss and the time left.
        loss: gives the loss of a batch, such as that of a student (`Distiller.loss`); None takes
            the model's own.

    Returns:
        The losses and learning rates of all steps, and what validation gave.

    Raises:
        NonFiniteLossError: the loss or a gradient is NaN or infinite; names the step and the likely
            cause.
        TypeError, ValueError: an argument is out of range, a split empty, the attachment merged, or
            virtual tokens leave no room for a text.
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
    max_length = fitting_length(attachment.model, max_length)
    encoded = encode(tokenizer, task.train, max_length)
    batches = LengthBuckets([len(e["input_ids"]) for e in encoded], batch_size, seed)
    loader = DataLoader(encoded, batch_sampler=batches, collate_fn=collator(tokenizer, "right"))
    accelerator = Accelerator()
    model, optimizer, loader = accelerator.prepare(
        attachment.model, _optimizer(attachment, learning_rate, weight_decay), loader
    )
    writes = anatomy.head_of(attachment.model) == "causal_lm"
    total = epochs * len(loader)
    rise = max(1, round(warmup * total))
    history = History(settings)
    started = time.perf_counter()
    bar = step_bar(total, show=progress and accelerator.is_main_process)
    try:
        for epoch in range(epochs):
            batches.epoch = epoch
            model.train()
            for batch in loader:
                now = learning_rate * rate(len(history.losses), total, rise)
                for group in optimizer.param_groups:
                    group["lr"] = now * group["scale"]
                lost = loss(batch) if loss else answered(model, batch, writes).loss
                accelerator.backward(lost)
                norm = accelerator.clip_grad_norm_(attachment.parameters(), max_grad_norm)
                value = lost.item()
                if not (math.isfinite(value) and math.isfinite(float(norm))):
                    cause = _diagnosis(attachment, history, value, float(norm), now)
                    raise NonFiniteLossError(cause, history)
                optimizer.step()
                optimizer.zero_grad()
                history.losses.append(value)
                history.learning_rates.append(now)
                bar.set_postfix(loss=f"{fmean(history.losses[-10:]):.3f}", refresh=False)
                bar.update()
            last = epoch + 1 == epochs
            if validate and (last or (epoch + 1) % validate == 0):
                seen = look(attachment.model, tokenizer, task.validation, batch_size, max_length)
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
    require_number("learning_rate", settings["learning_rate"], 1e-12, 1e3, example=1e-3)
    require_number("warmup", settings["warmup"], 0, 1)
    require_number("weight_decay", settings["weight_decay"], 0, 1e3)
    require_number("max_grad_norm", settings["max_grad_norm"], 1e-12)
    for name, example in {"epochs": 3, "batch_size": 16, "max_length": 128}.items():
        require_number(name, settings[name], 1, integer=True, example=example)
    if not isinstance(settings["validate"], bool):
        require_number("validate", settings["validate"], 0, integer=True, example=1)
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


def step_bar(total: int, show: bool, done: int = 0) -> tqdm:
    """Make the progress bar of a training loop.

    Args:
        total: steps of the whole run.
        show: whether it is shown.
        done: steps that were taken before.

    Returns:
        The bar.
    """
    return tqdm(
        total=total,
        initial=done,
        unit="step",
        disable=not show,
        file=sys.stdout,
        ncols=88,
        mininterval=1,
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
