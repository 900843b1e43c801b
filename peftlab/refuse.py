"""Wrong input, said with what is allowed and one fix."""

from __future__ import annotations

from math import inf


def require_number(
    name: str,
    value: object,
    low: float,
    high: float = inf,
    integer: bool = False,
    example: float | None = None,
    below: bool = False,
) -> None:
    """Refuse what is not a number from `low` to `high`.

    Args:
        name: of the argument, for the message.
        value: what was given.
        low: the smallest number that is allowed.
        high: the largest number that is allowed.
        integer: whether only whole numbers are allowed.
        example: a good value, for the message.
        below: whether `high` itself is refused; infinity, too, where there is no other `high`.

    Raises:
        TypeError: `value` is no number, or not a whole one.
        ValueError: `value` is out of range.
    """
    kinds = (int,) if integer else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        wanted = "a whole number" if integer else "a number"
        raise TypeError(
            f"{name} must be {wanted}, got {value!r}; write for example {name}={example or low:g}"
        )
    if not low <= value <= high or (below and value == high):
        if high == inf:
            allowed = f"at least {low:g}"
            if below and not integer:
                allowed += " and finite"
        else:
            most = int(high) if integer else f"{high:g}"
            allowed = f"from {low:g} to {'below ' if below else ''}{most}"
        fix = "" if example is None else f"; write for example {name}={example:g}"
        raise ValueError(f"{name} must be {allowed}, got {value!r}{fix}")
