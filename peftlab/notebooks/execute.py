"""Executing labs. papermill runs each lab in a kernel of its own.

A notebook can go wrong without stopping: an exception in an `Output` context, in `interact` or in a
logged callback leaves a traceback behind, and the next cell runs. So what failed is read off the
executed notebook, and a lab passes only when no error stands anywhere in it.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import nbformat
import papermill
from nbformat import NotebookNode

from peftlab.files import write_whole
from peftlab.notebooks.kernels import KernelManager

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


WIDGET_STATE = "application/vnd.jupyter.widget-state+json"


_INJECTED, _MARKER = "injected-parameters", "papermill-error-cell-tag"


_TRACEBACK = "Traceback (most recent call last)"


_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Failure:
    """An error in an executed lab.

    Args:
        error: its name and message.
        cell: position of the cell in the lab, from 1; None when the error belongs to no cell.
        source: first line of that cell.
    """

    error: str
    cell: int | None = None
    source: str = ""

    def __str__(self) -> str:
        return (
            self.error if self.cell is None else f"cell {self.cell} ({self.source}): {self.error}"
        )


@dataclass(frozen=True)
class Outcome:
    """How the run of one lab ended.

    Args:
        lab: its name.
        seconds: how long it ran.
        failures: the errors in it. There are none when the lab passed.
    """

    lab: str
    seconds: float
    failures: tuple[Failure, ...]


def run(labs: dict[Path, dict[str, Any]], output: Path, jobs: int = 1) -> Iterator[Outcome]:
    """Execute labs, several at a time if wished, each then in a process of its own.

    Clients of several kernels in one process can lose each other's messages and wait for ever.

    Args:
        labs: for each notebook the values of its parameters.
        output: the folder for the executed notebooks. The labs run with it as working directory.
        jobs: how many labs run at a time. Each gets its share of the cores.

    Yields:
        How a lab ended, as soon as it has ended.
    """
    output.mkdir(parents=True, exist_ok=True)
    with _kernel_environment(jobs):
        side_by_side = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
        yield from side_by_side(
            joblib.delayed(execute)(lab, values, output, position=i if jobs > 1 else 0)
            for i, (lab, values) in enumerate(labs.items())
        )


def execute(lab: Path, values: dict[str, Any], output: Path, position: int = 0) -> Outcome:
    """Execute one lab and write its executed notebook, also when it fails.

    The metadata of that notebook say under `peftlab` how the run ended: `seconds`, `failures`, and
    whether the lab wrote its `record`.

    Args:
        lab: the notebook.
        values: of parameters by name. The lab declares each of them.
        output: the folder for the executed notebook. The lab runs with it as working directory.
        position: the row of its progress bar, counted from 0.

    Returns:
        How the run ended.
    """
    output = output.resolve()
    record = output / f"{lab.stem}.json"
    record_before = _stamp(record)
    started, crash = time.perf_counter(), None
    with tempfile.TemporaryDirectory() as scratch:
        ready, executed = Path(scratch, "ready.ipynb"), Path(scratch, "executed.ipynb")
        nbformat.write(_parameterised(nbformat.read(lab, as_version=4), values), ready)
        try:
            papermill.execute_notebook(
                ready,
                executed,
                kernel_name="python3",
                language="python",
                progress_bar={"desc": lab.stem, "position": position, "dynamic_ncols": True},
                resources={"metadata": {"path": str(output)}},
                extra_arguments=["--log-level=CRITICAL"],
                kernel_manager_class=KernelManager,
            )
        except papermill.PapermillExecutionError:
            pass  # it stands in the notebook, beside the errors that did not stop it
        except Exception as error:  # the kernel died, or never started
            crash = f"{type(error).__name__}: {error}"
        nb = nbformat.read(executed if executed.exists() else ready, as_version=4)
    seconds = time.perf_counter() - started
    nb.cells = [cell for cell in nb.cells if _MARKER not in cell.metadata.get("tags", [])]
    failures = find_failures(nb, crash)
    fresh = _stamp(record) not in (None, record_before)
    if fresh and (fault := _record_fault(record)):
        failures.append(Failure(fault))
        fresh = False
    nb.metadata.pop("papermill", None)
    nb.metadata["peftlab"] = {
        "seconds": round(seconds, 1),
        "failures": [str(failure) for failure in failures],
        "record": fresh,
    }
    with write_whole(output / lab.name) as beside:
        nbformat.write(nb, beside)
    return Outcome(lab.stem, seconds, tuple(failures))


def finished(labs: Iterable[Path], output: Path, since: float) -> list[Outcome]:
    """Read how labs ended from the notebooks that they left.

    Args:
        labs: notebooks.
        output: the folder for the executed notebooks.
        since: seconds since the epoch; what was written before counts for nothing.

    Returns:
        The labs that ended.
    """
    ended = []
    for lab in labs:
        path = output / lab.name
        if path.is_file() and path.stat().st_mtime >= since:
            said = nbformat.read(path, as_version=4).metadata["peftlab"]
            failures = tuple(map(Failure, said["failures"]))
            ended.append(Outcome(lab.stem, said["seconds"], failures))
    return ended


def find_failures(nb: NotebookNode, crash: str | None = None) -> list[Failure]:
    """Find every error in an executed notebook.

    An error can be raised, caught by a widget, or printed as a traceback.

    Args:
        nb: the executed notebook. A cell tagged `raises-exception` is meant to raise.
        crash: what ended the run although no cell raised, such as a dead kernel. It is counted as
            an error of the cell that was begun last.

    Returns:
        The errors, in the order of the cells.
    """
    widgets = nb.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    swallowed = {
        name: list(_errors(widget["state"].get("outputs", [])))
        for name, widget in widgets.items()
        if widget["model_name"] == "OutputModel"
    }
    found, number, last = [], 0, {}
    for cell in nb.cells:
        tags = cell.metadata.get("tags", [])
        if _INJECTED not in tags:  # the lab itself does not have that cell
            number += 1
        if cell.cell_type != "code":
            continue
        first_line = next(iter(cell.source.strip().splitlines()), "")
        if cell.metadata.get("papermill", {}).get("start_time"):
            last = {"cell": number, "source": first_line}
        errors = [] if "raises-exception" in tags else list(_errors(cell.outputs))
        for output in cell.outputs:
            view = output.get("data", {}).get(WIDGET_VIEW, {})
            for name in _reach(widgets, view.get("model_id")):
                errors += swallowed.pop(name, [])
        found += [Failure(error, number, first_line) for error in errors]
    found += [Failure(error) for errors in swallowed.values() for error in errors]
    return found + ([Failure(crash, **last)] if crash else [])


def _errors(outputs: Iterable[dict[str, Any]]) -> Iterator[str]:
    """What went wrong according to the outputs of a cell or of an `Output` widget."""
    printed = ""
    for output in outputs:
        if output["output_type"] == "error":
            yield _ANSI.sub("", f"{output['ename']}: {output['evalue']}")
        elif output["output_type"] == "stream" and output["name"] == "stderr":
            printed += _ANSI.sub("", "".join(output["text"]))
    _, traceback, rest = printed.rpartition(_TRACEBACK)
    if traceback:
        lines = (line for line in rest.splitlines()[1:] if line and not line[0].isspace())
        yield next(lines, "a traceback on stderr")


def _reach(widgets: dict[str, Any], root: str | None) -> set[str]:
    """The widgets that are shown when `root` is shown: itself, its children and their children."""
    reached, waiting = set(), {root} & set(widgets)
    while waiting:
        name = waiting.pop()
        reached.add(name)
        children = re.findall(r"IPY_MODEL_(\w+)", json.dumps(widgets[name]["state"]))
        waiting |= set(children) & set(widgets) - reached
    return reached


def _parameterised(nb: NotebookNode, values: dict[str, Any]) -> NotebookNode:
    """Set `values` in a new cell after the cell tagged `parameters`.

    papermill can set them itself, but it turns tuples into text.
    """
    if values:
        source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
        cell = nbformat.v4.new_code_cell(
            f"# Parameters of this run\n{source}", metadata={"tags": [_INJECTED]}
        )
        tagged = ["parameters" in cell.metadata.get("tags", []) for cell in nb.cells]
        nb.cells.insert(tagged.index(True) + 1, cell)
    return nb


def _stamp(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None


def _record_fault(path: Path) -> str | None:
    """Why a record cannot be read, if it cannot."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return f"its record {path.name} is not JSON: {error}"
    return None if isinstance(found, dict) else f"its record {path.name} is not a JSON object"


@contextmanager
def _kernel_environment(jobs: int) -> Iterator[None]:
    """Environment variables that the kernels inherit.

    Each kernel gets a share of the cores, quiet libraries, and figures inside the notebook. A
    number of threads that the user has set stays.
    """
    settings = {
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS")
        or str(max(1, joblib.cpu_count() // jobs)),
        "TOKENIZERS_PARALLELISM": "false",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
