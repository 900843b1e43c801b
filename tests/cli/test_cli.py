import json
import os
import signal
import subprocess
import sys
import time

import executed
import nbformat
import pytest
import torch
from click.testing import CliRunner

from peftlab import __version__, paths
from peftlab.anatomy.catalog import CATALOG, catalog_config
from peftlab.backbones import load_backbone, transformers_config
from peftlab.cli import main
from peftlab.methods import COUNTED
from peftlab.methods.lora.method import LoRA
from peftlab.notebooks import execute as runner
from peftlab.notebooks.execute import Failure, Outcome
from peftlab.notebooks.files import MANIFEST
from peftlab.pretraining import loop as pretraining
from peftlab.pretraining import probes, questions, recipes, resume
from peftlab.pretraining.corpus import token_rows, train_tokenizer
from peftlab.pretraining.recipes import Recipe
from peftlab.runs import separation


@pytest.fixture
def labs(tmp_path, monkeypatch):
    folder = tmp_path / "labs"
    folder.mkdir()
    monkeypatch.setattr(paths, "LABS", folder)
    monkeypatch.chdir(tmp_path)
    for name in ("00_start", "01_lora"):
        executed.save(folder, name, executed.code("rank: int = 8  # r", tags=("parameters",)))
    return folder


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def runs(monkeypatch):
    """The runs that the command line asks for, none of which takes place; the second lab fails."""
    asked = []

    def run(labs, output, jobs):
        asked.append(({path.stem: values for path, values in labs.items()}, output.name, jobs))
        for path in labs:
            failures = (Failure("KeyError: 'x'", 3, "f(x)"),) * path.stem.startswith("01")
            noted = executed.ran(tuple(map(str, failures)))
            output.mkdir(exist_ok=True)
            executed.save(output, path.stem, "# Lab", peftlab=noted)
            yield Outcome(path.stem, 2.4, failures)

    monkeypatch.setattr(runner, "run", run)
    return asked


def test_run_takes_all_labs_by_default(labs, runs):
    result = invoke("run")
    assert runs == [({"00_start": {}, "01_lora": {}}, "gallery", 1)]
    assert result.stdout.splitlines()[-1] == "gallery/index.html"


def test_run_hands_on_labs_parameters_folder_and_jobs(labs, runs):
    result = invoke("run", "00", "-p", "rank", "4", "--output", "there", "--jobs", 3)
    assert runs == [({"00_start": {"rank": 4}}, "there", 3)]
    assert result.exit_code == 0
    assert result.stdout == "passed  00_start  2 s\nthere/index.html\n"


def test_a_failing_lab_is_named_on_stderr_and_the_others_are_still_reported(labs, runs):
    result = invoke("run")
    assert result.exit_code == 1
    assert "01_lora failed: cell 3 (f(x)): KeyError: 'x'" in result.stderr
    assert result.stdout.startswith("passed  00_start  2 s\nfailed  01_lora  2 s\n")
    assert "cell 3 (f(x))" in (labs.parent / "gallery" / "index.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["02_nothing"], "no lab '02_nothing'; the labs are, closest first: 0"),
        (["0"], "'0' could be any of: 00_start, 01_lora"),
        (
            ["-p", "rnk", "4"],
            "00_start has no parameter 'rnk'; its parameters are:\n  rank: int = 8",
        ),
        (["-p", "rank", "abc"], "rank must be int, got 'abc'"),
        (["-p", "rank"], "'-p' requires 2 arguments"),
        (["--jobs", "0"], "0 is not in the range"),
        (["--output", "labs"], "--output labs is where the labs are"),
    ],
)
def test_wrong_input_is_refused_before_anything_runs(labs, runs, arguments, message):
    result = invoke("run", *arguments)
    assert result.exit_code == 2 and message in result.stderr
    assert not runs and not (labs.parent / "gallery").exists()


@pytest.mark.parametrize("command", [("run", "00", "--output"), ("lab", "--copy-only")])
def test_a_folder_that_cannot_be_made_is_refused_in_one_line(labs, runs, command):
    (labs.parent / "file").touch()
    result = invoke(*command, "file/inside")
    assert result.exit_code == 2 and not runs
    assert "cannot write to file/inside: Not a directory; choose" in result.stderr


SLOW = "import time\nopen('started', 'w').close()\ntime.sleep(120)"
START = """
from pathlib import Path
from peftlab import cli, paths
paths.LABS = Path("labs")
cli.main()
"""


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_keeps_the_labs_that_finished(tmp_path, jobs):
    (tmp_path / "labs").mkdir()
    executed.save(tmp_path / "labs", "00_quick", "# Quick", executed.code("print('done')"))
    executed.save(tmp_path / "labs", "01_slow", "# Slow", executed.code(SLOW))
    process = subprocess.Popen(
        [sys.executable, "-c", START, "run", "--jobs", jobs],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        deadline = time.monotonic() + 60
        while not all(
            (tmp_path / "gallery" / name).exists() for name in ("started", "00_quick.ipynb")
        ):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all of its processes
        stdout, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "passed  00_quick" in stdout and "stopped  01_slow" in stdout
    names = {path.name for path in (tmp_path / "gallery").iterdir()}
    assert names == {"00_quick.ipynb", "00_quick.html", "index.html", "started"}
    assert nbformat.read(tmp_path / "gallery" / "00_quick.ipynb", 4).cells[1].outputs


def test_lab_copies_and_opens_jupyterlab_there(labs, monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: started.append(arguments))
    result = invoke("lab", "mine", "--no-browser")
    assert "copied   00_start.ipynb\n" in result.stdout
    (command,) = started
    assert command[1:] == ["-m", "jupyterlab", "--notebook-dir", "mine", "--no-browser"]
    assert (tmp_path / "mine" / "01_lora.ipynb").is_file()
    invoke("lab", "mine")
    assert "--no-browser" not in started[1]


def test_lab_names_what_it_updated_and_what_it_kept(labs, tmp_path):
    assert invoke("lab", "--copy-only").exit_code == 0
    (tmp_path / "peftlab-labs" / "00_start.ipynb").write_text("mine")
    executed.save(labs, "01_lora", "# Newer")
    result = invoke("lab", "--copy-only")
    kept, updated = "kept     00_start.ipynb: you changed it", "updated  01_lora.ipynb"
    assert kept in result.stdout and updated in result.stdout
    assert (tmp_path / "peftlab-labs" / "00_start.ipynb").read_text() == "mine"
    assert (tmp_path / "peftlab-labs" / MANIFEST).is_file()


def test_lab_refuses_a_file_as_folder(labs, tmp_path):
    (tmp_path / "file").write_text("")
    result = invoke("lab", "file")
    assert result.exit_code == 2 and "'file' is a file" in result.stderr


def count(*arguments):
    result = invoke("count", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_counting_gpt3_imports_no_torch_and_gives_the_papers_number():
    script = """
import sys
from peftlab.cli import main
arguments = "count --backbone gpt3-175b --method lora -o rank=4 --json".split()
main(arguments, standalone_mode=False)
heavy = {"torch", "transformers", "papermill", "nbformat", "jupyter_core", "numpy"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trained"] == 18_874_368


def test_count_as_json_is_the_methods_count_with_its_settings():
    found = count("--backbone", "bert-base", "--method", "lora", "-o", "rank=2", "--labels", 5)
    method, config = LoRA(rank=2), catalog_config("bert-base", 5)
    expected = method.parameter_count(config, "sequence_classification").to_dict()
    assert {key: found.pop(key) for key in expected} == expected
    assert found == {
        "method": "lora",
        "backbone_name": "bert-base",
        "head_name": "sequence_classification",
        "hyperparameters": json.loads(json.dumps(method.hyperparameters())),
    }


@pytest.mark.parametrize(
    ("head", "student", "teacher"),
    [("none", 66_362_880, 109_482_240), ("masked_lm", 66_985_530, 109_514_298)],
)
def test_counting_distillation_gives_the_papers_66_of_110_million(head, student, teacher):
    found = count("--backbone", "bert-base", "--method", "distillation", "--head", head)
    assert (found["trained"], found["stored"], found["backbone"]) == (student, student, teacher)
    usual = count("--backbone", "bert-base", "--method", "distillation")
    assert (usual["trained"], usual["backbone"]) == (66_362_880, 109_482_240)
    assert usual["head_name"] == "sequence_classification"
    of_three = count("--backbone", "bert-base", "--method", "distillation", "-o", "layers=0,5,11")
    assert usual["trained"] - of_three["trained"] == 3 * 7_087_872  # what a layer has
    assert of_three["hyperparameters"]["layers"] == [0, 5, 11]


def test_count_without_a_method_lists_all_and_without_a_backbone_takes_minilm():
    rows = count()
    assert [row["method"] for row in rows] == list(COUNTED)
    assert {row["backbone_name"] for row in rows} == {"minilm"}
    table = invoke("count").stdout
    assert f"{rows[0]['trained']:,}" in table and "optimizer MiB" in table


def test_a_method_that_does_not_fit_stands_in_the_list_with_the_reason():
    rows = {row["method"]: row for row in count("--backbone", "gpt2")}
    assert "nothing to train" in rows["head"]["refused"]
    assert rows["lora"]["trained"] > 0
    table = invoke("count", "--backbone", "gpt2").stdout
    assert "head: head='causal_lm' has nothing to train" in table


@pytest.mark.parametrize(
    ("option", "name", "value"),
    [
        ("targets=query,value", "targets", ["query", "value"]),
        ("targets=query, key", "targets", ["query", "key"]),
        ("targets=query", "targets", ["query"]),
        ("targets=('key',)", "targets", ["key"]),
        ("alpha=0.5", "alpha", 0.5),
        ("init=gaussian", "init", "gaussian"),
        ("rank={'query': 1, 'value': 2}", "rank", {"query": 1, "value": 2}),
    ],
)
def test_hyperparameters_are_literals_text_or_comma_separated(option, name, value):
    assert count("--method", "lora", "-o", option)["hyperparameters"][name] == value


def test_the_head_can_be_chosen_and_left_out():
    assert count("--method", "lora", "--head", "none")["head"] == 0
    tagged = count("--method", "lora", "--head", "token_classification", "--labels", 9)
    assert (tagged["head_name"], tagged["head"]) == ("token_classification", 9 * 385)


def test_count_gives_every_method_the_size_that_a_budget_buys():
    table = invoke("count", "--budget", "100000").stdout.splitlines()[3:]
    lines = {line.split()[0].rstrip(":"): line for line in reversed(table)}  # remarks are below
    assert "rank=11" in lines["lora"] and "101,376" in lines["lora"]
    assert "biases=all" in lines["bitfit"] and "bottleneck=9" in lines["adapter"]
    below = "\n".join(table)
    assert "the smallest size trains 22,713,216" in below and "leave --budget out" in below
    assert "bitfit: even its largest size trains 26,112" in below
    arguments = ("--budget", 9000, "--method", "p_tuning", "-o", "prompt_encoder=none")
    assert "template=[P*11] [X] [P*12] [Y]" in invoke("count", *arguments).stdout
    found = count(*arguments)
    assert found["hyperparameters"]["template"].count("[P]") == 23
    assert found["trained"] == 23 * 384


def test_count_takes_a_size_or_a_budget():
    result = invoke("count", "--method", "lora", "--budget", 9999, "-o", "rank=4")
    assert result.exit_code == 2
    assert "-o rank and --budget both say how large lora is; give one" in result.stderr


@pytest.mark.parametrize("backbone", [*CATALOG])
def test_every_backbone_of_the_catalog_is_counted_with_and_without_a_budget(backbone):
    for budget in ((), ("--budget", 10**12), ("--budget", 10**6)):
        assert invoke("count", "--backbone", backbone, *budget).exit_code == 0


def test_count_says_in_one_line_what_the_smallest_budget_is():
    result = invoke("count", "--method", "lora", "--budget", "10")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "more than the budget of 10; give a budget of 9216 or more" in line


def test_a_local_folder_is_counted_like_its_architecture(tmp_path):
    transformers_config("minilm").save_pretrained(tmp_path)
    folder = count("--backbone", tmp_path, "--method", "lora")
    assert folder["head_name"] is None
    assert folder["trained"] == count("--method", "lora")["trained"]


def test_a_bundled_backbone_is_counted_by_its_own_config():
    bundled = count("--backbone", "lab-bert", "--method", "lora")
    config = load_backbone("lab-bert")[0].config
    assert bundled["trained"] == LoRA().parameter_count(config).trained


def test_a_hub_id_out_of_reach_is_said_in_one_line(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = invoke("count", "--backbone", "nobody/nothing")
    assert result.exit_code == 2 and "the hub did not give it" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backbone", "nope"], "no backbone 'nope' in the catalog; it has: minilm"),
        (["--backbone", "."], "the folder . has no config.json"),
        (
            ["--method", "lora", "-o", "rnk=3"],
            "lora has no hyperparameter 'rnk'; it has: rank, alpha",
        ),
        (["--method", "head", "-o", "rank=3"], "head has no hyperparameter 'rank'; it has: none"),
        (["--method", "lora", "-o", "rank=0"], "rank must be at least 1, got 0"),
        (["--method", "lora", "-o", "alpha=x"], "alpha must be a number, got 'x'"),
        (["--method", "lora", "-o", "rank"], "-o takes KEY=VALUE, such as rank=4; got 'rank'"),
        (["--method", "lora", "-o", "targets=qurey"], "nothing matches 'qurey'"),
        (["-o", "rank=3"], "say which with --method"),
        (["--backbone", "gpt2", "--method", "head"], "has nothing to train"),
        (["--backbone", "gpt2", "--head", "masked_lm"], "masked_lm"),
    ],
)
def test_count_refuses_wrong_input_in_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke("count", *arguments)
    assert result.exit_code == 2 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ") and message in line


@pytest.mark.parametrize("arguments", [["--method", "lorra"], ["--labels", "0"], ["--head", "x"]])
def test_count_refuses_values_outside_of_a_choice(arguments):
    assert invoke("count", *arguments).exit_code == 2


def test_the_version_is_the_packages():
    assert __version__ in invoke("--version").stdout


@pytest.mark.parametrize(
    "command",
    [[], ["lab"], ["run"], ["count"], ["pretrain"], ["distill"], ["probe"], ["separation"]],
)
def test_help_teaches_with_an_example(command):
    assert "Example: peftlab" in invoke(*command, "--help").stdout


TINY = Recipe(
    name="tiny", family="gpt2", layers=1, width=32, tokens=6 * 64, row=32, rows=2, interval=3
)


@pytest.fixture
def tiny_recipe(monkeypatch):
    """A recipe that is done in seconds, its tokenizer too."""
    made = train_tokenizer(TINY, documents=100)
    monkeypatch.setattr(recipes, "RECIPES", {"tiny": TINY})
    monkeypatch.setattr(resume, "train_tokenizer", lambda recipe: made)
    monkeypatch.setattr(probes, "GATES", {"tiny": {"dictionary": 0.9}})
    few = {name: items[:3] for name, items in questions.questions().items()}
    monkeypatch.setattr(probes, "questions", lambda seed: few)


def test_pretrain_leaves_a_backbone_with_its_card_and_says_that_a_gate_is_missed(
    tiny_recipe, tmp_path
):
    result = invoke("pretrain", "tiny", "--output", tmp_path)
    assert result.exit_code == 1
    assert "FAILED" in result.stdout
    assert result.stdout.splitlines()[-1] == str(tmp_path / "tiny" / "README.md")
    again = invoke("probe", tmp_path / "tiny", "--kinds")
    assert again.exit_code == 1
    table = [line for line in result.stdout.splitlines() if line.startswith("dictionary")]
    assert table[0] in again.stdout
    found = json.loads(invoke("probe", tmp_path / "tiny", "--json").stdout)
    assert [probe["probe"] for probe in found] == list(questions.questions(0))


def test_pretrain_that_was_stopped_goes_on(tiny_recipe, tmp_path, monkeypatch):
    rows = token_rows

    def stop(tokenizer, recipe, shard, steps):
        if shard == 1:
            raise KeyboardInterrupt
        return rows(tokenizer, recipe, shard, steps)

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "token_rows", stop)
        result = invoke("pretrain", "tiny", "--output", tmp_path)
    assert result.exit_code == 130
    assert "goes on from the last checkpoint" in result.stdout
    invoke("pretrain", "tiny", "--output", tmp_path)
    assert json.loads((tmp_path / "tiny" / "pretraining.json").read_text())["step"] == 6


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["pretrain", "gpt-5"], "no recipe 'gpt-5'; there are: lab-gpt-nano, lab-gpt-micro"),
        (["pretrain", "lab-bert", "--device", "cuda"], "torch finds no GPU here"),
        (["probe", "nowhere"], "'nowhere' is no local folder"),
        (["separation", "sums"], "no study of 'sums'; there are: opinions"),
    ],
)
def test_pretrain_probe_and_separation_refuse_wrong_input(
    arguments, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_separation_writes_its_record_and_fails_when_a_margin_does_not_hold(monkeypatch, tmp_path):
    row = {
        **{"task": "opinions", "backbone": "lab-bert", "trial": "head only", "metric": "accuracy"},
        **{"mean": 0.9, "sd": 0.01, "seeds": 2, "wanted": "15% or more under full", "holds": False},
    }
    asked = []

    def found(tasks, **settings):
        asked.append((tasks, list(settings["seeds"]), settings["jobs"]))
        return {"runs": [], "margins": [row], "prompts": {}}

    monkeypatch.setattr(separation, "separation", found)
    result = invoke("separation", "opinions", "--seeds", 2, "--output", tmp_path)
    assert asked == [(("opinions",), [0, 1], 2)]
    assert result.exit_code == 1
    assert "15% or more under full: does not hold" in result.stdout
    record = json.loads((tmp_path / "separation_opinions.json").read_text())
    assert record["command"] == "peftlab separation opinions --seeds 2"
    assert record["margins"] == [row]


def test_the_ledger_is_printed_as_text_markdown_or_json():
    text = invoke("ledger").stdout
    assert "two digits exchanged" in text and "does not reproduce: 20" in text
    rows = invoke("ledger", "--paper", "lora", "--format", "markdown").stdout.splitlines()
    assert rows[1].startswith("| --- |") and all(row.count("|") == 8 for row in rows[:-2])
    found = json.loads(invoke("ledger", "--paper", "bitfit", "--format", "json").stdout)
    assert {row["paper"] for row in found} == {"bitfit"} and found[0]["verdict"] == "rounds to it"


def test_a_paper_that_is_not_in_the_ledger_is_refused():
    result = invoke("ledger", "--paper", "qlora")
    assert result.exit_code == 2 and "it has: lora, adapter" in result.stderr
