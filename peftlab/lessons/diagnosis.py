"""Where a wrong attempt goes wrong: the first input that it treats in another way than it should.

The attempt is tried again with one input after the other changed or taken out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from numbers import Real
from typing import Any

import torch
from torch import Tensor

Function = Callable[..., Any]


def diagnose(
    attempt: Function, solution: Function, inputs: Mapping[str, Any], neutral: Mapping[str, Any]
) -> str | None:
    """Name the first input on which an attempt goes wrong.

    Args:
        attempt: a wrong function; it may raise on changed inputs.
        solution: the right function.
        inputs: on which the attempt is wrong, by name.
        neutral: values that take an input out of the formula, where 0 for tensors and 1 for numbers
            do not; None leaves an input as it is, because no value takes it out.

    Returns:
        A sentence for the learner; None if no single input and no pair of them explains it.
    """

    def agree(changes: Mapping[str, Any]) -> bool:
        changed = {**inputs, **changes}
        wanted = solution(**copies(changed))
        if isinstance(wanted, Tensor) and same(wanted, torch.zeros_like(wanted)):
            return False  # everything is zero there, and nearly every attempt would be right
        return same(_tried(attempt, changed), wanted)

    for name in inputs:
        if _depends(solution, inputs, name) and not _depends(attempt, inputs, name):
            return f"your answer stays the same whatever {name} is; {name} has to enter it"
    out = _taken_out(inputs, neutral)
    for names in [(n,) for n in out] + list(combinations(out, 2)):
        if agree({name: out[name] for name in names}):
            said = " and ".join(f"{name} = {_short(out[name])}" for name in names)
            where = " and ".join(names)
            return f"right when {said}; so look at what your function does with {where}"
    return _growth(attempt, solution, inputs)


def copies(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the inputs, so that a function may change them.

    Args:
        inputs: tensors and numbers by name.

    Returns:
        The same with its tensors copied.
    """
    return {k: v.clone() if isinstance(v, Tensor) else v for k, v in inputs.items()}


def same(first: Any, second: Any) -> bool:
    """Say whether two answers are one: counts exactly, tensors to four digits.

    Args:
        first: a tensor or a number; anything else is no answer.
        second: the same.

    Returns:
        Whether they are equal.
    """
    if not isinstance(first, Tensor) or not isinstance(second, Tensor):
        numbers = isinstance(first, Real) and isinstance(second, Real)
        return numbers and bool(first == second)
    return first.shape == second.shape and torch.allclose(
        first.float(), second.float(), rtol=1e-4, atol=1e-5
    )


def _tried(function: Function, inputs: Mapping[str, Any]) -> Any:
    try:
        return function(**copies(inputs))
    except Exception:  # the changed input may not suit a wrong attempt
        return None


def _depends(function: Function, inputs: Mapping[str, Any], name: str) -> bool:
    value = inputs[name]
    if isinstance(value, Tensor) and not value.is_floating_point():
        return True  # ids and masks cannot be moved a little
    other: Any = 2 * value + 1
    if isinstance(value, Tensor):  # fresh numbers, for a norm would undo a shift and a scale
        draw = torch.Generator().manual_seed(2)
        other = torch.randn(value.shape, generator=draw).to(value.dtype)
    other = _tried(function, {**inputs, name: other})
    return other is None or not same(other, _tried(function, inputs))


def _taken_out(inputs: Mapping[str, Any], neutral: Mapping[str, Any]) -> dict[str, Any]:
    """Values that take an input out, the smallest input first: a bias before a matrix."""
    found = {}
    for name, value in inputs.items():
        if name in neutral:
            found |= {} if neutral[name] is None else {name: neutral[name]}
        elif not isinstance(value, Tensor):
            found[name] = type(value)(1)
        elif value.is_floating_point():
            found[name] = torch.zeros_like(value)

    def size(item: tuple[str, Any]) -> tuple[int, int]:
        value = torch.as_tensor(inputs[item[0]])
        return value.numel(), value.ndim

    return dict(sorted(found.items(), key=size))


def _short(value: Any) -> str:
    return f"{value.max():g}" if isinstance(value, Tensor) else f"{value:g}"


def _growth(attempt: Function, solution: Function, inputs: Mapping[str, Any]) -> str | None:
    """How much a count grows with an input: a count that misses a part grows too little."""
    whole, wanted = _tried(attempt, inputs), solution(**inputs)
    if not (isinstance(wanted, Real) and isinstance(whole, Real)):
        return None
    for name, value in inputs.items():
        more = {**inputs, name: value + 1}
        grown = _tried(attempt, more)
        if not isinstance(grown, Real):
            continue
        ours, right = grown - whole, solution(**more) - wanted
        if ours != right:
            return f"with {name} = {value + 1:,} your count grows by {ours:,}, not by {right:,}"
    return None
