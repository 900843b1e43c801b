"""Lab 08: answers that learners write, right ones in other styles and wrong ones."""

from itertools import combinations

import pytest
import torch
from torch.nn import functional as F

from peftlab.lessons.diagnosis import copies, same
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


def by_loops(teacher, student, T):
    loss = 0.0
    for t, s in zip(teacher.detach(), student, strict=True):
        p, q = (torch.exp(x / T) / torch.exp(x / T).sum() for x in (t, s))
        for i in range(len(p)):
            loss = loss + p[i] * torch.log(p[i] / q[i])
    return T**2 * loss / len(teacher)


def by_einsum(teacher, student, T):
    log_p, log_q = (teacher.detach() / T).log_softmax(1), (student / T).log_softmax(1)
    return T**2 * torch.einsum("nv,nv->", log_p.exp(), log_p - log_q) / len(teacher)


def by_entropies(teacher, student, T):
    p = (teacher.data / T).softmax(-1)
    own = (p * p.log()).sum(-1).mean()
    return T**2 * (F.cross_entropy(student / T, p) + own)


def by_freezing(teacher, student, T):
    teacher.requires_grad_(False)
    return by_kl_div(teacher, student, T)


@pytest.mark.parametrize(
    "attempt", [by_kl_div, by_log_targets, by_loops, by_einsum, by_entropies, by_freezing]
)
def test_right_soft_targets_are_accepted_however_they_are_written(attempt):
    assert SOFT_TARGETS.check(attempt).status == SOLVED


def named(attempt):
    """The attempt with the names that the notebook gives its arguments."""
    return lambda teacher, student, T: attempt(teacher, student, T)


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
        (lambda t, s, T: F.kl_div(s, t, reduction="none"), "which is one number"),
        (lambda t, s, T: kl(t, s, T) * torch.ones(4), "the shape is (4,)"),
        (lambda t, s, T: kl(t, s, T).item(), "not float"),
        (lambda t, s, T: [kl(t, s, T)], "not list"),
        (lambda t, s, T: torch.tensor(kl(t, s, T).item()), "leave .item() out"),
        (lambda t, s, T: kl(t, s, T, factor=1 / T), "T = 1"),
        (lambda t, s, T: kl(t, s, T, factor=T**3), "T = 1"),
        (lambda t, s, T: kl(t, s, 2.0), "whatever T is"),
        (lambda t, s, T: 5 * kl(t, s, T), "5 is the weight"),
        (lambda t, s, T: kl(t, s, T, factor=1) / 6, "T² is missing, and you divide"),
        (lambda t, s, T: T**2 * (s / T).softmax(-1).log().log().mean(), "taken twice"),
        (lambda t, s, T: F.kl_div(s, t.detach(), reduction="batchmean"), "a logarithm is missing"),
        (lambda t, s, T: F.kl_div(t.exp(), s - 9, reduction="sum"), "the student's logarithms"),
        (
            lambda t, s, T: (
                T**2
                * F.kl_div(
                    (s / T).log_softmax(-1),
                    (t.detach() / T).softmax(-1),
                    reduction="batchmean",
                    log_target=True,
                )
            ),
            "log_target",
        ),
        (lambda t, s, T: kl(t.T, s.T, T) * 6 / 3, "over the rows; it runs over the last axis"),
        (lambda t, s, T: F.cross_entropy(s / T, (t / T).softmax(-1)), "cross-entropy, and T²"),
        (lambda t, s, T: T**2 * F.cross_entropy(s / T, t.argmax(-1)), "hard target"),
        (lambda t, s, T: F.mse_loss((s / T).softmax(-1), (t / T).softmax(-1)) * T**2, "squared"),
        (lambda t, s, T: kl(t, s, T).detach(), "no gradient reaches the student"),
        (lambda t, s, T: (kl(t, s, T) + kl(t, s.detach(), T)) / 2, "a part of the student"),
        (lambda t, s, T: torch.tensor(t.numpy()).sum() * 0 + kl(t, s, T), "raised RuntimeError"),
        (lambda t, s, T: kl(t, s.div_(T), T), "changes student in place"),
        (lambda t, s, T: kl(t.detach().div_(T), s, T), "changes teacher in place"),
        (lambda t, s, T: t.missing, "raised AttributeError"),
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
    feedback = SOFT_TARGETS.check(named(attempt))
    assert feedback.status == WRONG and said in feedback.message


@pytest.mark.parametrize(
    "attempt, said",
    [
        (lambda t, s, T: kl(t, s, T, factor=1, attached=True), "T² is missing"),
        (lambda t, s, T: kl(t, s, T, factor=T, attached=True), "the factor is T"),
        (lambda t, s, T: kl(s, t, T, attached=True), "swapped"),
        (lambda t, s, T: F.mse_loss(s, t), "logits themselves"),
        (lambda t, s, T: kl(t, s.detach(), T, factor=1), "T² is missing"),
        (lambda t, s, T: kl(s, t, T), "swapped"),  # the first one is detached, here the student
    ],
)
def test_a_wrong_gradient_does_not_hide_another_mistake(attempt, said):
    feedback = SOFT_TARGETS.check(named(attempt))
    assert feedback.status == WRONG and said in feedback.message


@pytest.mark.parametrize("exercise", [SOFT_TARGETS, COSINE])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_two_known_mistakes_give_the_same_answer(exercise, seed):
    """Otherwise a learner would hear of a mistake that is not theirs."""
    inputs = exercise.inputs(torch.Generator().manual_seed(seed))
    found = {m: wrong(**copies(inputs)) for m, wrong in exercise.mistakes.items()}
    right = exercise.solution(**copies(inputs))
    assert not any(same(answer, right) for answer in found.values())
    pairs = [(a, b) for a, b in combinations(found, 2) if same(found[a], found[b])]
    assert not pairs


def test_numbers_that_fit_one_mask_alone_are_noticed():
    right = COSINE.inputs(torch.Generator().manual_seed(0))["mask"].sum().item()
    feedback = COSINE.check(
        lambda teacher, student, mask: ((1 - cos(teacher, student)) * mask).sum() / right
    )
    assert feedback.status == WRONG and "write no number out" in feedback.message


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


def by_lengths(teacher, student, mask):
    loss = 0
    for t, s, m in zip(teacher, student, mask, strict=True):
        loss += (1 - F.cosine_similarity(t, s))[: int(m.sum())].sum()
    return loss / mask.sum()


def by_unit_vectors(teacher, student, mask):
    t, s = (F.normalize(x, dim=-1) for x in (teacher, student))
    return 1 - torch.einsum("btd,btd,bt->", t, s, mask.float()) / mask.sum()


def by_distances(teacher, student, mask):
    t, s = (F.normalize(x, dim=-1) for x in (teacher, student))
    return ((t - s).square().sum(-1) / 2).masked_select(mask > 0).mean()


@pytest.mark.parametrize("attempt", [by_torch, by_hand, by_lengths, by_unit_vectors, by_distances])
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
        (lambda teacher, student, mask: cos(teacher, student).mean(), "padding is counted"),
        (
            lambda teacher, student, mask: ((1 - cos(teacher, student)) * mask).sum() / len(mask),
            "number of texts",
        ),
        (
            lambda teacher, student, mask: (1 - cos(teacher, student)).sum() / mask.sum(),
            "still holds the padding",
        ),
        (
            lambda teacher, student, mask: (1 - cos(teacher[mask], student[mask])).mean(),
            "mask.bool()",
        ),
        (
            lambda teacher, student, mask: 1 - (cos(teacher, student) * mask).mean(),
            "set to zero and still counted",
        ),
        (
            lambda teacher, student, mask: (
                (1 - cos(teacher * mask[..., None], student * mask[..., None])).sum() / mask.sum()
            ),
            "leave them out of the sum",
        ),
        (
            lambda teacher, student, mask: 1 - F.cosine_similarity(teacher, student).mean(),
            "runs over the tokens",
        ),
        (
            lambda teacher, student, mask: (1 - F.cosine_similarity(teacher, student)) * mask,
            "dim=-1",
        ),
        (
            lambda teacher, student, mask: (
                1 - cos(teacher[mask == 1].flatten(), student[mask == 1].flatten())
            ),
            "all texts are one long vector",
        ),
        (
            lambda teacher, student, mask: (
                1 - (F.normalize(teacher, dim=-1) * F.normalize(student, dim=-1))[mask == 1].mean()
            ),
            "averaged over the width",
        ),
        (
            lambda teacher, student, mask: (
                1 - (F.normalize(teacher, dim=-1) * student).sum(-1)[mask == 1].mean()
            ),
            "only the teacher's states",
        ),
        (
            lambda teacher, student, mask: F.cosine_embedding_loss(
                student[mask == 1], teacher[mask == 1], -torch.ones(int(mask.sum()))
            ),
            "the target is 1",
        ),
        (lambda teacher, student, mask: (1 - cos(teacher, student)) * mask, "one number"),
        (lambda teacher, student, mask: teacher.mul_(mask[..., None]).sum(), "in place"),
        (lambda teacher, student, mask: cos(teacher, student)[mask == 1].mean().item(), "float"),
    ],
)
def test_a_wrong_cosine_hears_what_is_wrong(attempt, said):
    feedback = COSINE.check(attempt)
    assert feedback.status == WRONG and said in feedback.message
