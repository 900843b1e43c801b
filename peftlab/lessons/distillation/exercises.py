"""The exercises of lab 08: soft targets with their gradients, and the cosine without padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from peftlab.lessons.diagnosis import copies, same
from peftlab.lessons.exercise import SOLVED, WRONG, Exercise, Feedback

Loss = Callable[..., Tensor]


@dataclass(frozen=True)
class LossExercise(Exercise):
    """An exercise whose answer is a loss: once the number is right, its gradients are looked at.

    Then both logits ask for a gradient, as if the teacher had not been run under `torch.no_grad()`.
    The student has to get the right one, the teacher none.
    """

    def check(self, attempt: Loss) -> Feedback:
        """Try an attempt; see `Exercise.check`."""
        feedback = super().check(attempt)
        if feedback.status != SOLVED:
            return feedback
        inputs = self.inputs(torch.Generator().manual_seed(0))
        try:
            teacher, student = _gradients(attempt, inputs)
        except Exception as error:
            return Feedback(WRONG, f"{_RIGHT} your function raised {type(error).__name__}: {error}")
        if not student.any():
            return Feedback(WRONG, f"{_RIGHT} {_CUT}")
        if not same(student, _gradients(self.solution, inputs)[1]):
            return Feedback(WRONG, f"{_RIGHT} {_PARTLY}")
        return Feedback(WRONG, f"{_RIGHT} {_REACHED}") if teacher.any() else feedback


_RIGHT = "the number is right, but when both logits ask for a gradient,"
_CUT = "no gradient reaches the student: detach the teacher alone, and leave .item() out"
_PARTLY = "the student's is wrong: a part of the student is detached, too"
_REACHED = "it reaches the teacher: run the teacher under torch.no_grad(), or detach its logits"


def _gradients(loss: Loss, inputs: Mapping[str, Any]) -> list[Tensor]:
    """What reaches the logits of teacher and student, zero where nothing does; each (N, V)."""
    given = copies(inputs)
    leaves = [given[name].requires_grad_() for name in ("teacher", "student")]
    value = loss(**given)
    if value.requires_grad:
        value.backward()
    return [torch.zeros(x.shape) if x.grad is None else x.grad for x in leaves]


def _logits(draw: torch.Generator) -> dict[str, Any]:
    teacher, student = (2 * torch.randn(3, 6, generator=draw) for _ in range(2))
    # T, 2 T, T² and 4 are never the number of rows or of logits: no two mistakes agree
    T = 0.5 + int(torch.randint(3, 8, (), generator=draw))
    return {"teacher": teacher, "student": student, "T": T}


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


def _p(t: Tensor, T: float) -> Tensor:
    return torch.softmax(t / T, -1)


def _log_q(s: Tensor, T: float) -> Tensor:
    return torch.log_softmax(s / T, -1)


def _soft(
    scale: Callable[[float], float] = lambda T: T**2,
    p: Callable[[Tensor, float], Tensor] = _p,
    q: Callable[[Tensor, float], Tensor] = _log_q,
    entropy: bool = True,
    mean: Callable[[Tensor], Tensor] = lambda x: x.sum(-1).mean(),
) -> Loss:
    """The right loss with one thing changed."""

    def attempt(teacher: Tensor, student: Tensor, T: float) -> Tensor:
        soft, ours = p(teacher, T), q(student, T)
        return scale(T) * mean(soft * ((soft.log() if entropy else 0) - ours))

    return attempt


def _divergence(
    inner: Callable[[Tensor, Tensor], Tensor], scale: Callable[[float], float] = lambda T: T**2
) -> Loss:
    """Something else than the divergence, summed over p and log q, each (N, V)."""
    return lambda teacher, student, T: (
        scale(T) * inner(_p(teacher, T), _log_q(student, T)).sum(-1).mean()
    )


def _hard(T_of: Callable[[float], float], scale: Callable[[float], float]) -> Loss:
    return lambda teacher, student, T: (
        scale(T) * F.cross_entropy(student / T_of(T), teacher.argmax(-1))
    )


def _one(T: float) -> float:
    return 1.0


_UNSOFTENED = (lambda t, T: torch.softmax(t, -1), lambda s, T: torch.log_softmax(s, -1))
_TOO = "you divide by the number of logits, too: sum over the vocabulary, and average over the rows"
_LOGITS = "that compares the logits themselves; compare the softened distributions"
_ENTROPY = "a student that equals its teacher would not have the loss 0; subtract the teacher's"

_MISTAKES: Mapping[str, Loss] = {
    "T² is missing: the gradients get smaller as T grows, so that the soft targets fade beside the "
    "other losses": _soft(scale=_one),
    "the factor is T, it should be T²": _soft(scale=lambda T: T),
    "you divide by T²; the loss has to be multiplied": _soft(scale=lambda T: T**-2),
    "5 is the weight in the sum of all three losses; leave it out here": _soft(
        scale=lambda T: 5 * T**2
    ),
    "teacher and student are swapped: the teacher's distribution weighs the differences": (
        _divergence(lambda p, log_q: log_q.exp() * (log_q - p.log()))
    ),
    f"that is the cross-entropy: its gradient is right, but {_ENTROPY} entropy": _soft(
        entropy=False
    ),
    f"that is the cross-entropy, and T² is missing; {_ENTROPY} entropy": _soft(
        entropy=False, scale=_one
    ),
    "that is the cross-entropy with the wrong sign; subtract the teacher's entropy, too": _soft(
        entropy=False, scale=lambda T: -(T**2)
    ),
    "only the student is softened; the teacher's logits are divided by T, too": _soft(
        p=_UNSOFTENED[0]
    ),
    "only the teacher is softened; the student's logits are divided by T, too": _soft(
        q=_UNSOFTENED[1]
    ),
    "nothing is softened: the logits are divided by T": _soft(p=_UNSOFTENED[0], q=_UNSOFTENED[1]),
    "the logits are multiplied by T: that sharpens; divide them": _soft(
        p=lambda t, T: _p(t, 1 / T), q=lambda s, T: _log_q(s, 1 / T)
    ),
    f'{_TOO} (reduction="batchmean")': _soft(mean=lambda x: x.mean()),
    f'T² is missing, and {_TOO} (reduction="batchmean")': _soft(
        scale=_one, mean=lambda x: x.mean()
    ),
    "you sum over the rows; average over them": _soft(mean=lambda x: x.sum()),
    "T² is missing, and you sum over the rows; average over them": _soft(
        scale=_one, mean=lambda x: x.sum()
    ),
    "the sign is wrong: the divergence is never negative": _soft(scale=lambda T: -(T**2)),
    "the student's probabilities have no logarithm (kl_div wants them with one)": _soft(
        q=lambda s, T: torch.softmax(s / T, -1)
    ),
    "neither side has a logarithm; compare log p with log q": _divergence(
        lambda p, log_q: p * (p - log_q.exp())
    ),
    "log_target=True says that the target has a logarithm, and yours has none": _divergence(
        lambda p, log_q: p.exp() * (p - log_q)
    ),
    "the differences of the logarithms are not weighed; the teacher's distribution weighs them": (
        _divergence(lambda p, log_q: p.log() - log_q)
    ),
    "the softmax runs over the rows; it runs over the last axis": _soft(
        p=lambda t, T: torch.softmax(t / T, 0), q=lambda s, T: torch.log_softmax(s / T, 0)
    ),
    "the teacher's softmax runs over the rows; it runs over the last axis": _soft(
        p=lambda t, T: torch.softmax(t / T, 0)
    ),
    "the student's softmax runs over the rows; it runs over the last axis": _soft(
        q=lambda s, T: torch.log_softmax(s / T, 0)
    ),
    "that takes the teacher's best answer alone, a hard target": _hard(_one, _one),
    "that takes the teacher's best answer alone, a hard target, and softens the student": _hard(
        lambda T: T, _one
    ),
    "that takes the teacher's best answer alone, a hard target, with T²": _hard(
        lambda T: T, lambda T: T**2
    ),
    _LOGITS: lambda teacher, student, T: (teacher - student).square().mean(),
    f"{_LOGITS}, after the softmax": lambda teacher, student, T: (
        ((teacher - student) / T).square().mean()
    ),
    "that is the squared distance of the distributions; their divergence is p (log p - log q)": (
        lambda teacher, student, T: (
            T**2 * (_p(teacher, T) - _log_q(student, T).exp()).square().mean()
        )
    ),
}

SOFT_TARGETS = LossExercise(
    solution=soft_targets,
    inputs=_logits,
    mistakes=_MISTAKES,
    praise="the student's gradients do not fade as T grows, and the teacher gets none.",
    infinite="a logarithm is missing, or taken twice. log_softmax has it already. kl_div(input, "
    "target) takes the student's logarithms first, then the teacher's probabilities; logarithms "
    "there need log_target=True",
)


def _states(draw: torch.Generator) -> dict[str, Any]:
    B, T, D = 3, 5, 4
    teacher, student = (torch.randn(B, T, D, generator=draw) for _ in range(2))
    lengths = torch.tensor([T, *torch.randint(1, T, (B - 1,), generator=draw)])
    mask = (torch.arange(T) < lengths[:, None]).long()  # (B, T)
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


def _apart(teacher: Tensor, student: Tensor, dim: int = -1) -> Tensor:
    return 1 - F.cosine_similarity(teacher, student, dim=dim)  # (B, T)


def _kept(apart: Loss) -> Loss:
    """Average something over the tokens that are no padding."""
    return lambda teacher, student, mask: apart(teacher, student)[mask.bool()].mean()


def _product(teacher: Tensor, student: Tensor) -> Tensor:
    return (teacher * student).sum(-1)  # (B, T)


def _length(states: Tensor) -> Tensor:
    return states.norm(dim=-1)  # (B, T)


def _zeroed(apart: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """Something of the states whose padding is set to zero."""
    return lambda teacher, student, mask: apart(*(x * mask[..., None] for x in (teacher, student)))


def _mean_state(states: Tensor, mask: Tensor) -> Tensor:
    return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)  # (B, D)


_TOKENS = "the cosine runs over the tokens; it runs over the last axis, the width (dim=-1)"
_LONG = "a whole text is one long vector for you; each token has a cosine of its own"
_SQUARES = "that is the squared distance; the cosine compares directions alone"

COSINE = Exercise(
    solution=cosine,
    inputs=_states,
    neutral={"teacher": None, "student": None},
    mistakes={
        "padding is counted: average over the tokens of the mask alone": (
            lambda teacher, student, mask: _apart(teacher, student).mean()
        ),
        "padding adds nothing, but you still divide by all places; divide by mask.sum()": (
            lambda teacher, student, mask: (_apart(teacher, student) * mask).mean()
        ),
        "you divide by the real tokens, but the sum still holds the padding": (
            lambda teacher, student, mask: _apart(teacher, student).sum() / mask.sum()
        ),
        "only padding is counted: the mask is the wrong way round": (
            lambda teacher, student, mask: _apart(teacher, student)[mask == 0].mean()
        ),
        "only padding is summed, but divided by the real tokens: the mask is the wrong way round": (
            lambda teacher, student, mask: (
                (_apart(teacher, student) * (1 - mask)).sum() / mask.sum()
            )
        ),
        "the mask holds the numbers 0 and 1, so that [mask] picks the texts 0 and 1; write "
        "mask.bool() or mask == 1": lambda teacher, student, mask: _apart(teacher, student)[
            mask
        ].mean(),
        "that is the cosine; the loss is 1 minus it": _kept(lambda t, s: 1 - _apart(t, s)),
        "that is the cosine, and padding is counted; the loss is 1 minus it, without padding": (
            lambda teacher, student, mask: (1 - _apart(teacher, student)).mean()
        ),
        "the sign is wrong: it is 1 minus the cosine": _kept(lambda t, s: -_apart(t, s)),
        "the sign of the cosine is wrong: it is 1 minus the cosine": _kept(
            lambda t, s: 2 - _apart(t, s)
        ),
        "the sign of the cosine is wrong, and the 1 is missing": _kept(
            lambda t, s: _apart(t, s) - 1
        ),
        "padded states are set to zero and still counted, each with the loss 1": _zeroed(
            lambda t, s: _apart(t, s).mean()
        ),
        "padded states are set to zero, which gives each the loss 1: leave them out of the sum": (
            lambda teacher, student, mask: (
                _zeroed(_apart)(teacher, student, mask).sum() / mask.sum()
            )
        ),
        "you average over each text first, so that a token of a short text counts more": (
            lambda teacher, student, mask: (
                (_apart(teacher, student) * mask).sum(1) / mask.sum(1)
            ).mean()
        ),
        "you sum over the tokens; average over them": (
            lambda teacher, student, mask: _apart(teacher, student)[mask.bool()].sum()
        ),
        "you sum over all places, and padding is counted; average over the real tokens": (
            lambda teacher, student, mask: _apart(teacher, student).sum()
        ),
        "you divide by the number of texts; divide by that of the real tokens": (
            lambda teacher, student, mask: (
                _apart(teacher, student)[mask.bool()].sum() / len(teacher)
            )
        ),
        "the states are not divided by their lengths: that is a product, not a cosine": _kept(
            lambda t, s: 1 - _product(t, s)
        ),
        "only the teacher's states are divided by their lengths; the student's need it, too": _kept(
            lambda t, s: 1 - _product(t, s) / _length(t)
        ),
        "only the student's states are divided by their lengths; the teacher's need it, too": _kept(
            lambda t, s: 1 - _product(t, s) / _length(s)
        ),
        "you divide by the squares of the lengths; take the root": _kept(
            lambda t, s: 1 - _product(t, s) / (_length(t) * _length(s)) ** 2
        ),
        "you divide by the length of the whole tensor; each state has its own, norm(dim=-1)": _kept(
            lambda t, s: 1 - _product(t, s) / (t.norm() * s.norm())
        ),
        "the product is averaged over the width; sum over it": _kept(
            lambda t, s: 1 - _product(t, s) / (_length(t) * _length(s)) / t.shape[-1]
        ),
        _TOKENS: _zeroed(lambda t, s: _apart(t, s, 1).mean()),
        f"{_TOKENS}. Besides, padding is counted": (
            lambda teacher, student, mask: _apart(teacher, student, 1).mean()
        ),
        "the cosine runs over the real tokens; it runs over the last axis, the width (dim=-1)": (
            lambda teacher, student, mask: _apart(
                teacher[mask.bool()], student[mask.bool()], 0
            ).mean()
        ),
        "the cosine runs over the texts; it runs over the last axis, the width (dim=-1)": (
            lambda teacher, student, mask: _apart(teacher, student, 0).mean()
        ),
        _LONG: _zeroed(lambda t, s: _apart(t.flatten(1), s.flatten(1)).mean()),
        f"{_LONG}. Besides, padding is counted": (
            lambda teacher, student, mask: _apart(teacher.flatten(1), student.flatten(1)).mean()
        ),
        "all texts are one long vector for you; each token has a cosine of its own": _zeroed(
            lambda t, s: _apart(t.flatten(), s.flatten())
        ),
        "you average the states of a text before the cosine; each token has a cosine of its own": (
            lambda teacher, student, mask: _apart(
                *(_mean_state(x, mask) for x in (teacher, student))
            ).mean()
        ),
        "the target -1 pushes the states apart; the target is 1": _kept(
            lambda t, s: (1 - _apart(t, s)).clamp(min=0)
        ),
        _SQUARES: _kept(lambda t, s: (t - s).square()),
        f"{_SQUARES}. Besides, padding is counted": (
            lambda teacher, student, mask: (teacher - student).square().mean()
        ),
    },
    praise="a longer batch with more padding has the same loss.",
    hint="F.cosine_similarity runs over dim=1 unless told, here the tokens; the width is dim=-1. "
    "For the states the mask needs one more axis: mask[..., None].",
)
