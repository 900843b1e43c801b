"""Lab 08: answers that learners write, right ones in other styles and wrong ones."""

import pytest
import torch
from torch.nn import functional as F

from peftlab.lessons.distillation.exercises import COSINE, SOFT_TARGETS
from peftlab.lessons.exercise import OPEN, SOLVED, WRONG


def by_kl_div(teacher, student, T):
    p = F.softmax(teacher.detach() / T, dim=-1)
    return F.kl_div(F.log_softmax(student / T, -1), p, reduction="batchmean") * T**2


def by_log_targets(teacher, student, T):
    with torch.no_grad():
        log_p = (teacher / T).log_softmax(1)
    log_q = (student / T).log_softmax(1)
    return T * T * F.kl_div(log_q, log_p, reduction="sum", log_target=True) / len(teacher)


@pytest.mark.parametrize("attempt", [by_kl_div, by_log_targets])
def test_right_soft_targets_are_accepted_however_they_are_written(attempt):
    assert SOFT_TARGETS.check(attempt).status == SOLVED


def kl(t, s, T, **changes):
    t = t if changes.get("attached") else t.detach()
    p = F.softmax(t / changes.get("T_teacher", T), -1)
    log_q = F.log_softmax(s / changes.get("T_student", T), -1)
    return changes.get("factor", T**2) * (p * (p.log() - log_q)).sum(-1).mean()


@pytest.mark.parametrize(
    "attempt, said",
    [
        (lambda t, s, T: kl(t, s, T, factor=1), "T² is missing"),
        (lambda t, s, T: kl(t, s, T, factor=T), "the factor is T"),
        (lambda t, s, T: kl(t, s, T, factor=1 / T**2), "divide by T²"),
        (lambda t, s, T: kl(s, t.detach(), T, attached=True), "swapped"),
        (lambda t, s, T: kl(t, s, T, attached=True), "reaches the teacher"),
        (lambda t, s, T: kl(t, s.detach(), T), "no gradient reaches the student"),
        (lambda t, s, T: kl(t, s, T, T_teacher=1), "only the student is softened"),
        (lambda t, s, T: kl(t, s, T, T_student=1), "only the teacher is softened"),
        (lambda t, s, T: kl(t, s, T, T_teacher=1, T_student=1), "nothing is softened"),
        (lambda t, s, T: kl(t, s, T, T_teacher=1 / T, T_student=1 / T), "multiplied by T"),
        (lambda t, s, T: -kl(t, s, T), "sign"),
        (lambda t, s, T: kl(t, s, T) / t.shape[1], "number of logits"),
        (lambda t, s, T: kl(t, s, T) * len(t), "sum over the rows"),
        (
            lambda t, s, T: T**2 * F.cross_entropy(s / T, (t.detach() / T).softmax(-1)),
            "cross-entropy",
        ),
        (lambda t, s, T: F.cross_entropy(s, t.argmax(-1)), "hard target"),
        (lambda t, s, T: F.mse_loss(s, t.detach()), "logits themselves"),
        (lambda t, s, T: F.kl_div(s, t, reduction="none"), "return one number"),
        (
            lambda t, s, T: (
                T**2
                * F.kl_div((s / T).softmax(-1), (t.detach() / T).softmax(-1), reduction="batchmean")
            ),
            "logarithm",
        ),
    ],
)
def test_wrong_soft_targets_hear_what_is_wrong(attempt, said):
    feedback = SOFT_TARGETS.check(attempt)
    assert feedback.status == WRONG and said in feedback.message


def test_what_is_not_written_yet_is_open():
    for exercise in (SOFT_TARGETS, COSINE):
        assert exercise.check(lambda *_, **__: None).status == OPEN


def by_torch(teacher, student, mask):
    rows = mask == 1
    wanted = torch.ones(int(mask.sum()))
    return F.cosine_embedding_loss(student[rows], teacher[rows], wanted)


def by_hand(teacher, student, mask):
    cos = (teacher * student).sum(-1) / (teacher.norm(dim=-1) * student.norm(dim=-1))
    return ((1 - cos) * mask).sum() / mask.sum()


@pytest.mark.parametrize("attempt", [by_torch, by_hand])
def test_a_right_cosine_is_accepted_however_it_is_written(attempt):
    assert COSINE.check(attempt).status == SOLVED


def cos(t, s, dim=-1):
    return F.cosine_similarity(t, s, dim=dim)


@pytest.mark.parametrize(
    "attempt, said",
    [
        (lambda teacher, student, mask: (1 - cos(teacher, student)).mean(), "padding is counted"),
        (
            lambda teacher, student, mask: ((1 - cos(teacher, student)) * mask).mean(),
            "divide by mask.sum()",
        ),
        (
            lambda teacher, student, mask: (1 - cos(teacher, student))[mask == 0].mean(),
            "wrong way round",
        ),
        (lambda teacher, student, mask: cos(teacher, student)[mask == 1].mean(), "1 minus"),
        (lambda teacher, student, mask: (cos(teacher, student) - 1)[mask == 1].mean(), "sign"),
        (
            lambda teacher, student, mask: (1 - cos(teacher, student))[mask == 1].sum(),
            "average over them",
        ),
        (
            lambda teacher, student, mask: (
                ((1 - cos(teacher, student)) * mask).sum(1) / mask.sum(1)
            ).mean(),
            "short text",
        ),
        (lambda teacher, student, mask: -cos(teacher, student)[mask == 1].mean(), "sign"),
        (
            lambda teacher, student, mask: F.mse_loss(teacher[mask == 1], student[mask == 1]),
            "squared distance",
        ),
        (
            lambda teacher, student, mask: 1 - (teacher * student).sum(-1)[mask == 1].mean(),
            "not a cosine",
        ),
    ],
)
def test_a_wrong_cosine_hears_what_is_wrong(attempt, said):
    feedback = COSINE.check(attempt)
    assert feedback.status == WRONG and said in feedback.message
