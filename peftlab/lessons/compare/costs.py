"""What a method costs besides parameters: the time of a step, its memory, and the latency."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from peftlab.backbones import load_backbone
from peftlab.insight import activation_bytes, latency, time_ratio
from peftlab.lessons.start.memory import Step, reference_step, step_ratio
from peftlab.runs.trial import Trial
from peftlab.tasks import Task, load_task
from peftlab.training.batches import collator, encode

SENTENCES = 16  # of a step
REPEATS = 15  # of a forward pass


def costs(
    trials: Mapping[str, Trial], backbone: str, task: str, seed: int
) -> dict[str, dict[str, float]]:
    """Measure every method on the same sentences; no parameter moves.

    Args:
        trials: by method.
        backbone: see `load_backbone`.
        task: see `load_task`.
        seed: of the heads, and of what the methods draw.

    Returns:
        By method "time", a step's over that of full fine-tuning; "memory", MiB of a step: weights,
        gradients, state of the optimizer and activations; "stored", MiB in the checkpoint beside
        the head; "latency", the time of one sentence over the plain backbone's, without what only
        training needs; and "merged", the same once merged, where the method can be.
    """
    found: dict[str, dict[str, float]] = {}
    text = load_task(task)
    plain, tokenizer = load_backbone(backbone, text, seed=seed)
    asked, first = (_batch(tokenizer, text, n) for n in (SENTENCES, 1))
    reference = reference_step(backbone, text, seed, asked)
    for name, trial in trials.items():
        data = trial.task(task)  # a template may stand around the texts
        batch, one = (_batch(tokenizer, data, n) for n in (SENTENCES, 1))
        model, _ = load_backbone(backbone, data, seed=seed)
        torch.manual_seed(seed)
        attachment = trial.method.attach(model)
        count = attachment.report()
        held = sum(p.numel() for p in model.parameters())
        trains = count.trained + count.head
        own = {"time": step_ratio(attachment, batch, reference), "stored": count.checkpoint_mib()}
        kept = float(activation_bytes(model.train(), batch))
        own["memory"] = sum(Step(held - trains, trains, (kept,)).parts(1, 1).values())
        timed = latency(attachment, partial(_ratio, plain, first, model, one))
        own["latency"] = timed.pop("unmerged")
        found[name] = own | timed
    return found


def _batch(tokenizer: PreTrainedTokenizerBase, task: Task, sentences: int) -> dict[str, Tensor]:
    return collator(tokenizer, "right")(encode(tokenizer, task.train[:sentences], 128))


def _ratio(
    plain: nn.Module, asked: Mapping[str, Tensor], model: nn.Module, batch: Mapping[str, Tensor]
) -> float:
    """The time of a batch over that of the plain backbone."""
    plain.eval(), model.eval()
    with torch.no_grad():
        return time_ratio(lambda: plain(**asked), lambda: model(**batch), repeats=REPEATS)[0]
