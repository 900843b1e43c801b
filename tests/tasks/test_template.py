"""The grammar of prompts and templates: what is refused is tested where it is used."""

import subprocess
import sys

import pytest

from peftlab.tasks.template import abbreviate, check_prompt, fill, parse


@pytest.mark.parametrize(
    ("template", "short"),
    [
        ("[P*3] [X] [P*3] [Y]", ["P3", "X", "P3", "Y"]),
        ("[P] Paris [P] [X2] and [X] [P*12]", ["P1", "Paris", "P1", "X2", "and", "X", "P12"]),
    ],
)
def test_runs_of_slots_are_counted_and_words_stay(template, short):
    assert abbreviate(parse(template)) == short


@pytest.mark.parametrize("text", ["a", "[X]", "[X2] or [X]"])
def test_a_text_keeps_what_looks_like_a_gap(text):
    assert fill("[P] [X] [X2] [Y]", text, text) == f"[P] {text} {text} [Y]"


@pytest.mark.parametrize("prompt", ["[X] is", "[Y]", "[X] [X] [Y]"])
def test_a_prompt_has_each_gap_once(prompt):
    with pytest.raises(ValueError, match="once each"):
        check_prompt(prompt)
    check_prompt("[X] is [Y]")


def test_the_grammar_is_known_without_torch():
    program = "import sys, peftlab.tasks.template; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
