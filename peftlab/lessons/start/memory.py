"""What a training step costs: measured on the lab's backbone, and the panel over what was measured.

The bytes that autograd keeps for a sentence are a polynomial of second degree in its length (the
square comes from attention). So a few measurements give all others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from peftlab import figures
from peftlab.anatomy import MIB
from peftlab.attach import Attachment
from peftlab.backbones import load_backbone
from peftlab.figures import mib
from peftlab.figures.panel import Panel, Record, facts
from peftlab.insight import activation_bytes, time_ratio
from peftlab.methods.base import Method
from peftlab.methods.baselines import FullFineTuning
from peftlab.tasks import Task

LENGTHS = (8, 16, 32)  # tokens at which activations are measured
PRECISIONS = {  # bytes of a number that is frozen, and of one that trains or is computed
    "float32": (4.0, 4.0),
    "bfloat16": (2.0, 2.0),
    "bfloat16, frozen weights in 4 bits": (0.5, 2.0),
}


@dataclass(frozen=True)
class Step:
    """What a method needs in a step, whatever the batch.

    Args:
        frozen: numbers that are kept and do not train.
        trained: numbers that train, the head's among them.
        activations: coefficients of 1, length and its square: bytes in float32 that autograd keeps
            for each sentence of a batch.
        once: the same for what it keeps once, whatever the batch.
    """

    frozen: int
    trained: int
    activations: tuple[float, ...]
    once: tuple[float, ...] = (0.0, 0.0, 0.0)

    def parts(self, batch: int, length: int, precision: str = "float32") -> dict[str, float]:
        """Memory of a step by part.

        Args:
            batch: sentences.
            length: tokens of each.
            precision: one of `PRECISIONS`.

        Returns:
            MiB of "weights", "gradients", "AdamW state" and "activations".
        """
        frozen, other = PRECISIONS[precision]
        kept = _at(self.once, length) + batch * _at(self.activations, length)
        sizes = {
            "weights": frozen * self.frozen + other * self.trained,
            "gradients": other * self.trained,
            "AdamW state": 2 * other * self.trained,
            "activations": kept * other / 4,
        }
        return {name: size / MIB for name, size in sizes.items()}


def reference_step(
    backbone: str, task: Task, seed: int, batch: Mapping[str, Tensor]
) -> Callable[[], None]:
    """Make a step of full fine-tuning, on a model of its own, to compare times with.

    Args:
        backbone: see `load_backbone`.
        task: for the head.
        seed: of the head.
        batch: inputs, with labels.

    Returns:
        A function that takes one training step each time it is called.
    """
    model, _ = load_backbone(backbone, task, seed=seed)
    return _stepper(FullFineTuning().attach(model), batch)


def step_ratio(
    attachment: Attachment, batch: Mapping[str, Tensor], reference: Callable[[], None]
) -> float:
    """Time training steps, in turn with those of another model; no parameter moves.

    Args:
        attachment: of the method whose steps are timed.
        batch: inputs, with labels.
        reference: a step of full fine-tuning, see `reference_step`.

    Returns:
        The time of a step divided by that of the other, the median of five.
    """
    return time_ratio(reference, _stepper(attachment, batch), repeats=5)[0]


def _stepper(attachment: Attachment, batch: Mapping[str, Tensor]) -> Callable[[], None]:
    """Forward, backward and an optimizer's step with a rate of 0, which takes as long as any."""
    model = attachment.model.train()
    optimizer = torch.optim.AdamW(attachment.parameters(), lr=0.0, weight_decay=0.0, fused=True)

    @torch.enable_grad()  # timing switches gradients off
    def step() -> None:
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def plain_batch(model: PreTrainedModel, size: int, length: int) -> dict[str, Tensor]:
    """A batch of random tokens, all of one length.

    Args:
        model: a classifier.
        size: sentences.
        length: tokens of each.

    Returns:
        Its inputs, with labels.
    """
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(model.config.vocab_size, (size, length), generator=draw)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.zeros(size, dtype=torch.long),
    }


def measure(model: PreTrainedModel, methods: Mapping[str, Method]) -> dict[str, Step]:
    """Attach one method after the other, and measure what a step of it needs.

    Args:
        model: a plain classifier; it is left as it was.
        methods: by label.

    Returns:
        The steps by label.
    """
    return {label: _step(model, method) for label, method in methods.items()}


def _step(model: PreTrainedModel, method: Method) -> Step:
    training = model.training
    attachment = method.attach(model)
    model.train()  # dropout keeps its masks
    one, two = (
        [activation_bytes(model, plain_batch(model, size, length)) for length in LENGTHS]
        for size in (1, 2)
    )
    count, held = attachment.report(), sum(p.numel() for p in model.parameters())
    attachment.detach()
    model.train(training)
    trained = count.trained + count.head
    each = [b - a for a, b in zip(one, two, strict=True)]
    once = [2 * a - b for a, b in zip(one, two, strict=True)]
    return Step(held - trained, trained, _fit(each), _fit(once))


def _fit(sizes: Sequence[float]) -> tuple[float, ...]:
    """Coefficients of 1, length and its square, from the sizes at `LENGTHS`."""
    return tuple(np.polyfit(LENGTHS, sizes, 2)[::-1].tolist())


def _at(coefficients: Sequence[float], length: int) -> float:
    return sum(c * length**power for power, c in enumerate(coefficients))


def memory_record(
    steps: Mapping[str, Step], method: str, batch: int, length: int, precision: str
) -> Record:
    """Say what a step of each method needs.

    Args:
        steps: by label.
        method: the label of the one that is asked about.
        batch: sentences.
        length: tokens of each.
        precision: one of `PRECISIONS`.

    Returns:
        The settings, and "parts", MiB by label and part.
    """
    parts = {label: step.parts(batch, length, precision) for label, step in steps.items()}
    return {
        "method": method,
        "batch": batch,
        "length": length,
        "precision": precision,
        "parts": parts,
    }


def draw_memory(record: Record) -> str:
    """Draw the record as a table and a picture.

    Args:
        record: as `memory_record` gives it.

    Returns:
        HTML.
    """
    parts = record["parts"]
    sums = {label: sum(own.values()) for label, own in parts.items()}
    own, total = parts[record["method"]], sums[record["method"]]
    order = sorted(sums, key=sums.__getitem__)
    rows = {name: mib(size) for name, size in own.items()}
    rows |= {
        "together": mib(total),
        "share of activations": f"{100 * own['activations'] / total:.0f} %",
        "place among the methods, the cheapest first": (
            f"{order.index(record['method']) + 1} of {len(order)}"
        ),
    }
    title = f"Memory of a step: {record['batch']} sentences of {record['length']} tokens"
    return facts(rows, figures.memory_bars(parts, title))


def memory_panel(steps: Mapping[str, Step], method: str) -> Panel:
    """Choose batch, length and precision; what every method needs follows at once.

    Args:
        steps: by label, as `measure` gives them.
        method: the label of the method that is chosen at first.

    Returns:
        The panel.
    """
    controls = {
        "method": widgets.Dropdown(options=list(steps), value=method, description="method"),
        "batch": _slider((1, 4, 16, 64, 256), 16, "batch"),
        "length": _slider((16, 32, 64, 128, 256, 512), 32, "length"),
        "precision": widgets.Dropdown(options=list(PRECISIONS), description="precision"),
    }
    compute: Callable[..., Record] = partial(memory_record, steps)
    return Panel(compute, draw_memory, controls, "What does a training step need?")


def _slider(options: Sequence[Any], value: Any, name: str) -> widgets.SelectionSlider:
    return widgets.SelectionSlider(options=options, value=value, description=name)
