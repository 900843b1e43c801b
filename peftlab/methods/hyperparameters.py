"""Hyperparameters, each declared once, where its method names it.

    rank: int = whole(8, low=1, usual=(1, 64), counts=True)

A declaration says the default, what is allowed and what is usual. Everybody who asks reads it: the
method refuses other values, the command line reads text, a panel offers values to choose from.
This file imports no torch, so that counting answers at once.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from peftlab.refuse import require_number

_KEY = "hyperparameter"  # of a field's metadata


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
        """The value as the method keeps it.

        Args:
            name: of the hyperparameter, for the message.
            value: what was given.

        Raises:
            TypeError: the value has the wrong type.
            ValueError: the value is out of range.
        """
        return value

    def offered(self) -> dict[str, Any]:
        """What is offered, by the text that a reader sees of it."""
        return {_shown(value): value for value in self.offers}

    def read(self, text: str) -> Any:
        """The value that `text` of the command line means; `check` comes afterwards."""
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
        """The value itself; see `Hyperparameter.check`."""
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
        """The value itself; see `Hyperparameter.check`."""
        if value not in self.options:
            raise ValueError(
                f"{name} must be one of {', '.join(map(str, self.options))}, got {value!r}; "
                f"write for example {name}={self.default!r}"
            )
        return value

    def read(self, text: str) -> Any:
        """The option that is written so."""
        return next((option for option in self.options if str(option) == text), text)


@dataclass(frozen=True, kw_only=True)
class Flag(Hyperparameter):
    """True or False."""

    def check(self, name: str, value: Any) -> Any:
        """The value itself; see `Hyperparameter.check`."""
        if not isinstance(value, bool):
            raise TypeError(
                f"{name} must be True or False, got {value!r}; write for example {name}=False"
            )
        return value

    def read(self, text: str) -> Any:
        """True or False, in capitals or not."""
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
        """The names as a tuple, one alone too; see `Hyperparameter.check`."""
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
        """A tuple as Python writes it, or names with commas between them."""
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
        """What `checked` gives; see `Hyperparameter.check`."""
        return self.checked(value)


def whole(
    default: int, *, low: int, usual: tuple[int, int] | None = None, high: float = inf, **more: Any
) -> Any:
    """Declare a whole number.

    Args:
        default: the value where none is given.
        low: the smallest value.
        usual: the range of the paper; a panel offers its powers of two and the default.
        high: the largest value.
        **more: `each` and `counts`, see `Number` and `Hyperparameter`.
    """
    offers = {default}
    if usual:
        offers |= {2**i for i in range(usual[1].bit_length()) if usual[0] <= 2**i <= usual[1]}
    return _field(
        Number(
            default=default, low=low, high=high, integer=True, offers=tuple(sorted(offers)), **more
        )
    )


def number(default: float | None, *, low: float, **more: Any) -> Any:
    """Declare a number.

    Args:
        default: the value where none is given; None makes the number optional.
        low: the smallest value.
        **more: `high`, `below`, `example`, `offers` and `counts`, see `Number` and
            `Hyperparameter`.
    """
    more = {"offers": (default,)} | more
    return _field(Number(default=default, low=low, optional=default is None, **more))


def choice(*options: str | None, counts: bool = False) -> Any:
    """Declare one of several values; the first is the default.

    Args:
        *options: all values.
        counts: see `Hyperparameter`.
    """
    return _field(Choice(default=options[0], options=options, offers=options, counts=counts))


def flag(default: bool, *, counts: bool = False) -> Any:
    """Declare True or False.

    Args:
        default: the value where none is given.
        counts: see `Hyperparameter`.
    """
    return _field(Flag(default=default, offers=(True, False), counts=counts))


def names(*default: str, what: str, **more: Any) -> Any:
    """Declare one name or several.

    Args:
        *default: the names where none are given.
        what: see `Names`.
        **more: `options`, `offers` and `counts`, see `Names` and `Hyperparameter`.
    """
    return _field(Names(default=default, what=what, **{"offers": (default,)} | more))


def own(default: Any, checked: Callable[[Any], Any], **more: Any) -> Any:
    """Declare a value of a kind that no other method has.

    Args:
        default: the value where none is given.
        checked: see `Own`.
        **more: `offers` and `counts`, see `Hyperparameter`.
    """
    return _field(Own(default=default, checked=checked, **{"offers": (default,)} | more))


def _shown(value: Any) -> str:
    """A value as a reader sees it in a panel."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    words = {None: "none", True: "yes", False: "no"}
    if value is None or isinstance(value, bool):
        return words[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _field(declared: Hyperparameter) -> Any:
    """A field of a dataclass that carries its declaration."""
    return dataclasses.field(default=declared.default, metadata={_KEY: declared})


def declared(method: Any) -> dict[str, Hyperparameter]:
    """The declarations of a method, or of its class, by the names of the hyperparameters.

    Raises:
        TypeError: a field of the class is not declared.
    """
    fields = dataclasses.fields(method)
    plain = [field.name for field in fields if _KEY not in field.metadata]
    if plain:
        raise TypeError(
            f"{plain[0]} is no declared hyperparameter; write for example "
            f"{plain[0]}: int = whole(8, low=1), from peftlab.methods.hyperparameters"
        )
    return {field.name: field.metadata[_KEY] for field in fields}
