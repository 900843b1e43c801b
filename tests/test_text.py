"""Text tables: columns line up, numbers on the right, and no cell is lost."""

import subprocess
import sys

from peftlab.text import columns, text_table


def test_columns_line_up_and_numbers_stand_on_the_right():
    rows = [
        {"name": "a long name", "n": 1, "share": "5%"},
        {"name": "b", "n": 1234, "share": "50%"},
    ]
    assert text_table(rows, right={"share"}).splitlines() == [
        "name             n  share",
        "a long name      1     5%",
        "b            1,234    50%",
    ]
    assert text_table(rows).splitlines()[1] == "a long name      1  5%"


def test_a_cell_keeps_its_indent_and_its_digits():
    text = text_table([{"probe": "  kind", "version": "1.10"}, {"probe": "facts", "version": "2"}])
    assert text.splitlines()[1] == "  kind  1.10"


def test_a_column_that_only_a_later_row_has_is_shown():
    rows = [{"a": "x"}, {"a": "y", "b": 2}]
    assert columns(rows) == ["a", "b"]
    assert text_table(rows).splitlines() == ["a  b", "x", "y  2"]


def test_signs_that_take_two_places_and_signs_that_take_none_line_up():
    lines = text_table([{"word": "日本", "n": 1}, {"word": "e\u0301te\u0301", "n": 2}]).splitlines()
    assert lines == ["word  n", "日本  1", "e\u0301te\u0301   2"]


def test_no_rows_are_no_text():
    assert text_table([]) == ""


def test_printing_a_table_imports_nothing_that_draws_or_trains():
    script = """
import sys
from peftlab.text import text_table
text_table([{"a": 1}])
print([name for name in ("torch", "numpy", "matplotlib", "IPython") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
