"""The rank panel: what it computes from a trained update, and that its controls never raise."""

import copy
import itertools

import pytest
import torch
from bs4 import BeautifulSoup
from tiny import randomise, tiny

from peftlab import LoRA, insight
from peftlab.lessons.lora.panel import TrainedUpdate, draw_rank, rank_panel, rank_record

RANK = 3
ACCURACY = {0: 0.505, 1: 0.711, 2: 0.822, 3: 0.933}
HEAD = "sequence_classification"


@pytest.fixture(scope="module")
def attachment():
    return randomise(LoRA(rank=RANK).attach(tiny("bert", HEAD)))


@pytest.fixture(scope="module")
def updates(attachment):
    return insight.updates(attachment)


@pytest.fixture(scope="module")
def trained(attachment, updates):
    return TrainedUpdate(
        config=attachment.model.config,
        head=HEAD,
        targets=attachment.method.targets,
        spectra={
            name: {
                "LoRA": insight.spectrum(delta),
                "full fine-tuning": insight.spectrum(torch.eye(32) + delta),
                "random": insight.spectrum(insight.random_like(delta)),
            }
            for name, delta in updates.items()
        },
        accuracy=ACCURACY,
        full_accuracy=0.944,
        full_cut={1: 0.644, 3: 0.745, 16: 0.936},
    )


def matrix(trained, number=0):
    return list(trained.spectra)[number]


# The record


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_counts_are_those_of_a_lora_of_that_rank(trained, attachment, rank):
    record = rank_record(trained, rank, matrix(trained))
    count = LoRA(rank=rank).parameter_count(attachment.model.config, HEAD)
    assert record["trained"] == count.trained == 4 * rank * (32 + 32)  # 2 layers, query and value
    assert record["share"] == count.share
    assert record["checkpoint_mib"] == count.checkpoint_mib()
    if rank == RANK:
        assert count == attachment.report()


def test_energy_is_the_share_of_the_update_that_truncation_keeps(trained, updates, attachment):
    for name, delta in updates.items():
        update = attachment.model.get_submodule(name).update
        for rank in (1, 2, 3):
            state = insight.truncated(attachment, rank)
            kept = update.scaling * state[f"{name}.update.lora_B"] @ state[f"{name}.update.lora_A"]
            share = (kept.norm() / delta.norm()).item() ** 2
            assert rank_record(trained, rank, name)["energy"] == pytest.approx(share, rel=1e-4)


def test_energy_grows_with_the_rank_up_to_all_of_the_update(trained):
    for name in trained.spectra:
        energies = [rank_record(trained, rank, name)["energy"] for rank in (1, 2, 3)]
        assert 0 < energies[0] < energies[1] < energies[2]
        assert energies[2] == pytest.approx(1)


def test_energy_of_an_update_that_is_zero_is_nothing(trained):
    zero = TrainedUpdate(**vars(trained) | {"spectra": {"m": {"LoRA": [0.0, 0.0]}}})
    assert rank_record(zero, 1, "m")["energy"] == 0


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_accuracies_are_those_that_were_measured(trained, rank):
    record = rank_record(trained, rank, matrix(trained))
    assert record["accuracy"] == ACCURACY[rank]
    assert (record["accuracy_none"], record["accuracy_all"]) == (0.505, 0.933)
    assert record["full_accuracy"] == 0.944
    assert record["full_cut"] == {1: 0.644, 2: None, 3: 0.745}[rank]


def test_beyond_the_trained_rank_lora_is_whole_and_full_fine_tuning_goes_on(trained):
    record = rank_record(trained, 16, matrix(trained))
    assert (record["accuracy"], record["full_cut"]) == (ACCURACY[RANK], 0.936)
    assert record["energy"] == 1 and 0 < record["full_energy"] < 1


def test_computing_is_pure(trained):
    before = copy.deepcopy(vars(trained))
    first = rank_record(trained, 2, matrix(trained, 1))
    kept = copy.deepcopy(first)
    assert rank_record(trained, 2, matrix(trained, 1)) == first
    draw_rank(first)
    assert first == kept
    first["spectra"]["LoRA"].clear()
    config = before.pop("config").to_dict()
    assert trained.config.to_dict() == config
    assert {k: v for k, v in vars(trained).items() if k != "config"} == before


# The panel


def test_every_value_of_every_control_is_shown(trained):
    panel = rank_panel(trained)
    ranks, matrices = (panel.controls[name].options for name in ("rank", "matrix"))
    assert list(ranks) == [1, 2, 3, 16] and list(matrices) == list(trained.spectra)
    for rank, name in itertools.product(ranks, matrices[:2]):
        panel.controls["rank"].value, panel.controls["matrix"].value = rank, name
        assert panel.values == {"rank": rank, "matrix": name}
        assert panel.record == rank_record(trained, rank, name)
        view = panel.children[-1].value
        assert f"cut to rank {rank}" in view and name in view


def test_a_panel_of_a_lora_of_rank_one_has_one_rank(trained):
    one = TrainedUpdate(**vars(trained) | {"accuracy": {0: 0.5, 1: 0.7}, "full_cut": {}})
    panel = rank_panel(one)
    assert panel.values["rank"] == 1
    assert panel.record["accuracy_all"] == 0.7


def test_the_twin_has_the_table_and_the_picture_with_its_alternative(trained):
    panel = rank_panel(trained)
    panel.controls["rank"].value = 1
    name = matrix(trained)
    page = BeautifulSoup(panel.twin(), "html.parser")
    assert f"Set to rank: 1, matrix: {name}." in page.text
    cells = dict([td.text for td in row.find_all("td")] for row in page.tbody.find_all("tr"))
    count = LoRA(rank=1).parameter_count(trained.config, HEAD)
    assert cells["trained parameters at this rank"] == f"256 ({100 * count.share:.3f} %)"
    assert cells["checkpoint, head included"] == f"{count.checkpoint_mib():.2f} MiB"
    energy = panel.record["energy"]
    kept = cells["part of this matrix's LoRA update that the rank keeps"]
    assert kept == f"{100 * energy:.1f} %"
    assert cells["LoRA cut to rank 1: test accuracy"] == "71.1 %"
    assert cells["full fine-tuning cut to rank 1: test accuracy"] == "64.4 %"
    assert cells["LoRA, the whole trained update"] == "93.3 %"
    assert cells["LoRA without its update, trained head only"] == "50.5 %"
    assert cells["full fine-tuning, the whole update"] == "94.4 %"
    assert page.img["alt"].startswith(f"Update of {name}. ")
    for label in ("LoRA", "full fine-tuning", "random"):
        assert f"{label}: " in page.img["alt"]
