"""What an exercise is, and how its check finds the mistake in an attempt."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from peftlab.lessons.diagnosis import copies, diagnose, same

SOLVED, WRONG, OPEN = "solved", "not yet", "not attempted"


_COLOURS = {SOLVED: "#009E73", WRONG: "#D55E00", OPEN: "#8A8A8A"}


@dataclass(frozen=True)
class Feedback:
    """What a check says.

    Args:
        status: "solved", "not yet" or "not attempted".
        message: what is right, wrong or to be done next.
    """

    status: str
    message: str

    def _repr_html_(self) -> str:
        style = f"border-left:4px solid {_COLOURS[self.status]};padding:0.4em 0.8em"
        message = html.escape(self.message)
        return f'<div style="{style}"><strong>{self.status}</strong>: {message}</div>'

    def __repr__(self) -> str:
        return f"{self.status}: {self.message}"


@dataclass(frozen=True)
class Exercise:
    """An exercise: the learner writes a function.

    Known mistakes are wrong functions, each with a message that helps. An attempt that twice gives
    the same answer as a wrong function gets its message. Of any other wrong attempt the first input
    is named on which it goes wrong.

    Args:
        solution: computes the right tensor, or the right number, from the inputs.
        inputs: makes the inputs, by name, from a generator of random numbers.
        mistakes: for each message the wrong function that it is about.
        praise: what the learner reads when the attempt is right.
        in_place: what the learner reads when the attempt changes one of its inputs.
        neutral: values that take an input out of the formula, see `diagnose`.
        hint: what the learner reads beside a RuntimeError or an IndexError, which are torch's for
            wrong sizes and places.
        infinite: where the learner is told to look when the answer holds NaN or infinity.
        plain: whether the one number that is asked for need not be a tensor, such as after item().
    """

    solution: Callable[..., Tensor | int]
    inputs: Callable[[torch.Generator], dict[str, Any]]
    mistakes: Mapping[str, Callable[..., Tensor | int]]
    praise: str
    in_place: str = "compute a new tensor instead"
    neutral: Mapping[str, Any] = field(default_factory=dict)
    hint: str = ""
    infinite: str = (
        "look for a division by zero, for zero times infinity, and for a softmax in which "
        "everything is hidden"
    )
    plain: bool = False

    def check(self, attempt: Callable[..., Any]) -> Feedback:
        """Try an attempt on fresh inputs. The notebook goes on whatever the attempt does.

        Args:
            attempt: the learner's function. It may be unfinished or wrong, and it may raise.

        Returns:
            Whether it is right, and a message for the learner.
        """
        if not callable(attempt):
            return Feedback(WRONG, "give the function itself to check, without calling it")
        if self.plain:
            attempt = _as_tensor(attempt)
        inputs = self.inputs(torch.Generator().manual_seed(0))
        wanted = self.solution(**copies(inputs))
        given = copies(inputs)
        try:
            answer = attempt(**given)
        except (Exception, SystemExit) as error:
            # torch raises the same error where a type has no such operation
            if isinstance(error, NotImplementedError) and "not implemented for" not in str(error):
                return Feedback(OPEN, "write the body of the function, then run this cell again")
            raised = f"{type(error).__name__}: {str(error).rstrip('.')}".rstrip(": ")
            said = f"your function raised {raised}. It was given {_said(inputs)}."
            hint = self.hint if isinstance(error, RuntimeError | IndexError) else ""
            return Feedback(WRONG, f"{said} {hint}".rstrip())
        if answer is None or answer is ...:
            return Feedback(
                OPEN, "the function returns nothing yet; write its body, then run this cell again"
            )
        if changed := [
            k for k, v in inputs.items() if isinstance(v, Tensor) and not torch.equal(v, given[k])
        ]:
            return Feedback(WRONG, f"your function changes {changed[0]} in place; {self.in_place}")
        kinds, kind = (Tensor, "tensor") if isinstance(wanted, Tensor) else (Real, "number")
        if not isinstance(answer, kinds) or getattr(answer, "is_sparse", False):
            return Feedback(WRONG, f"return a {kind}, not {type(answer).__name__}")
        if kind == "tensor" and answer.device != wanted.device:
            return Feedback(WRONG, f"the tensor is on {answer.device}; leave it on the CPU")
        if same(answer, wanted):
            if self._again(attempt, self.solution):
                return Feedback(SOLVED, self.praise)
            return Feedback(
                WRONG,
                "right for these inputs, wrong for others: compute with what the function is "
                "given, and write no number out",
            )
        for message, mistake in self.mistakes.items():
            if same(answer, mistake(**copies(inputs))) and self._again(attempt, mistake):
                return Feedback(WRONG, message)
        reason = diagnose(attempt, self.solution, inputs, self.neutral)
        if kind == "number":
            said = f"{_plain(answer)} is not right for {_said(inputs)}; {reason or 'count again'}"
            return Feedback(WRONG, said)
        if answer.shape != wanted.shape:
            right = str(tuple(wanted.shape)) if wanted.ndim else "(), which is one number"
            return Feedback(WRONG, f"the shape is {tuple(answer.shape)}, it should be {right}")
        if not answer.isfinite().all():
            return Feedback(WRONG, f"the answer holds NaN or infinity; {self.infinite}")
        if wanted.is_floating_point() and answer.dtype not in (torch.float32, torch.float64):
            return Feedback(
                WRONG, f"the answer is of type {answer.dtype}, it should be {wanted.dtype}"
            )
        if reason:
            return Feedback(WRONG, reason)
        if wanted.dtype == torch.bool:
            wrong = (answer.bool() != wanted).nonzero()[0].tolist()
            return Feedback(WRONG, f"wrong at place {wrong}, and perhaps at others")
        apart = (answer.float() - wanted).abs().max()
        return Feedback(
            WRONG,
            f"the numbers differ by up to {apart:.3g}; go through the exercise step by step",
        )

    def _again(self, attempt: Callable[..., Any], function: Callable[..., Any]) -> bool:
        """Whether they agree on other inputs, too; numbers written out are right only once."""
        others = self.inputs(torch.Generator().manual_seed(1))
        try:
            answer = attempt(**copies(others))
        except Exception:
            return False
        return same(answer, function(**copies(others)))


def _as_tensor(attempt: Callable[..., Any]) -> Callable[..., Any]:
    """The attempt with its number as a tensor."""

    def given(**inputs: Any) -> Any:
        answer = attempt(**inputs)
        return torch.tensor(answer) if isinstance(answer, Real) else answer

    return given


def whole_numbers(**ranges: tuple[int, int]) -> Callable[[torch.Generator], dict[str, int]]:
    """Make the inputs of an exercise on counting.

    Args:
        **ranges: for each input its lowest value, and the first one above its range.

    Returns:
        What `Exercise.inputs` wants.
    """

    def draw_all(draw: torch.Generator) -> dict[str, int]:
        drawn = {name: torch.randint(*ends, (), generator=draw) for name, ends in ranges.items()}
        return {name: int(value) for name, value in drawn.items()}

    return draw_all


def _plain(number: Real) -> str:
    return f"{number:,}" if isinstance(number, int | float) else str(number)


def _said(inputs: dict[str, Any]) -> str:
    """The inputs in words: tensors by their shape, numbers by their value."""
    return ", ".join(
        f"{k} of shape {tuple(v.shape)}" if isinstance(v, Tensor) else f"{k}={v:,}"
        for k, v in inputs.items()
    )
