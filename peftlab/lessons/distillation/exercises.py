"""The exercises of lab 08: soft targets with their gradients, and the cosine without padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from peftlab.lessons.exercise import Exercise, Feedback

Loss = Callable[..., Tensor]


@dataclass(frozen=True)
class LossExercise(Exercise):
    """An exercise whose answer is a loss: its gradients are compared, too.

    Both logits ask for a gradient, as if the teacher had not been run under `torch.no_grad()`. The
    student has to get one, the teacher must not.
    """

    def check(self, attempt: Loss) -> Feedback:
        """Try an attempt; see `Exercise.check`."""
        return super().check(_with_gradients(attempt) if callable(attempt) else attempt)


def _with_gradients(attempt: Loss) -> Loss:
    """The loss, and the gradient of each of the logits, in one tensor, (1 + 2 N V,)."""

    def both(teacher: Tensor, student: Tensor, T: float) -> Any:
        leaves = [x.detach().clone().requires_grad_() for x in (teacher, student)]
        loss = attempt(*leaves, T)
        if not isinstance(loss, Tensor):
            return loss
        if loss.numel() != 1:
            raise ValueError(f"return one number, the mean over the rows, not {tuple(loss.shape)}")
        grads = [None, None]
        if loss.requires_grad:
            grads = torch.autograd.grad(loss.sum(), leaves, allow_unused=True)
        flat = [
            torch.zeros(x.numel()) if g is None else g.flatten()
            for x, g in zip(leaves, grads, strict=True)
        ]
        return torch.cat([loss.detach().reshape(1), *flat])

    return both


def _logits(draw: torch.Generator) -> dict[str, Any]:
    teacher, student = (2 * torch.randn(4, 6, generator=draw) for _ in range(2))
    return {
        "teacher": teacher,
        "student": student,
        "T": float(torch.randint(2, 8, (), generator=draw)),
    }


def soft_targets(teacher: Tensor, student: Tensor, T: float) -> Tensor:
    """The solution of exercise 1: T^2 KL(softmax(teacher / T) || softmax(student / T)).

    Args:
        teacher: logits, (N, V); no gradient reaches them.
        student: logits, (N, V).
        T: the temperature.

    Returns:
        The mean over the rows.
    """
    p = torch.softmax(teacher.detach() / T, -1)
    q = torch.log_softmax(student / T, -1)
    return T**2 * (p * (p.log() - q)).sum(-1).mean()


def _soft(
    scale: Callable[[float], float] = lambda T: T**2,
    p: Callable[[Tensor, float], Tensor] = lambda t, T: torch.softmax(t.detach() / T, -1),
    q: Callable[[Tensor, float], Tensor] = lambda s, T: torch.log_softmax(s / T, -1),
    entropy: bool = True,
    mean: Callable[[Tensor], Tensor] = lambda x: x.sum(-1).mean(),
) -> Loss:
    """The right loss with one thing changed, and its gradients."""

    def attempt(teacher: Tensor, student: Tensor, T: float) -> Tensor:
        soft, ours = p(teacher, T), q(student, T)
        return scale(T) * mean(soft * ((soft.log() if entropy else 0) - ours))

    return _with_gradients(attempt)


def _swapped(teacher: Tensor, student: Tensor, T: float) -> Tensor:
    p, q = (torch.log_softmax(x / T, -1) for x in (teacher.detach(), student))
    return T**2 * (q.exp() * (q - p)).sum(-1).mean()


def _hard(teacher: Tensor, student: Tensor, T: float) -> Tensor:
    return F.cross_entropy(student, teacher.argmax(-1))


def _squares(teacher: Tensor, student: Tensor, T: float) -> Tensor:
    return (teacher.detach() - student).square().mean()


_MISTAKES: Mapping[str, Loss] = {
    "T² is missing: the gradients get smaller as T grows, so that the soft targets fade beside the "
    "other losses": _soft(scale=lambda T: 1.0),
    "the factor is T, it should be T²": _soft(scale=lambda T: T),
    "you divide by T²; the loss has to be multiplied": _soft(scale=lambda T: T**-2),
    "teacher and student are swapped: the teacher's distribution weighs the differences": (
        _with_gradients(_swapped)
    ),
    "the gradient reaches the teacher: run it under torch.no_grad(), or detach its logits": _soft(
        p=lambda t, T: torch.softmax(t / T, -1)
    ),
    "no gradient reaches the student: only the teacher is detached": _soft(
        q=lambda s, T: torch.log_softmax(s.detach() / T, -1)
    ),
    "that is the cross-entropy: its gradient is right, but a student that equals its teacher would "
    "not have the loss 0; subtract the teacher's entropy": _soft(entropy=False),
    "only the student is softened; the teacher's logits are divided by T, too": _soft(
        p=lambda t, T: torch.softmax(t.detach(), -1)
    ),
    "only the teacher is softened; the student's logits are divided by T, too": _soft(
        q=lambda s, T: torch.log_softmax(s, -1)
    ),
    "nothing is softened: the logits are divided by T": _soft(
        p=lambda t, T: torch.softmax(t.detach(), -1), q=lambda s, T: torch.log_softmax(s, -1)
    ),
    "the logits are multiplied by T: that sharpens; divide them": _soft(
        p=lambda t, T: torch.softmax(t.detach() * T, -1),
        q=lambda s, T: torch.log_softmax(s * T, -1),
    ),
    "you divide by the number of logits, too: sum over the vocabulary, and average over the rows "
    '(reduction="batchmean")': _soft(mean=lambda x: x.mean()),
    "you sum over the rows; average over them": _soft(mean=lambda x: x.sum()),
    "the sign is wrong: the divergence is never negative": _soft(scale=lambda T: -(T**2)),
    "the student's probabilities have no logarithm (kl_div wants them with one)": _soft(
        q=lambda s, T: torch.softmax(s / T, -1)
    ),
    "the softmax runs over the rows; it runs over the last axis": _soft(
        p=lambda t, T: torch.softmax(t.detach() / T, 0), q=lambda s, T: torch.log_softmax(s / T, 0)
    ),
    "that takes the teacher's best answer alone, a hard target": _with_gradients(_hard),
    "that compares the logits themselves; compare the softened distributions": (
        _with_gradients(_squares)
    ),
}

SOFT_TARGETS = LossExercise(
    solution=_with_gradients(soft_targets),
    inputs=_logits,
    mistakes=_MISTAKES,
    praise="the student gets gradients of the same size whatever T is, and the teacher gets none.",
)


def _states(draw: torch.Generator) -> dict[str, Any]:
    B, T, D = 3, 5, 4
    teacher, student = (torch.randn(B, T, D, generator=draw) for _ in range(2))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]])
    return {"teacher": teacher, "student": student, "mask": mask}


def cosine(teacher: Tensor, student: Tensor, mask: Tensor) -> Tensor:
    """The solution of exercise 2: 1 - cos, averaged over the tokens that are no padding.

    Args:
        teacher: last hidden states, (B, T, D).
        student: last hidden states, (B, T, D).
        mask: (B, T), 1 where a token is no padding.

    Returns:
        One number.
    """
    kept = mask.bool()
    return (1 - F.cosine_similarity(teacher[kept], student[kept], dim=-1)).mean()


def _apart(teacher: Tensor, student: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(teacher, student, dim=-1)  # (B, T)


COSINE = Exercise(
    solution=cosine,
    inputs=_states,
    mistakes={
        "padding is counted: average over the tokens of the mask alone": (
            lambda teacher, student, mask: _apart(teacher, student).mean()
        ),
        "padding adds nothing, but you still divide by all places; divide by mask.sum()": (
            lambda teacher, student, mask: (_apart(teacher, student) * mask).mean()
        ),
        "only padding is counted: the mask is the wrong way round": (
            lambda teacher, student, mask: _apart(teacher, student)[mask == 0].mean()
        ),
        "that is the cosine; the loss is 1 minus it": (
            lambda teacher, student, mask: (1 - _apart(teacher, student))[mask.bool()].mean()
        ),
        "the sign is wrong: it is 1 minus the cosine": (
            lambda teacher, student, mask: -_apart(teacher, student)[mask.bool()].mean()
        ),
        "the sign of the cosine is wrong, and the 1 is missing": (
            lambda teacher, student, mask: (_apart(teacher, student) - 1)[mask.bool()].mean()
        ),
        "padded states are set to zero and still counted, each with the loss 1": (
            lambda teacher, student, mask: _apart(
                teacher * mask[..., None], student * mask[..., None]
            ).mean()
        ),
        "you average over each text first, so that a token of a short text counts more": (
            lambda teacher, student, mask: (
                (_apart(teacher, student) * mask).sum(1) / mask.sum(1)
            ).mean()
        ),
        "you sum over the tokens; average over them": (
            lambda teacher, student, mask: _apart(teacher, student)[mask.bool()].sum()
        ),
        "the states are not divided by their lengths: that is a product, not a cosine": (
            lambda teacher, student, mask: 1 - (teacher * student).sum(-1)[mask.bool()].mean()
        ),
        "the cosine runs over the tokens; it runs over the last axis, the width": (
            lambda teacher, student, mask: (
                1 - F.cosine_similarity(teacher * mask[..., None], student * mask[..., None], dim=1)
            ).mean()
        ),
        "a whole text is one long vector for you; each token has a cosine of its own": (
            lambda teacher, student, mask: (
                1
                - F.cosine_similarity(
                    (teacher * mask[..., None]).flatten(1), (student * mask[..., None]).flatten(1)
                )
            ).mean()
        ),
        "that is the squared distance; the cosine compares directions alone": (
            lambda teacher, student, mask: (teacher - student)[mask.bool()].square().mean()
        ),
    },
    praise="a longer batch with more padding has the same loss.",
)
