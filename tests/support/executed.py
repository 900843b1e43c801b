"""Tiny notebooks, some as if executed, for the tests of the runner and the gallery."""

import base64
import io
import json
from pathlib import Path

import nbformat
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"

FOREIGN = """
<script>document.title = "taken over"</script>
<script src="https://example.org/a.js"></script>
<link rel="stylesheet" href="https://example.org/a.css">
<iframe src="https://example.org/"></iframe>
<img alt="dot" srcset="https://example.org/b.png"
  src="data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7">
"""

RECORD = {
    "lab": "01_two",
    "title": "Two & more",
    "question": "Is it <small>?",
    "paper": {"title": "A paper", "url": "https://example.org/abs/1", "date": "2021-10-16"},
    "claims": [{"verdict": v} for v in ("holds", "does not hold", "holds", "not measured")],
}


def png() -> str:
    """A small picture, as an output holds it."""
    buffer = io.BytesIO()
    Figure(figsize=(0.4, 0.3)).savefig(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()


def shown(data: dict, **metadata) -> dict:
    """An output of `display`."""
    return new_output("display_data", data, metadata=metadata)


def printed(text: str, name: str = "stdout") -> dict:
    """An output of `print`."""
    return new_output("stream", name=name, text=text)


def code(source: str, *outputs: dict, tags: tuple[str, ...] = (), **metadata) -> dict:
    """A code cell with its outputs."""
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags), **metadata})


def notebook(*cells, **metadata) -> nbformat.NotebookNode:
    """A notebook of cells; strings are markdown."""
    cells = [new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    return new_notebook(cells=cells, metadata=metadata)


def save(folder: Path, name: str, *cells, **metadata) -> Path:
    """Write a notebook; a `peftlab` entry in its metadata makes it one that was run."""
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook(*cells, **metadata), path)
    return path


def ran(failures: tuple[str, ...] = (), seconds: float = 3.0, record: bool = False) -> dict:
    """What the runner notes in the metadata of a notebook that it executed."""
    return {"seconds": seconds, "failures": list(failures), "record": record}


def sample(folder: Path) -> Path:
    """A folder of three executed labs: one failed, one rich in outputs, one bare."""
    save(
        folder,
        "00_one",
        "# One",
        code("1 / 0"),
        peftlab=ran(("cell 2 (1 / 0): ZeroDivisionError: x",)),
    )
    widgets = {STATE: {"state": {"m": {"model_name": "VBoxModel", "state": {}}}}}
    save(
        folder,
        "01_two",
        r"# Heading of two"
        "\n\nA formula $W_0 x$, see [one](00_one.ipynb#One).\n\n"
        r"$$\frac{\alpha}{r} B A$$"
        "\n\n## What's next\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n![far](https://example.org/far.png)\n",
        code("secret = 1", tags=("hide-input",)),
        code("figure", shown({"image/png": png()}), alt='Loss "falls"'),
        code("picture", shown({"image/png": png()}, **{"image/png": {"alt": "Spectrum"}})),
        code("panel", shown({VIEW: {"model_id": "m"}, "text/html": "<p>the twin</p>"})),
        code("control", shown({VIEW: {"model_id": "m"}, "text/plain": "IntSlider(value=3)"})),
        code("train", printed("epoch 1\n"), printed(" 10%\r"), printed(" 50%\r100%\n")),
        code("latex", shown({"text/latex": r"$\displaystyle \Delta W$", "text/plain": "x"})),
        code("foreign", shown({"text/html": FOREIGN + "<b>kept</b>"})),
        widgets=widgets,
        peftlab=ran(seconds=184, record=True),
    )
    (folder / "01_two.json").write_text(json.dumps(RECORD))
    save(folder, "02_three", "no heading", peftlab=ran())
    save(folder, "notes", "# A notebook of the reader's own")
    return folder
