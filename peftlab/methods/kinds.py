"""The kinds of hyperparameters: what each of them allows, and how its values are read and shown.

This file imports no torch, so that counting answers at once.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from peftlab.refuse import require_number


@dataclass(frozen=True, kw_only=True)
class Hyperparameter:
    """What a hyperparameter may be; this base class allows everything.

    Args:
        default: its value where none is given.
        offers: values that a panel lets people choose from, the default among them.
        counts: whether the number of trained parameters depends on it.
    """

    default: Any
    offers: tuple[Any, ...] = ()
    counts: bool = False

    def check(self, name: str, value: Any) -> Any:
        """Check a value, and give it as the method keeps it.

        Args:
            name: of the hyperparameter, for the message.
            value: what was given.

        Returns:
            The value, or another form of it.

        Raises:
            TypeError: the value has the wrong type.
            ValueError: the value is out of range.
        """
        return value

    def offered(self) -> dict[str, Any]:
        """What is offered, by the text that a reader sees of it."""
        return {_shown(value): value for value in self.offers}

    def read(self, text: str) -> Any:
        """Read what the command line was given; `check` comes afterwards.

        Args:
            text: as typed.

        Returns:
            The value that the text means.
        """
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return text


@dataclass(frozen=True, kw_only=True)
class Number(Hyperparameter):
    """A number in a range.

    Args:
        low: the smallest value.
        high: the largest value; infinity is never allowed.
        below: whether `high` itself is refused.
        integer: whether it must be whole.
        optional: whether it may be None.
        each: whether a mapping may give one number for each of several names.
        example: a good value, for messages.
    """

    low: float
    high: float = inf
    below: bool = False
    integer: bool = False
    optional: bool = False
    each: bool = False
    example: float | None = None

    def check(self, name: str, value: Any) -> Any:
        """Check the range; see `Hyperparameter.check`."""
        if self.optional and value is None:
            return None
        example = self.default if self.example is None else self.example
        below = self.below or self.high == inf
        given = value.values() if self.each and isinstance(value, Mapping) else [value]
        for number in given:
            require_number(name, number, self.low, self.high, self.integer, example, below)
        return value


@dataclass(frozen=True, kw_only=True)
class Choice(Hyperparameter):
    """One of several values, which are texts or None.

    Args:
        options: all of them.
    """

    options: tuple[str | None, ...]

    def check(self, name: str, value: Any) -> Any:
        """Check that it is one of the options; see `Hyperparameter.check`."""
        if value not in self.options:
            raise ValueError(
                f"{name} must be one of {', '.join(map(str, self.options))}, got {value!r}; "
                f"write for example {name}={self.default!r}"
            )
        return value

    def read(self, text: str) -> Any:
        """Find the option that is written so; see `Hyperparameter.read`."""
        return next((option for option in self.options if str(option) == text), text)


@dataclass(frozen=True, kw_only=True)
class Flag(Hyperparameter):
    """True or False."""

    def check(self, name: str, value: Any) -> Any:
        """Check that it is True or False; see `Hyperparameter.check`."""
        if not isinstance(value, bool):
            raise TypeError(
                f"{name} must be True or False, got {value!r}; write for example {name}=False"
            )
        return value

    def read(self, text: str) -> Any:
        """Read True or False, in capitals or not; see `Hyperparameter.read`."""
        return {"true": True, "false": False}.get(text.lower(), text)


@dataclass(frozen=True, kw_only=True)
class Names(Hyperparameter):
    """At least one name; several stand in a tuple.

    Args:
        what: what the names are of, in the plural, for messages.
        options: the names that are allowed; None allows all.
    """

    what: str
    options: tuple[str, ...] | None = None

    def check(self, name: str, value: Any) -> tuple[str, ...]:
        """Put the names into a tuple, also a single one; see `Hyperparameter.check`."""
        write = f"write for example {name}={self.default!r}"
        if not isinstance(value, (str, Sequence)):
            raise TypeError(f"{name} must be {self.what} in a tuple, got {value!r}; {write}")
        found = (value,) if isinstance(value, str) else tuple(value)
        if not found or not all(isinstance(one, str) for one in found):
            raise ValueError(f"{name} must be {self.what}, at least one, got {value!r}; {write}")
        unknown = [one for one in found if self.options and one not in self.options]
        if unknown:
            raise ValueError(
                f"{name}: there is no {unknown[0]!r}; choose from: {', '.join(self.options)}"
            )
        return found

    def read(self, text: str) -> Any:
        """Read a tuple of Python, or names with commas between; see `Hyperparameter.read`."""
        value = super().read(text)
        if isinstance(value, (tuple, list)):
            return value
        return tuple(part.strip() for part in text.split(","))


@dataclass(frozen=True, kw_only=True)
class Own(Hyperparameter):
    """A value that its method checks by a function of its own.

    Args:
        checked: takes the value, gives it as the method keeps it, or raises.
    """

    checked: Callable[[Any], Any]

    def check(self, name: str, value: Any) -> Any:
        """Ask `checked`; see `Hyperparameter.check`."""
        return self.checked(value)


def _shown(value: Any) -> str:
    """A value as a reader sees it in a panel."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    words = {None: "none", True: "yes", False: "no"}
    if value is None or isinstance(value, bool):
        return words[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
