"""What a step costs: measured once, computed for every batch, and the panel of lab 00."""

import itertools

import pytest
import torch
from bs4 import BeautifulSoup
from tiny_task import write_backbone, write_task

from peftlab import Adapter, FullFineTuning, HeadOnly, LoRA, PTuningV2, load_backbone, load_task
from peftlab.anatomy import MIB
from peftlab.insight import activation_bytes
from peftlab.lessons.start.memory import (
    PRECISIONS,
    Step,
    measure,
    memory_panel,
    memory_record,
    plain_batch,
    reference_step,
    step_ratio,
)

METHODS = {
    "full": FullFineTuning(),
    "LoRA": LoRA(rank=2),
    "adapters": Adapter(bottleneck=2),
    "rows": PTuningV2(prefix_length=3),
    "head": HeadOnly(),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("step")
    return write_backbone(folder / "bert"), load_task(write_task(folder / "toy.tsv"))


@pytest.fixture(scope="module")
def steps(place):
    return measure(load_backbone(*place)[0], METHODS)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("size", "length"), [(3, 9), (5, 37)])
def test_activations_of_another_batch_follow_from_what_was_measured(
    place, steps, name, size, length
):
    model, _ = load_backbone(*place)
    METHODS[name].attach(model)
    kept = activation_bytes(model.train(), plain_batch(model, size, length))
    assert steps[name].parts(size, length)["activations"] * MIB == pytest.approx(kept, rel=1e-6)


def test_activations_are_less_where_less_trains_and_nothing_is_counted_twice(place):
    model, _ = load_backbone(*place)
    batch = plain_batch(model, 4, 16)
    kept = {}
    for name in ("full", "LoRA", "head"):
        attachment = METHODS[name].attach(model)
        kept[name] = activation_bytes(model, batch)
        attachment.detach()
    assert kept["full"] > kept["LoRA"] > 10 * kept["head"] > 0
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert activation_bytes(model, batch) == 0


def test_activation_bytes_of_a_linear_map_are_those_of_its_input():
    class Map(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(6, 1)

        def forward(self, x):
            middle = x * 2  # not in memory before
            return type("Output", (), {"loss": self.linear(middle).sum()})

    assert activation_bytes(Map(), {"x": torch.ones(4, 6)}) == 4 * 6 * 4


def test_parts_follow_the_precision():
    step = Step(frozen=1000 * MIB, trained=MIB, activations=(0.0, 2.0 * MIB, 0.0))
    single = step.parts(3, 5)
    assert single == {"weights": 4004, "gradients": 4, "AdamW state": 8, "activations": 30}
    assert step.parts(3, 5, "bfloat16") == {name: size / 2 for name, size in single.items()}
    four = step.parts(3, 5, "bfloat16, frozen weights in 4 bits")
    assert four["weights"] == 502 and four["activations"] == 15


def test_measure_leaves_the_model_as_it_was(place):
    model, _ = load_backbone(*place)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.eval()
    measure(model, METHODS)
    assert not model.training and list(model.state_dict()) == list(before)
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)


def test_the_time_of_a_step_moves_no_parameter(place):
    model, _ = load_backbone(*place)
    attachment = METHODS["LoRA"].attach(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    batch = plain_batch(model, 2, 8)
    assert step_ratio(attachment, batch, reference_step(*place, 0, batch)) > 0
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)
    assert all(p.grad is None for p in attachment.parameters())


def test_every_setting_of_the_controls_draws_a_table_and_a_picture_with_text(steps):
    panel = memory_panel(steps, "LoRA")
    for size, length, precision in itertools.product((1, 256), (16, 512), PRECISIONS):
        panel.controls["batch"].value, panel.controls["length"].value = size, length
        panel.controls["precision"].value = precision
        page = BeautifulSoup(panel.twin(), "html.parser")
        assert page.table and f"{size} sentences of {length} tokens" in page.img["alt"]


def test_the_record_says_the_place_of_the_chosen_method(steps):
    record = memory_record(steps, "head", 16, 32, "float32")
    assert record["parts"]["head"] == steps["head"].parts(16, 32)
    panel = memory_panel(steps, "head")
    assert "1 of 5" in panel.twin()
