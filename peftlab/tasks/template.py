"""The one grammar of the texts with gaps: a cloze's prompt, and a template of P-Tuning.

    [X]     the text, or the subject of a fact
    [X2]    the second text, where there is one
    [Y]     the answer
    [P]     a slot, which P-Tuning gives a vector of its own; [P*3] is short for [P] [P] [P]

"The capital of [X] is [Y]." is a prompt; "[P*3] [X] [P*3] [Y] ." is a template.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

SUBJECT, SECOND, ANSWER, SLOT = "[X]", "[X2]", "[Y]", "[P]"


def parse(template: str | Sequence[str]) -> str:
    """A template as one string, with [P*3] written out as [P] [P] [P].

    Args:
        template: such as "[P*3] [X] [P*3] [Y] ."; or its parts, ["[P*3]", "[X]", "[P*3]", "[Y]"].

    Returns:
        The template, its parts separated by one space each.

    Raises:
        TypeError: neither a string nor strings.
        ValueError: no slot, not exactly one [X], or more than one [X2] or [Y].
    """
    parts = [template] if isinstance(template, str) else template
    if not isinstance(parts, (list, tuple)) or not all(isinstance(p, str) for p in parts):
        raise TypeError(f"template must be a string or a list of strings, got {template!r}")
    text = re.sub(r"\[P\*(\d+)\]", lambda m: " ".join([SLOT] * int(m[1])), " ".join(parts))
    wrong = [gap for gap in (SUBJECT, SECOND, ANSWER) if text.count(gap) > 1]
    if typos := re.findall(r"\S*[\[\]]\S*", re.sub(r"\[(P|X|X2|Y)\]", " ", text)):
        raise ValueError(
            f"{typos[0]!r} in the template {template!r} is no gap; write [P] or [P*3] for slots, "
            "[X] and [X2] for the input, [Y] for the target"
        )
    if SLOT not in text or SUBJECT not in text or wrong:
        raise ValueError(
            f"template must have a slot [P] or [P*n], the input [X] once, and [X2], its second "
            f"text, and [Y], the target, at most once; got {template!r}"
        )
    return " ".join(text.split())


def check_prompt(prompt: str) -> None:
    """Refuse what is not the prompt of a cloze.

    Args:
        prompt: such as "The capital of [X] is [Y]."

    Raises:
        TypeError: no text.
        ValueError: it does not have [X] and [Y] once each.
    """
    if not isinstance(prompt, str):
        raise TypeError(f"a prompt is a text with {SUBJECT} and {ANSWER}; got {prompt!r}")
    for gap in (SUBJECT, ANSWER):
        if prompt.count(gap) != 1:
            raise ValueError(
                f"a prompt has {SUBJECT} for the subject and {ANSWER} for the answer, once each; "
                f"{prompt!r} has {gap} {prompt.count(gap)} times"
            )


def fill(template: str, text: str, second: str = "") -> str:
    """A template with its texts in place; [Y] and the slots stay.

    Args:
        template: a prompt or a template.
        text: what stands at [X].
        second: what stands at [X2].

    Returns:
        The filled template. A text may itself have "[X]" or "[X2]" in it, and keeps it.
    """
    return second.join(part.replace(SUBJECT, text) for part in template.split(SECOND))


def abbreviate(template: str) -> list[str]:
    """The parts of a template in short, for a figure.

    Args:
        template: as `parse` writes it.

    Returns:
        Its words; a run of slots is one of them, such as "P3", and gaps have no brackets.
    """
    words: list[str] = []
    run = 0
    for word in template.split():
        run = run + 1 if word == SLOT else 0
        if run > 1:
            words.pop()
        words.append(f"P{run}" if run else word.strip("[]"))
    return words
