"""`peftlab distill`: what it says, what it refuses, and that nothing can interrupt it for good."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from click.testing import CliRunner
from tiny_teacher import write_teacher, write_text

from peftlab.backbones import load_backbone
from peftlab.cli import main
from peftlab.methods.distillation.method import Distillation
from peftlab.pretraining import distill as pretraining

QUICK = ("--steps", 6, "--batch-size", 8, "--interval", 2, "--threads", 1)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A teacher's folder and a text."""
    folder = tmp_path_factory.mktemp("source")
    return write_teacher(folder / "teacher"), write_text(folder / "text.txt")


def invoke(*arguments):
    return CliRunner().invoke(main, ["distill", *map(str, arguments)])


def test_it_says_what_the_student_costs_and_reaches_and_where_it_is(source, tmp_path):
    result = invoke(*source, "--output", tmp_path / "student", *QUICK, "-o", "layers=1,3")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    model, _ = load_backbone(tmp_path / "student", head="masked_lm")
    teacher, _ = load_backbone(source[0], head="masked_lm")
    count = Distillation(layers=(1, 3)).parameter_count(teacher.config, "masked_lm")
    assert count.trained == sum(p.numel() for p in model.parameters())
    share = f"{count.trained / count.backbone:.1%}"
    said = f"student {count.trained:,} parameters, teacher {count.backbone:,}: {share}"
    assert lines[0] == said
    assert lines[-2].startswith("held-out loss: teacher ") and ", student " in lines[-2]
    assert lines[-1] == str(tmp_path / "student")


def test_a_text_too_short_to_hold_out_of_is_enough(source, tmp_path):
    (tmp_path / "line.txt").write_text("Paris is the capital of France.")
    result = invoke(source[0], tmp_path / "line.txt", "--output", tmp_path / "student", *QUICK)
    assert result.exit_code == 0, result.output
    assert "no held-out loss: that takes a text of 50 pieces or more" in result.stdout


def test_every_option_reaches_the_run(source, tmp_path, monkeypatch):
    asked = []

    def noted(*given, **named):
        asked.append((given, named))
        raise ValueError("enough")

    monkeypatch.setattr(pretraining, "distill", noted)
    numbers = {"steps": 7, "batch_size": 3, "max_length": 9, "learning_rate": 0.25}
    numbers |= {"masked": 0.5, "interval": 4, "seed": 8, "device": "cpu"}
    options = [x for k, v in numbers.items() for x in (f"--{k.replace('_', '-')}", v)]
    more = ("-o", "temperature=4", "-o", "start=random", "-o", "layers=(0, 2)")
    assert "enough" in invoke(*source, "--output", tmp_path / "s", *options, *more).stderr
    ((given, named),) = asked
    method = Distillation(temperature=4, start="random", layers=(0, 2))
    assert [given[0], *map(str, given[1:])] == [method, *source, str(tmp_path / "s")]
    assert named == numbers


def test_ctrl_c_says_what_to_do_and_the_same_command_goes_on(source, tmp_path, monkeypatch):
    write, command = pretraining.checkpoint, (*source, "--output", tmp_path / "student", *QUICK)

    def stop(*given):
        write(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "checkpoint", stop)
        result = invoke(*command)
    assert result.exit_code == 130
    assert "goes on from the last checkpoint" in result.stdout
    assert not (tmp_path / "student").exists()
    other = invoke(*command, "--seed", 1)
    assert other.exit_code == 2 and "belongs to another run: seed differ" in other.stderr
    assert invoke(*command).exit_code == 0
    again = invoke(*command)
    assert again.exit_code == 2
    assert "student exists already; delete it, or choose another folder" in again.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"teacher": "nowhere"}, "'nowhere' is no local folder"),
        ({"teacher": "."}, ". is no model folder: it has no config.json"),
        ({"teacher": "lab-gpt-nano"}, "a teacher must be one of bert, roberta, got model_type"),
        ({"teacher": "minilm"}, "the weights have no masked_lm head"),
        ({"text": "nowhere.txt"}, "there is no text file nowhere.txt; give one with a text on"),
        ({"text": "."}, "there is no text file ."),
        ({"text": "empty.txt"}, "there is no text in empty.txt"),
        ({"text": "binary"}, "binary is no text in UTF-8"),
        ({"--output": "empty.txt"}, "empty.txt exists already"),
        ({"--output": "empty.txt/inside"}, "cannot write to empty.txt/inside.partial: Not a dir"),
        ({"--max-length": 1}, "max_length must be at least 4, got 1"),
        ({"--masked": 1}, "masked must be from 0.001 to below 1"),
        ({"--learning-rate": "nan"}, "learning_rate must be from 1e-12 to 1000"),
        ({"--learning-rate": 1000, "--steps": 20}, "try the learning rate 100"),
        ({"--seed": 2**33}, "seed must be from 0"),
        ({"-o": "layers=9"}, "layers must be at most 4, the teacher's, got 9"),
        ({"-o": "layers=x"}, "layers must be None (half as many), a number of layers, or"),
        ({"-o": "rank=3"}, "distillation has no hyperparameter 'rank'; it has: layers, temp"),
        ({"-o": "layers"}, "-o takes KEY=VALUE"),
    ],
)
def test_wrong_input_is_refused_in_one_line(given, message, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").touch()
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    teacher, text = given.pop("teacher", source[0]), given.pop("text", source[1])
    options = dict(zip(QUICK[::2], QUICK[1::2], strict=True)) | {"--output": "student"} | given
    result = invoke(teacher, text, *[x for pair in options.items() for x in pair])
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert message in line
    assert result.stderr.rstrip().endswith(line)
    assert not (tmp_path / "student").exists()


@pytest.mark.parametrize(
    "options", [(), ("--output", "s", "--steps", 0), ("--output", "s", "--device", "tpu")]
)
def test_values_outside_of_a_choice_are_refused(options, source):
    assert invoke(*source, *options).exit_code == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(source, tmp_path):
    result = invoke(*source, "--output", tmp_path / "s", "--device", "cuda")
    assert result.exit_code == 2 and "torch finds no GPU here" in result.stderr


def wait_for(seen, process):
    deadline = time.monotonic() + 600
    while process.poll() is None and not seen():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.skipif(os.name == "nt", reason="sends SIGKILL")
def test_a_run_that_is_killed_again_and_again_ends_where_a_whole_one_does(source, tmp_path):
    options = ("--steps", 150, "--batch-size", 8, "--interval", 5, "--threads", 1)
    assert invoke(*source, "--output", tmp_path / "whole", *options).exit_code == 0
    folder, work = tmp_path / "student", tmp_path / "student.partial"
    command = ("distill", *source, "--output", folder, *options)
    start = "from peftlab.cli import main; main()"
    draw, file, ends = random.Random(0), work / "checkpoint.safetensors", []

    def written():
        try:
            return file.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    for attempt in range(6):
        if folder.exists():
            break
        before = written()
        process = subprocess.Popen(
            [sys.executable, "-c", start, *map(str, command)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            if attempt < 2:  # in the middle
                wait_for(lambda before=before: written() != before, process)
                time.sleep(draw.uniform(0, 0.2))
            elif attempt == 2:  # while the student is written
                wait_for((work / "student").exists, process)
            else:
                process.wait(timeout=600)
        finally:
            process.kill()
            ends.append(process.wait())
        if folder.exists():
            load_backbone(folder, head="masked_lm")  # it is whole
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        one, other = ((tmp_path / f / name).read_bytes() for f in ("whole", "student"))
        assert one == other, name
    assert ends.count(-signal.SIGKILL) >= 2
