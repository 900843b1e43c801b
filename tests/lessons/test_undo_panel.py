"""The undo panel: biases go back for a moment, and the model is as it was afterwards."""

from dataclasses import replace

import pytest
import torch
from bs4 import BeautifulSoup
from tiny import tiny
from tiny_task import write_backbone, write_task

from peftlab import BitFit, load_backbone, load_task
from peftlab.lessons.bitfit.panel import TrainedBiases, _score, undo_panel, undo_record
from peftlab.lessons.bitfit.sweep import fits, relative_effect, text_batch
from peftlab.methods.bitfit.method import KINDS


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny BERT whose biases were moved at random."""
    folder = tmp_path_factory.mktemp("undo")
    data = load_task(write_task(folder / "toy.tsv"))
    model, tokenizer = load_backbone(write_backbone(folder / "bert"), data)
    attachment = BitFit().attach(model)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in attachment.parameters():
            parameter.add_(torch.randn_like(parameter))
    shown = data.validation[:12]
    return TrainedBiases(
        attachment,
        text_batch(tokenizer, shown),
        [example.text for example in shown],
        [example.label for example in shown],
        data.labels,
    )


def undone(trained, *kinds, lowest=1, highest=2):
    whole = trained.chances()
    return undo_record(trained, whole, lowest, highest, **{kind: kind in kinds for kind in KINDS})


def test_the_key_alone_changes_nothing_and_the_query_something(trained):
    still, moved = undone(trained, "key"), undone(trained, "query")
    assert still["now"]["loss"] == pytest.approx(still["whole"]["loss"], abs=1e-5)
    assert moved["now"]["loss"] != pytest.approx(moved["whole"]["loss"], abs=1e-3)
    assert moved["undone"] == ["query"] and len(moved["shown"]) == 5


def test_only_the_chosen_kinds_and_layers_go_back_and_all_are_left_as_they_were(trained):
    before = {n: p.detach().clone() for n, p in trained.attachment.named_parameters().items()}
    record = undone(trained, "query", "mlp_norm", lowest=2)
    assert record["moved"]["query"][1] == record["moved"]["mlp_norm"][1] == 0
    assert record["moved"]["query"][0] > 0 and record["moved"]["value"][1] > 0
    after = trained.attachment.named_parameters()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_layers_the_wrong_way_round_are_none(trained):
    record = undone(trained, *KINDS, lowest=2, highest=1)
    assert record["undone"] == [] and record["now"] == record["whole"]


def test_of_three_labels_the_most_probable_one_is_the_answer(trained):
    three = replace(trained, labels=[0, 1, 2], names=["a", "b", "c"])
    chances = torch.tensor([[0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.1, 0.45, 0.45]])
    assert three.right(chances).tolist() == pytest.approx([0.4, 0.3, 0.45])
    assert _score(three, chances)["accuracy"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("family", ["bart", "llama"])
def test_lab_07_refuses_a_backbone_without_eight_kinds_in_each_layer(family, tmp_path):
    backbone = write_backbone(tmp_path / family)
    tiny(family).save_pretrained(backbone)
    settings = {"backbone": backbone, "task": write_task(tmp_path / "toy.tsv")}
    with pytest.raises(ValueError, match="bias"):
        fits(settings, False)


def test_every_control_draws_tables_and_a_picture_with_text(trained):
    panel = undo_panel(trained)
    for kind in KINDS:
        panel.controls[kind].value = not panel.controls[kind].value
        page = BeautifulSoup(panel.twin(), "html.parser")
        assert len(page.find_all("table")) == 2
        assert "How far each bias" in page.img["alt"]
    panel.controls["lowest"].value, panel.controls["highest"].value = 2, 1
    assert "none" in panel.twin()


def test_relative_effects_are_in_units_of_the_logits_spread(trained):
    effects = relative_effect(trained.attachment, trained.batch)
    assert effects.keys() == set(KINDS)
    assert effects["key"] < 1e-4 < min(v for kind, v in effects.items() if kind != "key")
