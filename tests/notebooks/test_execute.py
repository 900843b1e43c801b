import json
import os

import executed
import joblib
import nbformat
import pytest
from nbformat.v4 import new_output

from peftlab.notebooks.execute import Failure, find_failures, finished, run

TRACEBACK = "Traceback (most recent call last):\n  File 'x.py', line 1\nValueError: three\n"


def error(name="ValueError", message="two"):
    return new_output("error", ename=name, evalue=message, traceback=[])


def output_widget(*outputs):
    return {"model_name": "OutputModel", "state": {"outputs": list(outputs)}}


def box(*children):
    children = [f"IPY_MODEL_{child}" for child in children]
    return {"model_name": "VBoxModel", "state": {"children": children}}


def view(name):
    return executed.shown({executed.VIEW: {"model_id": name}, "text/plain": "VBox()"})


def with_widgets(*cells, **models):
    return executed.notebook(*cells, widgets={executed.STATE: {"state": models}})


def test_a_notebook_without_errors_has_no_failures():
    bar = executed.printed("100%|####| 3/3", name="stderr")
    quoted = executed.printed(TRACEBACK, name="stdout")
    assert find_failures(executed.notebook("# A", executed.code("x", bar, quoted))) == []


def test_a_raised_error_is_named_with_its_cell_and_first_line():
    nb = executed.notebook("# A", executed.code("\n\nraise\nx", error()))
    assert [str(f) for f in find_failures(nb)] == ["cell 2 (raise): ValueError: two"]


def test_the_cell_that_sets_parameters_is_not_counted():
    cells = [executed.code("rank = 4", tags=("injected-parameters",)), executed.code("x", error())]
    assert [f.cell for f in find_failures(executed.notebook("# A", *cells))] == [2]


def test_a_cell_meant_to_raise_may():
    nb = executed.notebook(executed.code("x", error(), tags=("raises-exception",)))
    assert find_failures(nb) == []


def test_a_traceback_printed_to_stderr_in_pieces_is_a_failure():
    pieces = [executed.printed(part + "\n", name="stderr") for part in TRACEBACK.splitlines()]
    nb = executed.notebook(executed.code("x", executed.printed("before\n", "stderr"), *pieces))
    assert find_failures(nb) == [Failure("ValueError: three", 1, "x")]


def test_colours_are_taken_out_of_messages():
    nb = executed.notebook(executed.code("x", error(message="\x1b[0;31mred\x1b[0m")))
    assert find_failures(nb)[0].error == "ValueError: red"


@pytest.mark.parametrize(
    "held", [error("ValueError", "three"), executed.printed(TRACEBACK, "stderr")]
)
def test_an_error_in_an_output_widget_belongs_to_the_cell_that_shows_it(held):
    models = {"a": box("b"), "b": box("c", "a"), "c": output_widget(held)}
    nb = with_widgets(executed.code("y"), executed.code("show", view("a")), **models)
    assert find_failures(nb) == [Failure("ValueError: three", 2, "show")]


def test_an_error_in_an_output_widget_that_no_cell_shows_counts_too():
    nb = with_widgets(executed.code("y", view("gone")), c=output_widget(error()))
    assert find_failures(nb) == [Failure("ValueError: two")]


def test_output_widgets_without_errors_are_fine():
    assert find_failures(with_widgets(c=output_widget(executed.printed("hello")))) == []


def test_a_crash_belongs_to_the_cell_begun_last():
    begun = {"papermill": {"start_time": "2025"}}
    cells = [executed.code("a", **begun), executed.code("b", **begun), executed.code("c")]
    nb = executed.notebook(*cells)
    assert find_failures(nb, "Kernel died") == [Failure("Kernel died", 2, "b")]
    assert find_failures(executed.notebook("# A"), "no kernel") == [Failure("no kernel")]


GOOD = """
import json, os
out = {"rank": rank, "seeds": seeds, "cwd": os.getcwd(), "threads": os.environ["OMP_NUM_THREADS"]}
json.dump(out, open("00_good.json", "w"))
"""
SWALLOWED = """
import ipywidgets
out = ipywidgets.Output()
with out:
    raise KeyError("swallowed")
ipywidgets.VBox([out])
"""


@pytest.fixture(scope="module")
def two_labs(tmp_path_factory):
    """One run of two labs side by side: one that passes, one that fails in every way."""
    folder, output = tmp_path_factory.mktemp("labs"), tmp_path_factory.mktemp("out") / "gallery"
    values = {"rank": 4, "seeds": (3, 4)}
    tagged = executed.code("rank: int = 8\nseeds: tuple = (0,)", tags=("parameters",))
    good = executed.save(folder, "00_good", "# Good", tagged, executed.code(GOOD))
    bad = executed.save(
        folder,
        "01_bad",
        executed.code("print('so far')\n_ = open('01_bad.json', 'w').write('{')"),
        executed.code(SWALLOWED),
        executed.code("1 / 0"),
        executed.code("print('never')"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OMP_NUM_THREADS", raising=False)
        patch.setenv("TOKENIZERS_PARALLELISM", "true")
        outcomes = {o.lab: o for o in run({good: values, bad: {}}, output, jobs=2)}
        after = {
            name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM")
        }
    return output, outcomes, after


def test_a_lab_gets_its_parameters_with_their_types_and_the_output_folder(two_labs):
    output, _, _ = two_labs
    found = json.loads((output / "00_good.json").read_text())
    assert (found["rank"], found["seeds"], found["cwd"]) == (4, [3, 4], str(output))
    source = [cell.source for cell in nbformat.read(output / "00_good.ipynb", 4).cells]
    assert "seeds = (3, 4)" in source[2]


def test_labs_side_by_side_share_the_cores_and_leave_the_environment_alone(two_labs):
    output, _, after = two_labs
    threads = json.loads((output / "00_good.json").read_text())["threads"]
    assert threads == str(max(1, joblib.cpu_count() // 2))
    assert after == {"OMP_NUM_THREADS": None, "TOKENIZERS_PARALLELISM": "true"}


def test_a_failing_lab_is_reported_in_full_and_the_other_passes(two_labs):
    _, outcomes, _ = two_labs
    assert outcomes["00_good"].failures == ()
    swallowed, raised, record = map(str, outcomes["01_bad"].failures)
    assert swallowed == "cell 2 (import ipywidgets): KeyError: 'swallowed'"
    assert raised == "cell 3 (1 / 0): ZeroDivisionError: division by zero"
    assert record.startswith("its record 01_bad.json is not JSON")


def test_the_partial_notebook_of_a_failing_lab_is_kept_without_foreign_cells(two_labs):
    output, _, _ = two_labs
    cells = nbformat.read(output / "01_bad.ipynb", 4).cells
    assert [len(cell.outputs) for cell in cells] == [1, 1, 1, 0]
    assert cells[0].outputs[0].text == "so far\n"


def test_executed_notebooks_say_how_the_run_ended(two_labs):
    output, outcomes, _ = two_labs
    for lab, outcome in outcomes.items():
        metadata = nbformat.read(output / f"{lab}.ipynb", 4).metadata
        assert metadata["peftlab"]["failures"] == [str(failure) for failure in outcome.failures]
        assert metadata["peftlab"]["seconds"] == round(outcome.seconds, 1) > 0
        assert metadata["peftlab"]["record"] is (lab == "00_good")
        assert "papermill" not in metadata


def test_nothing_half_written_stays_in_the_output_folder(two_labs):
    output, _, _ = two_labs
    names = {path.name for path in output.iterdir()}
    assert names == {"00_good.ipynb", "00_good.json", "01_bad.ipynb", "01_bad.json"}


def test_a_kernel_that_dies_fails_its_lab_and_an_older_record_is_not_taken_for_new(tmp_path):
    source = "import os\nos._exit(1)"
    lab = executed.save(tmp_path, "00_dies", executed.code("x = 1"), executed.code(source))
    output = tmp_path / "out"
    output.mkdir()
    (output / "00_dies.json").write_text("{}")
    (outcome,) = run({lab: {}}, output)
    assert str(outcome.failures[0]).startswith("cell 2 (import os): DeadKernelError")
    metadata = nbformat.read(output / "00_dies.ipynb", 4).metadata
    assert metadata["peftlab"]["record"] is False


def test_labs_that_finished_since_a_moment_are_read_from_what_they_left(tmp_path):
    labs = [tmp_path / "labs" / f"{name}.ipynb" for name in ("00_old", "01_new", "02_none")]
    for lab, failures in zip(labs, ([], ["cell 2 (x): ValueError: two"]), strict=False):
        nb = executed.notebook("# A")
        nb.metadata["peftlab"] = {"seconds": 3.0, "failures": failures, "record": False}
        nbformat.write(nb, tmp_path / lab.name)
    os.utime(tmp_path / "00_old.ipynb", (100, 100))
    (outcome,) = finished(labs, tmp_path, since=200)
    assert (outcome.lab, outcome.seconds) == ("01_new", 3.0)
    assert list(map(str, outcome.failures)) == ["cell 2 (x): ValueError: two"]
