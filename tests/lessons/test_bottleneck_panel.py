"""The bottleneck panel: exact counts, stored accuracies, and the start that was measured."""

import itertools

import pytest
from bs4 import BeautifulSoup
from tiny import tiny_config

from peftlab import Adapter
from peftlab.lessons.adapter.panel import (
    MeasuredAdapters,
    bottleneck_panel,
    bottleneck_record,
    draw_bottleneck,
)

HEAD = "sequence_classification"
SIZES, STDS = (2, 8), (1e-3, 1e-2, 1.0)
MEASURED = MeasuredAdapters(
    config=tiny_config("bert"),
    head=HEAD,
    changes={(m, std): m * std for m in SIZES for std in STDS},
    accuracy={8: [0.8, 0.9]},
)


@pytest.mark.parametrize("size", SIZES)
def test_counts_are_those_of_adapters_of_that_size(size):
    record = bottleneck_record(MEASURED, size, 1e-2)
    count = Adapter(bottleneck=size).parameter_count(MEASURED.config, HEAD)
    assert (record["trained"], record["share"]) == (count.trained, count.share)
    assert record["change"] == size * 1e-2
    assert record["changes"] == {f"{std:g}": size * std for std in STDS}


def test_a_size_without_stored_runs_says_so():
    assert "no stored runs" in draw_bottleneck(bottleneck_record(MEASURED, 2, 1e-3))
    assert "85.0 %" in draw_bottleneck(bottleneck_record(MEASURED, 8, 1e-3))


def test_every_setting_of_the_controls_draws_a_table_and_a_picture_with_text():
    panel = bottleneck_panel(MEASURED)
    for size, std in itertools.product(SIZES, STDS):
        panel.controls["bottleneck"].value, panel.controls["init_std"].value = size, std
        assert (panel.record["bottleneck"], panel.record["init_std"]) == (size, std)
        page = BeautifulSoup(panel.twin(), "html.parser")
        assert page.table and f"{std:g}" in page.img["alt"]
