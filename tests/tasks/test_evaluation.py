import subprocess
import sys

import pytest

from peftlab.tasks import Evaluation, Example


def test_any_reference_is_accepted_white_space_aside():
    examples = tuple(Example("q", tags={"kind": k}, references=("a  b", "c")) for k in "xxyy")
    found = Evaluation(examples, ("a b", " c\n", "ab", "A b"), 0.0)
    assert found.accuracy == 0.5
    assert {kind: group["accuracy"] for kind, group in found.by("kind").items()} == {"x": 1, "y": 0}


def test_words_that_were_cut_off_are_wrong():
    example = Example(("Anna", "sleeps", "here"), (1, 0, 0))
    assert Evaluation((example,), ((1, 0),), 0.0).accuracy == 2 / 3


@pytest.mark.parametrize(
    "module",
    ["tasks", "tasks.evaluation", "tasks.scores", "tasks.word_counting", "seeds", "figures"],
)
def test_scoring_and_drawing_import_no_torch(module):
    script = f"import sys, peftlab.{module}; assert 'torch' not in sys.modules"
    assert not subprocess.run([sys.executable, "-c", script]).returncode
