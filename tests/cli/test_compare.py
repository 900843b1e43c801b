"""`peftlab compare`: what it refuses before anything runs, and what it says at the end."""

import json
from concurrent.futures import BrokenExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from tiny_task import write_backbone, write_task

from peftlab.cli import main
from peftlab.runs import compare


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    place = tmp_path_factory.mktemp("compare")
    task = write_task(place / "toy.tsv")
    return ["--backbone", write_backbone(place / "bert"), "--task", task, "--epochs", "1"]


def said(*arguments):
    return CliRunner().invoke(main, ["compare", *arguments])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--engine", "dask"], "--engine dask and --scheduler ADDRESS belong together"),
        (["--scheduler", "tcp://a:1"], "--engine dask and --scheduler ADDRESS belong together"),
        (["--methods", "lora,bitfitt"], "no method 'bitfitt' to compare; there are: lora, adapter"),
        (["--minutes", "0.001"], "here; give more minutes, or compare fewer methods"),
        (["--minutes", "nan"], "--minutes must be a number of minutes, got nan"),
        (["--engine", "dask", "--scheduler", "tcp://127.0.0.1:1"], "no scheduler answers at"),
        (["--methods", ""], "no method ''"),
        (["--task", "nowhere.tsv"], "nowhere.tsv"),
        (["--seeds", "0"], "'--seeds'"),
        (["--output", "/proc/here"], "cannot write to /proc/here"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_line(where, tmp_path, more, message):
    output = [] if "--output" in more else ["--output", str(tmp_path / "out")]
    found = said(*where, "--budget", "600", "--methods", "lora", *output, *more)
    assert found.exit_code == 2 and message in found.output
    assert not list(tmp_path.glob("out/runs-*/*"))


def test_a_comparison_says_beforehand_what_it_runs_and_ends_with_three_sentences(where, tmp_path):
    output = tmp_path / "out"
    found = said(
        *where, "--budget", "600", "--methods", "lora,p_tuning", "--seeds", "2",
        "--examples", "20", "--jobs", "1", "--output", str(output),
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert found.output.startswith("examples: 48 training, ")
    assert "left out: p_tuning: the smallest size trains " in found.output
    assert "3 methods, three to seven learning rates each and 2 seeds, 20 of 48" in found.output
    assert "1 pass: about" in found.output and "validation examples are few" in found.output
    text = (output / "compare.txt").read_text()
    table, sentences = text.strip().split("\n\n")
    record = json.loads((output / "compare.json").read_text())
    assert record["command"].startswith("peftlab compare --task ") and len(record["runs"]) == 6
    assert len(table.splitlines()) == 4 and len(sentences.splitlines()) == 3
    assert text.strip() in found.output
    assert (output / "compare.png").stat().st_size > 1000


ASKED = ["--budget", "600", "--methods", "lora", "--seeds", "1", "--jobs", "1"]


def kept(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob("out/runs-*/*/run.json")}


def test_a_plan_is_kept_so_that_a_second_call_repeats_nothing(where, tmp_path, monkeypatch):
    asked = [*where, *ASKED, "--minutes", "60", "--output", str(tmp_path / "out")]
    assert said(*asked).exit_code == 0
    before = kept(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(compare, "plan", None)  # nothing is measured again
        assert said(*asked).exit_code == 0
    assert kept(tmp_path) == before
    (path,) = tmp_path.glob("out/plan-*.json")
    path.write_text("{")  # no plan: it is made again
    assert said(*asked).exit_code == 0


def test_other_data_under_the_same_name_is_trained_on(tmp_path):
    task, backbone = tmp_path / "toy.tsv", write_backbone(tmp_path / "bert")
    write_task(task)
    asked = ["--task", str(task), "--backbone", backbone, "--epochs", "1", *ASKED]
    asked += ["--output", str(tmp_path / "out")]
    assert said(*asked).exit_code == 0
    first = kept(tmp_path)
    lines = task.read_text().splitlines()
    task.write_text("\n".join([*lines, *lines[1:]]) + "\n")
    assert said(*asked).exit_code == 0
    assert first.keys() < kept(tmp_path).keys()


def test_another_model_under_the_same_name_is_trained(tmp_path):
    task, backbone = tmp_path / "toy.tsv", Path(write_backbone(tmp_path / "bert"))
    write_task(task)
    asked = ["--task", str(task), "--backbone", str(backbone), "--epochs", "1", *ASKED]
    asked += ["--output", str(tmp_path / "out")]
    assert said(*asked).exit_code == 0
    first = kept(tmp_path)
    weights = load_file(backbone / "model.safetensors")
    save_file({name: 2 * own for name, own in weights.items()}, backbone / "model.safetensors")
    assert said(*asked).exit_code == 0
    assert first.keys() < kept(tmp_path).keys()


def test_accuracy_of_words_is_no_share_of_examples(tmp_path):
    rows = [{"tokens": ["good", "w1", f"w{i}"], "tags": ["a", "b", "b"]} for i in range(20)]
    task = tmp_path / "tags.jsonl"
    task.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = said(
        "--task", str(task), "--backbone", write_backbone(tmp_path / "bert"), "--epochs", "1",
        *ASKED, "--output", str(tmp_path / "out"),
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert "validation examples are few to choose by\n" in found.output
    assert "test examples alone" not in found.output


def test_what_stops_a_comparison_is_told(where, tmp_path, monkeypatch):
    asked = [*where, *ASKED, "--output", str(tmp_path / "out")]
    for error, code, message in (
        (KeyboardInterrupt(), 130, "stopped; the same command goes on"),
        (BrokenExecutor(), 1, "a worker was killed"),
    ):

        def stopping(*arguments, error=error, **options):
            raise error

        monkeypatch.setattr(compare, "compare", stopping)
        found = said(*asked)
        assert (found.exit_code, message in found.output) == (code, True)


@pytest.mark.parametrize(
    "seconds, told",
    [
        (
            {"lora": 1.0, "bitfit": 9.0},
            ["bitfit takes 75 % of the time; without it: --methods lora"],
        ),
        ({"lora": 3.0, "bitfit": 4.0}, []),
        ({"lora": 1.0, "full": 9.0}, []),  # a baseline is in anyhow
        ({"lora": 9.0}, []),  # nothing would be left
    ],
)
def test_what_takes_most_of_the_time_is_told(where, tmp_path, monkeypatch, seconds, told):
    seconds = {"full": 1.0, "head": 1.0} | seconds
    made = compare.Plan([*seconds], {}, 20, seconds, 1.0, 2.0)
    monkeypatch.setattr(compare, "plan", lambda *arguments: made)

    def stopping(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "compare", stopping)
    found = said(*where, *ASKED, "--output", str(tmp_path / "out"))
    assert "about 1.0 minutes, or 2.0 if every method tries 7 rates" in found.output
    assert [line for line in found.output.splitlines() if "of the time" in line] == told
