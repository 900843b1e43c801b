"""The labs, executed as a learner gets them: exercises unsolved, controls at their defaults."""

import ast
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from click.testing import CliRunner

from peftlab import cli, paths, seeds
from peftlab.lessons import (
    adapter,
    bitfit,
    compare,
    distillation,
    exercise,
    lora,
    p_tuning,
    p_tuning_v2,
    papers,
    prefix_tuning,
    prompt_tuning,
    start,
)
from peftlab.lessons.stored import StoredRuns
from peftlab.notebooks.files import all_labs, lab_parameters

WIDGET = "application/vnd.jupyter.widget-view+json"
LABS = list(all_labs().values())
ROOT = Path(__file__).parents[2]
TAUGHT = (
    *(start, lora, adapter, prompt_tuning, prefix_tuning),
    *(p_tuning, p_tuning_v2, bitfit, distillation, compare, papers),
)
LESSONS = {m.LESSON.lab: m.LESSON for m in TAUGHT}

MADE = os.environ.get("PEFTLAB_GALLERY")  # a folder where `peftlab run` left all labs
SHORT = ("00_start_here",)  # runs in seconds; without MADE the others are slow
EXECUTED = [
    lab if MADE or lab.stem in SHORT else pytest.param(lab, marks=pytest.mark.slow) for lab in LABS
]
every_executed_lab = pytest.mark.parametrize("lab", EXECUTED, ids=lambda lab: lab.stem)
lora_alone = pytest.mark.parametrize("lab", EXECUTED[1:2], ids=["01_lora"])


@pytest.fixture(scope="session")
def gallery(tmp_path_factory):
    """Gives the folder with a lab in it, which README's command runs when it is first asked for."""
    folder = Path(MADE) if MADE else tmp_path_factory.mktemp("gallery")

    def having(lab):
        if not (folder / f"{lab}.ipynb").exists():
            result = CliRunner().invoke(cli.main, ["run", lab, "--output", str(folder)])
            assert result.exit_code == 0, result.output
        return folder

    return having


def executed(gallery, lab):
    return nbformat.read(gallery(lab.stem) / lab.name, as_version=4)


def record_of(gallery, lab):
    return json.loads((gallery(lab) / f"{lab}.json").read_text())


def html_outputs(notebook):
    outputs = (o for cell in notebook.cells for o in cell.get("outputs", []))
    return [o["data"]["text/html"] for o in outputs if "text/html" in o.get("data", {})]


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.stem)
def test_a_lab_is_committed_clean_and_in_shape(lab):
    notebook = nbformat.read(lab, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    texts = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    words = len(re.sub(r"```.*?```", "", texts, flags=re.DOTALL).split())  # without solutions' code
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in code) == 1
    assert "widgets" not in notebook.metadata
    assert 35 <= len(notebook.cells) <= 60
    assert 1400 <= words <= 2600


def code_lines(cell):
    return [line for line in cell.source.splitlines() if line.strip()]


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.stem)
def test_a_lab_has_a_short_start_short_cells_and_sentences_between_them(lab):
    cells = nbformat.read(lab, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    start = code[["parameters" in c.metadata.get("tags", []) for c in code].index(True) + 1]
    assert "import" in start.source
    assert statistics.median(len(code_lines(cell)) for cell in code) <= 7
    assert max(len(code_lines(cell)) for cell in code) <= 15
    rows = "".join("c" if cell.cell_type == "code" else " " for cell in cells).split()
    assert max(map(len, rows)) <= 3


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.stem)
def test_a_lab_shows_its_lesson_and_leaves_the_runs_to_the_session(lab):
    cells = nbformat.read(lab, as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    assert "lab = session(lesson.LESSON, globals())" in code
    parts = r"import .*\b(drawing|exercises|panel|claims)\b|lessons\.\w+\.\w+ import"
    assert not re.search(parts, code)  # they hang on `lesson`
    for plumbing in ("run_trial", "find_runs", "Record(", "partial(", "interact", "Output("):
        assert plumbing not in code


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.stem)
def test_every_parameter_is_typed_and_explained(lab):
    parameters = lab_parameters(lab)
    assert {"backbone", "task", "seed"} <= parameters.keys()
    assert all(p.kind and p.help for p in parameters.values())


WITH_TRIALS = [lab for lab in LABS if lab.stem != "08_distilbert"]  # which has stages of its own


@pytest.mark.parametrize("lab", WITH_TRIALS, ids=lambda lab: lab.stem)
def test_all_that_a_lab_trains_by_default_is_stored(lab):
    parameters = lab_parameters(lab).values()
    settings = {p.name: ast.literal_eval(p.default) for p in parameters}
    stored = StoredRuns(LESSONS[lab.stem], settings)
    trials = stored.plan.trials.values() if stored.plan else ()
    assert [trial.label for trial in trials if not stored.runs(trial)] == []


@every_executed_lab
def test_a_lab_passes_with_its_exercises_unsolved(gallery, lab):
    notebook = executed(gallery, lab)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    exercises = sum(bool(re.search(r"\.check(_layer)?\(", source)) for source in code)
    said = [html for html in html_outputs(notebook) if f"<strong>{exercise.OPEN}</strong>" in html]
    assert exercises == len(said) >= 1


@every_executed_lab
def test_every_panel_carries_its_static_twin_and_every_picture_its_text(gallery, lab):
    notebook = executed(gallery, lab)
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    panels = [o["data"] for o in outputs if WIDGET in o.get("data", {})]
    assert panels and all("<table" in data["text/html"] for data in panels)
    pictures = re.findall(r"<img [^>]*>", "".join(html_outputs(notebook)))
    assert pictures and all(re.search(r'alt="[^"]{20,}"', tag) for tag in pictures)
    assert not any("image/png" in o.get("data", {}) for o in outputs)  # PNG outputs lose their text


@every_executed_lab
@pytest.mark.parametrize("page", ["index", "lab"])
def test_a_page_needs_nothing_but_itself(gallery, lab, page):
    name = lab.stem if page == "lab" else "index"
    page = BeautifulSoup((gallery(lab.stem) / f"{name}.html").read_text(), "html.parser")
    assert not page.find_all("script", src=True) and not page.find_all("link", href=True)
    assert page.find_all("img")
    assert all(tag["src"].startswith("data:") and tag["alt"] for tag in page.find_all("img"))


@every_executed_lab
def test_a_lab_prints_nothing_on_stderr(gallery, lab):
    outputs = (o for cell in executed(gallery, lab).cells for o in cell.get("outputs", []))
    assert [o["text"] for o in outputs if o.get("name") == "stderr"] == []


@every_executed_lab
def test_a_lab_leaves_a_record_with_every_claim_decided(gallery, lab):
    record = record_of(gallery, lab.stem)
    assert record["lab"] == lab.stem and record["settings"]["seed"] == 0
    assert record["seconds"] > 0 and record["counts"]
    assert {claim["key"] for claim in record["claims"]} == LESSONS[lab.stem].claims.keys()
    for claim in record["claims"]:
        assert claim["verdict"] in (seeds.HOLDS, seeds.FAILS, seeds.CLOSE, seeds.NO_ROOM)
        assert claim["ours"] and claim["seeds"]


@lora_alone
def test_lora_record_separates_the_methods(gallery, lab):
    record = record_of(gallery, lab.stem)
    mean = record["separation"]
    assert mean["head"] <= mean["full"] - 10
    assert mean["random"] <= mean["full"] - 10
    assert mean["LoRA"] >= mean["full"] - 4


@lora_alone
def test_lora_record_holds_counts_curves_seeds_and_times(gallery, lab):
    record = record_of(gallery, lab.stem)
    assert record["counts"]["LoRA r=8"]["trained"] == 6 * 2 * 8 * (384 + 384)
    assert all(curve["losses"] for curve in record["curves"].values())
    assert record["times"]["LoRA r=8"] > 0
    five = [0, 1, 2, 3, 4]
    seeds = {"live": [0], "controls": five, "quality": [5, 6, 7], "sweeps": five}
    assert record["seeds"] == seeds and record["grid"]
    assert [(row["run"], row["agrees"]) for row in record["agreement"]] == [("LoRA r=8", "yes")]


@lora_alone
def test_lora_learns_live_what_the_head_alone_cannot(gallery, lab):
    """How far exactly is the stored seeds' to say: another processor rounds to other numbers."""
    record = record_of(gallery, lab.stem)
    (live,) = (r["test_accuracy"] for r in record["results"] if r["source"] == "live")
    head = [r["test_accuracy"] for r in record["results"] if r["label"] == "head only"]
    assert live >= max(head) + 0.05


@pytest.mark.parametrize("where", ["root", "labs", "elsewhere"])
def test_a_lab_starts_from_any_working_directory(where, tmp_path):
    """The root holds a folder `datasets`, which must not pass for the package of that name."""
    folder = {"root": ROOT, "labs": paths.LABS, "elsewhere": tmp_path}[where]
    notebook = nbformat.read(paths.LABS / "00_start_here.ipynb", as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    code = [source for source in code if ".write()" not in source]  # would leave a file behind
    script = "import sys; sys.path.insert(0, '')\n" + "\n".join(code)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_labs_run_on_the_bundled_encoder_and_its_task(tmp_path):
    wanted = {"backbone": "lab-bert", "task": "opinions"}
    others = [
        lab.stem
        for lab in LABS
        if any(lab_parameters(lab)[name].default != repr(v) for name, v in wanted.items())
    ]
    parameters = [part for name, value in wanted.items() for part in ("-p", name, value)]
    result = CliRunner().invoke(cli.main, ["run", *others, *parameters, "--output", str(tmp_path)])
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "01_lora.json").read_text())
    assert (record["settings"]["backbone"], record["settings"]["task"]) == ("lab-bert", "opinions")
