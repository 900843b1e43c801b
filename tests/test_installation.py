"""What an installation shows to Python, seen from a fresh process outside of the clone."""

import os
import subprocess
import sys
from importlib import metadata

import pytest

FROM_OUTSIDE = """
import sys
from importlib.util import find_spec

import peftlab
from peftlab import paths

assert (paths.LABS / "01_lora.ipynb").is_file() and (paths.DATASETS / "reviews").is_dir()
assert find_spec("peftlab.methods").origin.startswith(peftlab.__path__[0])
assert sys.modules["peftlab"].__spec__.origin == peftlab.__file__
"""

ONE_STEP_OF_TRAINER = """
import sys
from importlib.util import find_spec

import peftlab
import torch
import transformers

assert find_spec("datasets") is None, "`datasets` can be imported: install peftlab again with pip"
config = transformers.GPT2Config(vocab_size=9, n_positions=8, n_embd=8, n_layer=1, n_head=1)
arguments = transformers.TrainingArguments(
    sys.argv[1], max_steps=1, use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no"
)
rows = [{"input_ids": torch.tensor([1, 2, 3]), "labels": torch.tensor([1, 2, 3])}] * 4
model = transformers.GPT2LMHeadModel(config)
done = transformers.Trainer(model, arguments, train_dataset=rows).train()
assert done.global_step == 1
"""


def installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def run_outside(script: str, folder) -> None:
    """Run a script in `folder`, with nothing on the path but what is installed."""
    if not installed("peftlab"):
        pytest.skip("peftlab is not installed here, only on the path")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder / "out")],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_package_finds_its_labs_and_data_from_outside(tmp_path):
    run_outside(FROM_OUTSIDE, tmp_path)


def test_a_folder_named_like_the_package_does_not_hide_it(tmp_path):
    """A clone is a folder `peftlab` too, and people work in the folder beside it."""
    (tmp_path / "peftlab").mkdir()
    run_outside(FROM_OUTSIDE, tmp_path)


def test_trainer_runs_beside_the_package_without_the_hub_library(tmp_path):
    if installed("datasets"):
        pytest.skip("the hub's library is installed, so its name is taken rightly")
    run_outside(ONE_STEP_OF_TRAINER, tmp_path)


def test_rows_of_the_hub_library_become_a_task(tmp_path, monkeypatch):
    if not installed("datasets"):
        pytest.skip("the hub's library is not installed: pip install 'peftlab[hub]'")
    import datasets

    from peftlab import load_task

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    label = datasets.ClassLabel(names=["bad", "good"])
    for split, size in {"train": 20, "validation": 4, "test": 6}.items():
        rows = [f"{split} {row},{row % 2}" for row in range(size)]
        (tmp_path / f"{split}.csv").write_text("\n".join(["sentence,label", *rows]))
    loaded = datasets.load_dataset(str(tmp_path), cache_dir=tmp_path / "cache")
    loaded = loaded.cast_column("label", label)
    monkeypatch.setattr(datasets, "load_dataset", lambda *asked: loaded)
    task = load_task("hub:owner/set")
    assert task.labels == ("bad", "good") and len(task.train) == 20
    assert (task.test[1].text, task.test[1].label) == ("test 1", 1)
