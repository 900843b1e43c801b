"""Hyperparameters, each declared once, where its method names it.

    rank: int = whole(8, low=1, usual=(1, 64), counts=True)

A declaration says the default, what is allowed and what is usual. It serves everybody who asks: the
method refuses other values, the command line reads text, a panel offers values to choose from. This
file imports no torch, so that counting answers at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from math import inf
from typing import Any

from peftlab.methods.kinds import Choice, Flag, Hyperparameter, Names, Number, Own

_KEY = "hyperparameter"  # of a field's metadata


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

    Returns:
        A field for the dataclass of a method.
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

    Returns:
        A field for the dataclass of a method.
    """
    more = {"offers": (default,)} | more
    return _field(Number(default=default, low=low, optional=default is None, **more))


def choice(*options: str | None, counts: bool = False) -> Any:
    """Declare one of several values; the first is the default.

    Args:
        *options: all values.
        counts: see `Hyperparameter`.

    Returns:
        A field for the dataclass of a method.
    """
    return _field(Choice(default=options[0], options=options, offers=options, counts=counts))


def flag(default: bool, *, counts: bool = False) -> Any:
    """Declare True or False.

    Args:
        default: the value where none is given.
        counts: see `Hyperparameter`.

    Returns:
        A field for the dataclass of a method.
    """
    return _field(Flag(default=default, offers=(True, False), counts=counts))


def names(*default: str, what: str, **more: Any) -> Any:
    """Declare one name or several.

    Args:
        *default: the names where none are given.
        what: see `Names`.
        **more: `options`, `offers` and `counts`, see `Names` and `Hyperparameter`.

    Returns:
        A field for the dataclass of a method.
    """
    return _field(Names(default=default, what=what, **{"offers": (default,)} | more))


def own(default: Any, checked: Callable[[Any], Any], **more: Any) -> Any:
    """Declare a value of a kind that no other method has.

    Args:
        default: the value where none is given.
        checked: see `Own`.
        **more: `offers` and `counts`, see `Hyperparameter`.

    Returns:
        A field for the dataclass of a method.
    """
    return _field(Own(default=default, checked=checked, **{"offers": (default,)} | more))


def _field(declared: Hyperparameter) -> Any:
    """A field of a dataclass that carries its declaration."""
    return dataclasses.field(default=declared.default, metadata={_KEY: declared})


def declared(method: Any) -> dict[str, Hyperparameter]:
    """List the declarations of a method by the names of its hyperparameters.

    Args:
        method: a method, or its class.

    Returns:
        In the order of the fields.

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
