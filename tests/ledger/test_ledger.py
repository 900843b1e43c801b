"""The ledger: printed numbers counted again, claims and verdicts, tables, and who is higher."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from peftlab import LoRA, files
from peftlab.anatomy import ParameterCount
from peftlab.figures import Table
from peftlab.ledger.effects import STEPS, Effect, difference, measured, together
from peftlab.ledger.record import Record
from peftlab.ledger.verdicts import Claim, above, compare, decide
from peftlab.lessons import (
    adapter,
    bitfit,
    distillation,
    lora,
    p_tuning,
    p_tuning_v2,
    papers,
    prefix_tuning,
    prompt_tuning,
    start,
)
from peftlab.lessons import compare as comparison
from peftlab.runs.trial import Run
from peftlab.seeds import (
    CLOSE,
    FAILS,
    HOLDS,
    NO_ROOM,
    UNMEASURED,
    Interval,
    differences,
    interval,
    judge,
    seeds_needed,
)


def test_every_claim_says_what_the_paper_prints_and_where():
    every = (start, lora, adapter, prompt_tuning, prefix_tuning, p_tuning, p_tuning_v2, bitfit)
    for own in (*every, distillation, comparison, papers):
        for claim in own.LESSON.claims.values():
            assert claim.statement and claim.paper
            assert claim.where.startswith(("section", "table", "figure"))


# The record


CLAIMS = lora.LESSON.claims


def new(lab="01_lora", paper=LoRA.paper, claims=CLAIMS):
    return Record(lab, "A title", "A question?", {"rank": 8}, paper, claims)


def decided(record):
    """The record with every claim decided."""
    for key in CLAIMS:
        record.claim(key, ours=f"we found {key}", verdict=HOLDS, seeds=[0, 1])
    return record


def test_a_record_starts_with_what_it_is_about():
    data = new().data
    assert data["settings"] == {"rank": 8}
    assert data["paper"]["title"] == LoRA.paper.title
    assert data["paper"]["url"] == "https://arxiv.org/abs/2106.09685"
    assert data["versions"].keys() == {"python", "peftlab", "torch", "transformers", "accelerate"}
    assert new(paper=None).data["paper"] is None


def test_a_claim_stands_beside_what_the_paper_says():
    record = new()
    record.claim("rank", "r=1 is enough", CLOSE, (0, 1), "noise", {"1": [0.5, 0.6]})
    (claim,) = record.data["claims"]
    said = CLAIMS["rank"]
    assert (claim["statement"], claim["paper"], claim["where"]) == (
        said.statement,
        said.paper,
        said.where,
    )
    assert (claim["key"], claim["verdict"], claim["why"]) == ("rank", CLOSE, "noise")
    assert (claim["ours"], claim["seeds"]) == ("r=1 is enough", [0, 1])
    assert claim["numbers"] == {"1": [0.5, 0.6]}


@pytest.mark.parametrize(
    "key, verdict, message",
    [
        ("speed", HOLDS, "no claim 'speed'; this lab has: identity, quality"),
        ("rank", "true", "verdict must be one of holds, .*not measured; got 'true'"),
        ("rank", FAILS, "say why the verdict on 'rank' is 'does not hold'"),
        ("rank", CLOSE, "say why the verdict on 'rank' is 'too close to call'"),
        ("rank", UNMEASURED, "say why the verdict on 'rank' is 'not measured'"),
        ("identity", HOLDS, "the claim 'identity' is decided already"),
    ],
)
def test_a_claim_that_cannot_stand_is_refused_and_not_noted(key, verdict, message):
    record = new()
    record.claim("identity", "0", HOLDS, [0])
    with pytest.raises(ValueError, match=message):
        record.claim(key, "ours", verdict, [0])
    assert len(record.data["claims"]) == 1


def test_a_lab_without_claims_refuses_every_claim():
    with pytest.raises(ValueError, match="no claim 'rank'; this lab has: none"):
        new(lab="00_start_here", claims=None).claim("rank", "ours", HOLDS, [0])


def test_claims_without_runs_are_decided_as_unmeasured_with_the_remedy():
    record = new()
    record.unmeasured("rank", "budget")
    assert [claim["key"] for claim in record.data["claims"]] == ["rank", "budget"]
    for claim in record.data["claims"]:
        assert claim["verdict"] == UNMEASURED and claim["seeds"] == []
        assert "-p rerun_sweep true" in claim["why"]


def test_the_claims_table_shows_both_sides_the_seeds_and_the_verdict():
    record = new()
    record.claim("rank", "r=1 50 %", FAILS, [0, 1], "too small")
    record.claim("identity", "moved by 0", HOLDS, [2])
    record.unmeasured("budget")
    table = record.claims_table()
    assert table.caption == "Paper says, you measured"
    first, second, third = table.rows
    assert first == {
        "paper says": "A very small rank suffices",
        "its number": "WikiSQL, W_q and W_v: r=1 73.4, r=4 73.7, r=8 73.8, r=64 73.5 (table 6)",
        "you measured": "r=1 50 %",
        "seeds": "0, 1",
        "verdict": "✘ does not hold: too small",
    }
    assert (second["seeds"], second["verdict"]) == ("2", "✔ holds")
    assert (third["seeds"], third["you measured"]) == ("–", "–")
    assert third["verdict"].startswith("– not measured: no stored runs")


def test_the_claims_table_says_what_the_test_split_alone_leaves_open():
    record = new()
    record.data["test_examples"] = 1600
    record.data["results"] = [{"test_accuracy": 0.7}, {"test_accuracy": 0.9}]
    said = "1,600 test examples leave one accuracy near 80 % uncertain by 1.0 points"
    assert said in record.claims_table().caption


def test_a_run_is_noted_with_its_source_and_its_history_apart():
    record = new()
    curves = {"losses": [1.0], "validation": [{"step": 1, "accuracy": 0.5}]}
    plain = {"label": "LoRA", "method": "lora", "backbone": "b", "task": "t", "seed": 3}
    plain |= {"counts": {}, "validation_accuracy": 0.5, "test_accuracy": 0.5, "test_loss": 1.0}
    plain |= {"by_kind": {}, "seconds": 2.0}
    record.result(Run.from_json(plain | {"history": curves}), "live")
    record.result(Run.from_json(plain | {"label": "full"}), "stored")
    assert record.data["results"] == [
        plain | {"source": "live"},
        plain | {"label": "full", "source": "stored"},
    ]
    assert record.data["curves"] == {"LoRA, seed 3, live": curves}


def test_counts_are_noted_by_label():
    record = new()
    count = ParameterCount(trained=10, stored=8, head=2, backbone=100)
    record.count("LoRA", count)
    assert record.data["counts"] == {"LoRA": count.to_dict()}


def test_a_record_is_written_as_json_and_comes_back(tmp_path):
    record = decided(new())
    record.data["truncation"] = {0: 0.5, 8: 0.75}
    path = record.write(tmp_path / "deep" / "folder")
    assert path == tmp_path / "deep" / "folder" / "01_lora.json"
    found = json.loads(path.read_text())
    assert found["seconds"] >= 0
    assert found == record.data | {"truncation": {"0": 0.5, "8": 0.75}}


def test_a_record_with_open_claims_is_not_written(tmp_path):
    record = new()
    record.claim("identity", "0", HOLDS, [0])
    with pytest.raises(ValueError, match="claims without a verdict: quality, latency, budget"):
        record.write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_lab_without_claims_is_written_as_it_is(tmp_path):
    assert new(lab="00_start_here", claims=None).write(tmp_path).name == "00_start_here.json"


def test_a_record_is_written_whole_or_not_at_all(tmp_path):
    before = decided(new()).write(tmp_path).read_text()
    record = decided(new())
    record.data["broken"] = object()
    with pytest.raises(TypeError, match="not JSON serializable"):
        record.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["01_lora.json"]
    assert (tmp_path / "01_lora.json").read_text() == before


# Tables


def test_a_table_escapes_what_html_would_take_for_tags():
    table = Table([{"<b>name": "A & B", 'a "quoted" one': "<script>"}], caption="x < y")
    found = table._repr_html_()
    for text in ("&lt;b&gt;name", "A &amp; B", "&lt;script&gt;", "<caption>x &lt; y</caption>"):
        assert text in found
    assert "<script>" not in found and "<b>" not in found


def test_a_table_aligns_numbers_to_the_right_and_the_rest_to_the_left():
    rows = [{"name": "a", "count": 1, "mixed": 1, "flag": True}]
    rows += [{"name": "b", "count": 2.5, "mixed": "none", "flag": False}]
    found = Table(rows)._repr_html_()
    sides = {"name": "left", "count": "right", "mixed": "left", "flag": "left"}
    for column, side in sides.items():
        assert f'<th scope="col" style="text-align:{side}">{column}</th>' in found
    assert found.count('<td style="text-align:right">') == 2
    assert "<caption>" not in found


def test_a_table_as_text_has_columns_that_line_up():
    rows = [{"name": "a long name", "n": 1}, {"name": "b", "n": 1234567}]
    lines = repr(Table(rows, caption="A caption")).splitlines()
    columns = ["name                 n", "a long name          1", "b            1,234,567"]
    assert lines == ["A caption", *columns]


@pytest.mark.parametrize(
    "value, text",
    [
        (294912, "294,912"),
        (0.123456, "0.1235"),
        (1234.5, "1,234"),
        (9999.4, "9,999"),
        (9999.7, "10,000"),
        (123456.7, "123,457"),
        (-123456.7, "-123,457"),
        (0.0, "0"),
        (True, "True"),
        (None, "None"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        ("as it is", "as it is"),
    ],
)
def test_cells_show_numbers_as_a_reader_wants_them(value, text):
    assert repr(Table([{"x": value}])).splitlines()[1] == text
    assert f">{text}</td>" in Table([{"x": value}])._repr_html_()


def test_a_table_without_rows_and_a_row_without_a_cell_are_shown():
    assert "<caption>nothing</caption>" in Table([], "nothing")._repr_html_()
    assert repr(Table([], "nothing")).strip() == "nothing"
    found = Table([{"a": "x", "b": 2}, {"a": "y"}])
    assert found._repr_html_().count("<td ") == 4
    assert repr(found).splitlines()[2] == "y"


# Intervals, effects and verdicts


def test_the_interval_is_that_of_students_t():
    found = interval([0.80, 0.82, 0.87])
    wanted = stats.ttest_1samp([0.80, 0.82, 0.87], 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    assert (found.mean, found.count) == (pytest.approx(0.83), 3)


def test_an_interval_of_one_seed_has_no_ends():
    assert interval([0.8]) == Interval(0.8, -math.inf, math.inf, 1)
    assert judge(interval([50.0])) == CLOSE


def test_pairing_by_seed_takes_out_what_the_seeds_share():
    hard, easy = [0.60, 0.90, 0.75], [0.62, 0.92, 0.77]
    assert judge(interval(differences(easy, hard))) == HOLDS
    assert judge(interval(differences(easy, [hard[1], hard[2], hard[0]]))) == CLOSE
    with pytest.raises(ValueError, match="cannot pair 3 values with 2; give both for the same"):
        interval(differences(easy, hard[:2]))


@pytest.mark.parametrize(
    "low, high, margin, verdict",
    [
        (0.1, 3.0, 0.0, HOLDS),
        (-3.0, -0.1, 0.0, FAILS),
        (-1.0, 1.0, 0.0, CLOSE),
        (0.0, 0.0, 0.0, CLOSE),
        (-1.9, -0.5, 2.0, HOLDS),  # lower, but within the margin
        (-3.0, -2.1, 2.0, FAILS),
        (-2.5, 1.0, 2.0, CLOSE),
        (1.0, 3.0, -2.0, CLOSE),  # ahead, but perhaps not by two
        (2.1, 3.0, -2.0, HOLDS),
    ],
)
def test_the_verdict_follows_from_the_interval_and_the_margin(low, high, margin, verdict):
    found = Interval((low + high) / 2, low, high, 3)
    assert judge(found, margin) == verdict
    assert Effect("a minus b", found, margin).verdict == verdict


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=8), st.floats(0, 2))
def test_as_many_seeds_as_needed_would_decide(values, margin):
    needed = seeds_needed(values, margin)
    if len(values) > 1 and judge(interval(values), margin) != CLOSE:
        assert needed is not None and needed <= len(values)
    elif needed:
        assert needed > len(values)


def test_nobody_is_told_to_run_seeds_for_ever():
    assert seeds_needed([-1.0, 1.0]) is None
    assert seeds_needed([0.5, 0.5]) == 2


def test_an_effect_is_in_points_and_says_its_interval():
    effect = difference("LoRA", [0.80, 0.82, 0.81], "full", [0.81, 0.82, 0.83], margin=2.0)
    assert str(effect) == "LoRA minus full -1.0 points (-3.5 to +1.5)"
    assert effect.why() == (
        "LoRA minus full: the interval, -3.5 to +1.5 points, holds -2; about 7 seeds would decide"
    )
    assert json.loads(json.dumps(effect.to_json()))["low"] == pytest.approx(-3.48, abs=0.01)
    alone = difference("LoRA", [0.8], "full", [0.9])
    assert alone.verdict == CLOSE and "one seed, no interval" in alone.why()
    assert alone.to_json()["low"] is None


def test_at_the_ceiling_there_is_no_room_to_differ():
    top, near, low = [1.0, 0.999, 1.0], [0.995, 0.994, 0.996], [0.97, 0.98, 0.98]
    assert difference("a", top, "b", near).verdict == NO_ROOM
    assert "nothing can differ here" in difference("a", top, "b", near).why()
    assert difference("a", top, "b", low).verdict == HOLDS


@pytest.mark.parametrize(
    "verdicts, wanted",
    [
        ((HOLDS, HOLDS), HOLDS),
        ((HOLDS, CLOSE), CLOSE),
        ((CLOSE, NO_ROOM), NO_ROOM),
        ((FAILS, NO_ROOM), FAILS),
        ((CLOSE, FAILS), FAILS),
    ],
)
def test_a_claim_of_several_effects_is_as_good_as_its_worst(verdicts, wanted):
    ends = {HOLDS: (1, 2), FAILS: (-2, -1), CLOSE: (-1, 1), NO_ROOM: (0, 1)}
    effects = [
        Effect(v, Interval(0, *ends[v], 3), room=v != NO_ROOM, needed=7 if v == CLOSE else None)
        for v in verdicts
    ]
    assert together(effects) == wanted
    record = new()
    compare(record, "rank", effects, [0, 1, 2], shown="means")
    (claim,) = record.data["claims"]
    assert (claim["verdict"], len(claim["effects"])) == (wanted, 2)
    assert bool(claim["why"]) == (wanted != HOLDS)
    assert claim["ours"].startswith("means; ")
    for found in verdicts:  # only those that decide are named
        assert (f"{found}:" in claim["why"]) == (found == wanted != HOLDS)


def test_above_takes_its_margin_from_the_claim():
    record, seeds = new(), [0, 1, 2]
    above(record, "quality", ("LoRA", [0.80, 0.81, 0.82]), ("full", [0.81, 0.82, 0.83]), seeds)
    above(record, "budget", ("both", [0.80, 0.81, 0.82]), ("one", [0.81, 0.82, 0.83]), seeds)
    above(record, "rank", ("r=1", []), ("r=64", [0.5]), seeds)
    quality, budget, rank = record.data["claims"]
    assert (quality["margin"], quality["verdict"]) == (2.0, HOLDS)
    assert (budget["verdict"], budget["why"]) == (FAILS, "both: not above one here")
    assert rank["verdict"] == UNMEASURED


def test_the_forest_shows_every_effect_with_border_and_printed_number():
    record = new()
    effect = difference("LoRA", [0.80, 0.82, 0.81], "full", [0.81, 0.82, 0.83], margin=2.0)
    compare(record, "quality", [effect], [0, 1, 2])
    compare(record, "rank", [measured("steps", [3.0, 4.0], unit=STEPS)], [0, 1])
    decide(record, "identity", True, ours="0", seeds=[0], fails="moved")
    assert record.forest().alt == (
        "Forest plot of differences with their 95 % intervals. "
        "LoRA minus full -1 points, -3.48 to 1.48, border -2, too close to call; the paper 0.8; "
        "steps 3.5 steps, -2.85 to 9.85, border 0, too close to call; the paper -0.1."
    )
    assert "no claim rests on a difference" in new().forest().alt


def test_versions_are_those_of_what_is_installed():
    import torch

    assert torch.__version__.startswith(files.versions()["torch"].split("+")[0])


@pytest.mark.parametrize(
    "found, verdict, why",
    [
        (True, HOLDS, ""),
        (False, FAILS, "it fails"),
        (CLOSE, CLOSE, "who knows"),
    ],
)
def test_a_verdict_takes_the_reason_that_belongs_to_it(found, verdict, why):
    record = new(claims={"a": Claim("It holds", "1.0", "table 1")})
    decide(record, "a", found, ours="2", seeds=(0,), fails="it fails", close="who knows")
    (claim,) = record.data["claims"]
    assert (claim["verdict"], claim["why"], claim["ours"]) == (verdict, why, "2")
    assert (claim["seeds"], claim["numbers"]) == ([0], {})
