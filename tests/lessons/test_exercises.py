import ast
import pkgutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
import torch.nn.functional as F
from torch import Tensor

import peftlab
from peftlab import lessons
from peftlab.lessons.exercise import OPEN, SOLVED, WRONG, Exercise, Feedback
from peftlab.methods.lora.method import LoRA

LESSONS = [info.name for info in pkgutil.iter_modules(lessons.__path__) if info.ispkg]
MODULES = [f"peftlab.lessons.{name}.exercises" for name in LESSONS]
EXERCISES = {
    name: exercise
    for module in MODULES
    if find_spec(module)
    for name, exercise in vars(import_module(module)).items()
    if isinstance(exercise, Exercise)
}
MISTAKES = [(name, message) for name, e in EXERCISES.items() for message in e.mistakes]


def inputs_of(exercise):
    return exercise.inputs(torch.Generator().manual_seed(0))


def answers_with_a_tensor(exercise):
    return isinstance(exercise.solution(**inputs_of(exercise)), Tensor)


TENSORS = [name for name, e in EXERCISES.items() if answers_with_a_tensor(e)]
NUMBERS = [name for name in EXERCISES if name not in TENSORS]

every_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
tensor_exercises = pytest.mark.parametrize("name", TENSORS)
FLOATS = [
    n for n in TENSORS if EXERCISES[n].solution(**inputs_of(EXERCISES[n])).is_floating_point()
]
float_exercises = pytest.mark.parametrize("name", FLOATS)
number_exercises = pytest.mark.parametrize("name", NUMBERS)


def raises(error):
    def attempt(**inputs):
        raise error

    return attempt


def test_there_are_exercises_of_both_kinds():
    assert TENSORS and NUMBERS


@every_exercise
def test_the_solution_is_accepted_with_praise(exercise):
    assert exercise.check(exercise.solution) == Feedback(SOLVED, exercise.praise)


@every_exercise
def test_at_least_four_mistakes_are_known(exercise):
    assert len(exercise.mistakes) >= 4


@pytest.mark.parametrize(("name", "message"), MISTAKES)
def test_each_mistake_is_rejected_with_its_own_message(name, message):
    exercise = EXERCISES[name]
    assert exercise.check(exercise.mistakes[message]) == Feedback(WRONG, message)


@every_exercise
@pytest.mark.parametrize(
    "attempt",
    [lambda **inputs: None, lambda **inputs: ..., raises(NotImplementedError())],
    ids=["returns nothing", "returns ...", "raises NotImplementedError"],
)
def test_an_unfinished_function_is_not_attempted(exercise, attempt):
    assert exercise.check(attempt).status == OPEN


@every_exercise
def test_an_error_in_the_attempt_is_told_with_what_the_function_was_given(exercise):
    feedback = exercise.check(raises(RuntimeError("sizes must match")))
    assert feedback.status == WRONG
    assert "RuntimeError: sizes must match" in feedback.message
    for name, value in inputs_of(exercise).items():
        said = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"={value}"
        assert name in feedback.message and said in feedback.message


@every_exercise
@pytest.mark.parametrize("attempt", [lambda: 1, lambda wrong: wrong])
def test_what_cannot_be_called_with_the_inputs_never_stops_the_notebook(exercise, attempt):
    feedback = exercise.check(attempt)
    assert feedback.status == WRONG
    assert "TypeError" in feedback.message


@tensor_exercises
@pytest.mark.parametrize("answer", ["text", 1.5, [1, 2]])
def test_another_type_than_a_tensor_is_named(name, answer):
    exercise = EXERCISES[name]
    feedback = exercise.check(lambda **inputs: answer)
    if answer == 1.5 and exercise.plain:
        assert feedback.status == WRONG  # a number will do, but not this one
    else:
        assert feedback == Feedback(WRONG, f"return a tensor, not {type(answer).__name__}")


def test_one_number_may_be_a_tensor_or_a_number():
    exercise = EXERCISES["FORGOTTEN"]
    assert exercise.check(lambda **inputs: exercise.solution(**inputs).item()).status == SOLVED
    (wrong, *_) = exercise.mistakes.items()
    feedback = exercise.check(lambda **inputs: wrong[1](**inputs).item())
    assert feedback == Feedback(WRONG, wrong[0])


def test_a_mistake_is_named_only_if_it_is_made_twice():
    exercise = EXERCISES["FRONT"]
    message, mistake = next(iter(exercise.mistakes.items()))
    once = mistake(**inputs_of(exercise))
    assert exercise.check(lambda **inputs: once).message != message
    assert exercise.check(mistake).message == message


@number_exercises
@pytest.mark.parametrize("answer", ["12", [12], torch.tensor(12)])
def test_another_type_than_a_number_is_named(name, answer):
    feedback = EXERCISES[name].check(lambda **inputs: answer)
    assert feedback == Feedback(WRONG, f"return a number, not {type(answer).__name__}")


@tensor_exercises
def test_another_shape_is_told_with_the_right_one(name):
    exercise = EXERCISES[name]
    wanted = exercise.solution(**inputs_of(exercise))
    feedback = exercise.check(lambda **inputs: exercise.solution(**inputs)[None])
    assert feedback.status == WRONG
    assert f"{tuple(wanted[None].shape)}, it should be {tuple(wanted.shape)}" in feedback.message


@float_exercises
def test_other_numbers_are_told_with_their_distance(name):
    wanted = EXERCISES[name].solution(**inputs_of(EXERCISES[name])) + 1
    feedback = EXERCISES[name].check(lambda **inputs: EXERCISES[name].solution(**inputs) + 1)
    assert feedback.status == WRONG
    assert "differ by up to 1;" in feedback.message
    assert "whatever" in EXERCISES[name].check(lambda **inputs: wanted).message


@float_exercises
@pytest.mark.parametrize("spoil", [lambda t: t * torch.nan, lambda t: t > 0], ids=["NaN", "bool"])
def test_tensors_that_are_no_numbers_are_wrong_and_stop_nothing(name, spoil):
    exercise = EXERCISES[name]
    assert exercise.check(lambda **inputs: spoil(exercise.solution(**inputs))).status == WRONG


def test_a_wrong_answer_of_yes_and_no_is_told_by_its_first_place():
    feedback = EXERCISES["FRONT"].check(lambda counts, scores: counts + 40 * scores > 30)
    assert feedback.status == WRONG and "wrong at place [" in feedback.message


@tensor_exercises
def test_rounding_and_another_float_type_are_no_mistake(name):
    exercise = EXERCISES[name]
    wanted = exercise.solution(**inputs_of(exercise))
    assert wanted.dtype != torch.float64
    attempt = lambda **inputs: exercise.solution(**inputs).double() * (1 + 1e-6)  # noqa: E731
    assert exercise.check(attempt).status == SOLVED


@tensor_exercises
def test_a_tensor_that_still_tracks_gradients_is_judged_like_any_other(name):
    exercise = EXERCISES[name]

    def attempt(**inputs):
        return exercise.solution(**inputs).float().requires_grad_()

    assert exercise.check(attempt).status == SOLVED
    assert exercise.check(lambda **inputs: attempt(**inputs) + 1).status == WRONG


@tensor_exercises
def test_changing_an_input_in_place_is_rejected_and_spoils_no_later_check(name):
    exercise = EXERCISES[name]
    tensors = [key for key, value in inputs_of(exercise).items() if isinstance(value, Tensor)]
    for key in tensors:

        def attempt(changed=key, **inputs):
            answer = exercise.solution(**inputs)
            inputs[changed].add_(1)
            return answer

        feedback = exercise.check(attempt)
        assert feedback.status == WRONG
        assert f"changes {key} in place" in feedback.message
    assert exercise.check(exercise.solution).status == SOLVED


@number_exercises
def test_a_count_that_is_off_by_one_is_wrong_and_told_with_the_inputs(name):
    exercise = EXERCISES[name]
    feedback = exercise.check(lambda **inputs: exercise.solution(**inputs) + 1)
    assert feedback.status == WRONG
    assert "is not right for " in feedback.message
    for key, value in inputs_of(exercise).items():
        assert f"{key}={value}" in feedback.message


@number_exercises
def test_feedback_on_a_wrong_count_does_not_give_the_right_one_away(name):
    exercise = EXERCISES[name]
    wanted = exercise.solution(**inputs_of(exercise))
    assert f"{wanted:,}" not in exercise.check(lambda **inputs: wanted + 1).message


@number_exercises
def test_a_count_as_a_float_is_accepted(name):
    exercise = EXERCISES[name]
    assert exercise.check(lambda **inputs: float(exercise.solution(**inputs))).status == SOLVED


@pytest.mark.parametrize(
    "targets", [("query",), ("query", "value"), ("query", "key", "value", "attention_output")]
)
@pytest.mark.parametrize("rank", [1, 5])
def test_the_count_by_hand_is_what_lora_trains(targets, rank):
    config = tiny.tiny_config("bert")
    by_hand = EXERCISES["LORA_COUNT"].solution(
        width=config.hidden_size,
        layers=config.num_hidden_layers,
        rank=rank,
        adapted=len(targets),
    )
    assert by_hand == LoRA(rank=rank, targets=targets).parameter_count(config).trained


@pytest.mark.parametrize("status", [SOLVED, WRONG, OPEN])
def test_feedback_reads_well_as_html_and_as_text(status):
    feedback = Feedback(status, "compare A < B & C")
    assert f"<strong>{status}</strong>: compare A &lt; B &amp; C" in feedback._repr_html_()
    assert repr(feedback) == f"{status}: compare A < B & C"


def test_the_label_that_the_loss_leaves_out_is_written_in_one_place():
    written = [
        path.name
        for path in Path(peftlab.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.UnaryOp) and ast.unparse(node) == "-100"
    ]
    assert written == ["batches.py"]


@every_exercise
def test_a_result_in_place_of_the_function_is_said(exercise):
    for result in (exercise.solution(**inputs_of(exercise)), None, 3):
        feedback = exercise.check(result)
        assert feedback.status == WRONG and "without calling it" in feedback.message


@tensor_exercises
def test_nan_and_a_tensor_elsewhere_are_said(name):
    solution = EXERCISES[name].solution
    nan = EXERCISES[name].check(lambda **inputs: solution(**inputs) * float("nan"))
    assert nan.status == WRONG and "NaN" in nan.message
    elsewhere = EXERCISES[name].check(lambda **inputs: solution(**inputs).to("meta"))
    assert elsewhere.status == WRONG and "meta" in elsewhere.message


@number_exercises
def test_a_number_of_numpy_is_a_number(name):
    solution = EXERCISES[name].solution
    assert EXERCISES[name].check(lambda **inputs: np.int64(solution(**inputs))).status == SOLVED


@every_exercise
def test_a_number_written_out_is_right_only_once(exercise):
    wanted = exercise.solution(**inputs_of(exercise))
    feedback = exercise.check(lambda **inputs: wanted)
    assert feedback.status == WRONG and "write no number out" in feedback.message


def _half(x, W, A, slope=1.0):
    out = x @ W.T
    out = out + F.gelu(slope * out @ A.T)
    return F.layer_norm(x + out, x.shape[-1:])


@pytest.mark.parametrize(
    "name, attempt, said",
    [
        ("LORA_FORWARD", lambda x, W, A, B, alpha: x @ W.T + len(A) / alpha * (x @ A.T @ B.T),
         "right when alpha = 2;"),
        ("LORA_FORWARD", lambda x, W, A, B, alpha: x @ W.T - alpha / len(A) * (x @ A.T @ B.T),
         "the update is subtracted"),
        ("LORA_FORWARD", lambda x, W, A, B, alpha: (
            x @ W.T + alpha / len(A) * (x.relu() @ A.T @ B.T)),
         "right when A = 0;"),
        ("LORA_FORWARD", lambda x, W, A, B, alpha: x @ W.T + alpha / 6 * (x @ A.T @ B.T),
         "right when A = 0;"),
        ("ADAPTER_FORWARD", lambda h, W_down, b_down, W_up, b_up: (
            h + F.relu(h @ W_down.T) @ W_up.T + b_up), "whatever b_down is"),
        ("ADAPTER_FORWARD", lambda h, W_down, b_down, W_up, b_up: (
            h + F.gelu(h @ W_down.T - b_down) @ W_up.T + b_up), "right when b_down = 0;"),
        ("ADAPTER_FORWARD", lambda h, W_down, b_down, W_up, b_up: (
            h + F.gelu(F.relu(h) @ W_down.T + b_down) @ W_up.T + b_up), "right when W_down = 0;"),
        ("ADAPTER_LAYER", lambda x, W_attention, W_mlp, A_attention, A_mlp: _half(
            _half(x, W_attention, A_attention), W_attention, A_mlp), "whatever W_mlp is"),
        ("ADAPTER_LAYER", lambda x, W_attention, W_mlp, A_attention, A_mlp: _half(
            _half(x, W_attention, A_attention), 2 * W_mlp, A_mlp), "right when W_mlp = 0;"),
        ("ADAPTER_LAYER", lambda x, W_attention, W_mlp, A_attention, A_mlp: _half(
            _half(x, W_attention, A_attention, 2.0), W_mlp, A_mlp), "right when W_attention = 0;"),
        ("KEY_SHIFT", lambda q, k, v, b: torch.softmax(
            q @ torch.cat([k[:1], k[1:] + b]).T / 5**0.5, -1) @ v, "right when q = 0;"),
        ("KEY_SHIFT", lambda q, k, v, b: torch.softmax(
            q @ torch.cat([k[:1], k[1:] + 2 * b]).T / 3**0.5, -1) @ v, "right when b = 0;"),
        ("BITFIT_COUNT", lambda width, mlp_width, layers, labels: (
            layers * (7 * width + 2 * mlp_width) + labels * width + labels),
         "with mlp_width = "),
    ],
)  # fmt: skip
def test_a_wrong_attempt_hears_on_which_input_it_goes_wrong(name, attempt, said):
    """Attempts of readers; none of them is among the known mistakes."""
    feedback = EXERCISES[name].check(attempt)
    assert feedback.status == WRONG
    assert said in feedback.message


@pytest.mark.parametrize(
    "attempt",
    [
        lambda ids, table, slots: torch.stack(
            [table[i] if i > 0 else slots[-i - 1] for i in ids.tolist()]
        ),
        lambda ids, table, slots: torch.stack(  # in order of appearance
            [table[i] if i >= 0 else slots[int((ids[:k] < 0).sum())] for k, i in enumerate(ids)]
        ),
    ],
    ids=["token 0 is no slot", "slots by their numbers"],
)
def test_the_template_check_sees_token_0_and_the_order_of_the_slots(attempt):
    assert EXERCISES["TEMPLATE_EMBEDDING"].check(attempt).status == WRONG
