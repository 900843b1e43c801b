"""How large a method has to be to train a given number of parameters.

    fit = closest(LoRA(), catalog_config("minilm"), "sequence_classification", 100_000)
    fit.method.rank, fit.trained          # 11, 101,376

What grows is the method's size, see `Method.size_name`: a rank, a bottleneck, a length. BitFit has
no size; the kinds of its biases are chosen. This file imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peftlab import anatomy
from peftlab.methods.base import Method
from peftlab.refuse import require_number

TEXT = 16  # positions that are left to a text at least, its special tokens among them
MOST = 100_000  # where nothing else ends a size


@dataclass(frozen=True)
class Fit:
    """A method of the size that comes closest to a budget.

    Args:
        method: with that size.
        asked: the budget.
        trained: what it trains, without the head.
    """

    method: Method
    asked: int
    trained: int


def closest(method: Method, config: Any, head: str | None, budget: int) -> Fit:
    """Find the size at which a method trains as many parameters as asked for, or nearly.

    Args:
        method: its other hyperparameters stay.
        config: of the backbone, see `Method.parameter_count`.
        head: see `Method.parameter_count`.
        budget: trained parameters without the head, at least 0.

    Returns:
        The method and what it trains, below or above the budget; of two that are equally close the
        smaller one. Where even its largest size trains less, it is that one; no size is above
        `MOST`.

    Raises:
        TypeError: `budget` is no whole number.
        ValueError: the budget is below the smallest size, or the method does not fit the backbone.
    """
    require_number("budget", budget, 0, integer=True, example=100_000)
    found = _by_size(method, config, head, budget)
    if found is None:
        found = [(_count(own, config, head), own) for own in method.alternatives(config, head)]
    smallest = min(trained for trained, _ in found)
    if smallest > budget:
        raise ValueError(
            f"{method.title}: the smallest size trains {smallest:,} parameters of this backbone, "
            f"more than the budget of {budget:,}; give a budget of {smallest} or more"
        )
    trained, own = min(found, key=lambda pair: (abs(pair[0] - budget), pair[0]))
    return Fit(own, budget, trained)


def size_of(method: Method) -> str:
    """Say how large a method is, as it is written on the command line.

    Args:
        method: any.

    Returns:
        Such as "rank=8", or the kinds of BitFit's biases; "" for a method without a size.
    """
    name = method.size_name
    if name is None:
        kinds = getattr(method, "biases", ())
        return f"biases={','.join(kinds)}" if kinds else ""
    if name == "template":
        return f"{method.positions} positions"
    return f"{name}={getattr(method, name)}"


def _by_size(
    method: Method, config: Any, head: str | None, budget: int
) -> list[tuple[int, Method]] | None:
    """The sizes on either side of the budget, with their counts; None without a size."""
    if method.size_name is None:
        return None
    low, high = 1, 2
    first = method.resized(low)
    found = {low: (_count(first, config, head), first)}  # or why not even that fits

    def enough(size: int) -> bool:
        """Whether this size reaches the budget, or does not fit any more."""
        if size > MOST:
            return True
        own = method.resized(size)
        try:
            found[size] = _count(own, config, head), own
        except ValueError:
            return True
        return found[size][0] >= budget

    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return [found[size] for size in (1, low, high) if size in found]


def _count(method: Method, config: Any, head: str | None) -> int:
    """What the method trains; it has to leave room for a text."""
    trained = method.parameter_count(config, head).trained
    room = anatomy.position_room(config)
    if room is not None and method.positions > room - TEXT:
        raise ValueError(
            f"{method.title} with {method.positions} positions leaves no room for a text: this "
            f"model has {room}"
        )
    return trained
