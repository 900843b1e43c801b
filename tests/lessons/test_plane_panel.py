"""The plane panel: the row's attention is a softmax, and the map says the same as the row."""

import pytest
import torch
from bs4 import BeautifulSoup

from peftlab.lessons.prompt_tuning import plane

WORDS = torch.tensor([[1.0, 0.0], [0.6, 0.8]])


def test_a_row_is_looked_at_as_a_word_in_its_place_would_be():
    record = plane.plane_record(WORDS, 1.0, 0.0)  # where the first word stands
    weights = plane.attention(torch.cat([WORDS[:1], WORDS]))
    assert record["shares"] == pytest.approx(weights[1:, 1].tolist())


def test_a_row_far_behind_the_words_changes_nothing():
    record = plane.plane_record(WORDS, -200.0, -200.0)
    assert record["shares"] == pytest.approx([0, 0], abs=1e-6)
    for before, after in zip(record["before"], record["after"], strict=True):
        assert after == pytest.approx(before, abs=1e-4)


def test_the_map_has_the_mean_share_of_every_place():
    shares = plane.share_map(WORDS)
    line = torch.linspace(-plane.REACH, plane.REACH, plane.FINE).tolist()
    for i, j in ((0, 0), (0, 60), (45, 20)):
        record = plane.plane_record(WORDS, line[j], line[i])
        assert shares[i][j] == pytest.approx(sum(record["shares"]) / 2, abs=1e-5)


def test_moving_a_control_moves_the_row_and_the_twin_says_where_it_stands():
    panel = plane.plane_panel(WORDS)
    panel.controls["across"].value, panel.controls["up"].value = 3.0, -1.5
    assert panel.record["row"] == [3.0, -1.5]
    page = BeautifulSoup(panel.twin(), "html.parser")
    assert "(3, -1.5)" in page.img["alt"] and page.table
