"""The papers' numbers, computed again: nothing is typed in, and every verdict follows by itself."""

import json
from dataclasses import fields, replace

import pytest

from peftlab.anatomy import blocks
from peftlab.anatomy.catalog import CATALOG, catalog_config
from peftlab.backbones import count_on_meta, transformers_config
from peftlab.ledger.printed import (
    ASSUMES,
    EXACT,
    MEANT,
    MISSES,
    ROUNDS,
    Row,
    agrees,
    printed_table,
    recount,
    results_table,
)
from peftlab.ledger.rows import ROWS
from peftlab.methods import METHODS
from peftlab.methods.lora.method import LoRA

RESULTS = recount(ROWS, METHODS)
every_result = pytest.mark.parametrize(
    "result", RESULTS, ids=[f"{r.row.paper}: {r.row.what}, {r.row.printed}" for r in RESULTS]
)
DO_NOT_REPRODUCE = {
    "lora": {
        *("603.8M", "0.35M", "0.77M", "354.92M", "24M", "125.0M", "355.0M", "175,255.8M", "14.2M"),
        *("5.1M", "10.1M", "20.2M", "44.1M", "76.1M"),
        "37.7M",  # of rank 2; that of rank 4, in another place, comes out
    },
    "adapter": {"9M"},
    "prompt_tuning": {"10,420", "76,971,572", "0.01907 %", "11,137,380,352"},
}


def test_there_are_at_least_48_rows_no_two_of_them_the_same():
    assert len(ROWS) >= 48
    assert len({(r.paper, r.where, r.what, r.printed) for r in ROWS}) == len(ROWS)


def test_no_row_has_a_place_for_a_result():
    assert not {"ours", "counted", "verdict", "agrees"} & {f.name for f in fields(Row)}


def test_what_does_not_reproduce_is_what_we_know_not_to():
    missing = [r.row for r in RESULTS if r.verdict == MISSES]
    found = {paper: {r.printed for r in missing if r.paper == paper} for paper in DO_NOT_REPRODUCE}
    assert found == DO_NOT_REPRODUCE and {r.paper for r in missing} == found.keys()
    assumed = sorted(r.row.printed for r in RESULTS if r.verdict == ASSUMES)
    assert assumed == sorted(["4.7M", "6.0M", "3.0M", "2.1 %", "3.6 %", "2 %", "0.1 %", "3 %"])


@every_result
def test_a_row_says_what_is_meant_and_why_it_does_not_come_out(result):
    row = result.row
    assert row.meant in MEANT and row.where and row.what
    assert bool(row.formula) != bool(row.backbone) or row.meant == "sum"
    assert bool(result.why) == (result.verdict in (ASSUMES, MISSES))
    assert bool(row.reason) == (result.verdict == MISSES)  # no reason is left over
    assert bool(row.assumption) == bool(row.assuming) == (result.verdict == ASSUMES)


@pytest.mark.slow
@every_result
def test_a_model_without_storage_has_as_many_parameters(result):
    row = result.row
    if not row.method:
        return
    head = row.head or CATALOG[row.backbone][0]
    settings = row.hyperparameters or row.assuming.get("hyperparameters", {})
    method = METHODS[row.method](**settings)
    config = transformers_config(row.backbone)
    assert count_on_meta(method, config, head) == method.parameter_count(config, head)
    assert method.parameter_count(config, head) == method.parameter_count(
        catalog_config(row.backbone), head
    )


@pytest.mark.parametrize(
    ("printed", "value", "so"),
    [
        ("4.7M", 4_718_592, True),
        ("18.8M", 18_874_368, True),  # cut
        ("18.9M", 18_874_368, True),  # rounded
        ("18.7M", 18_874_368, False),
        ("603.8M", 603_979_776, False),
        ("40K", 38_400, True),
        ("10,420", 10_240, False),
        ("20,480", 20_480, True),
        ("20,480", 20_481, False),  # all digits are printed
        ("0.1 %", 0.0693, True),
        ("0.00018 %", 0.000184, True),
        ("2 %", 3.63, False),
        ("500K", 491_520, True),
        ("500K", 560_000, False),  # zeros that a unit leaves out are no digits to be cut to
        ("110M", 109_482_240, True),
        ("40 %", 39.38, True),
        ("40 %", 49.9, False),
        ("1.3x", 1.324, True),
        ("66M", 66_362_880, True),
    ],
)
def test_a_number_is_what_is_printed_if_rounding_or_cutting_gives_it(printed, value, so):
    assert agrees(printed, value) is so


def test_a_million_may_be_two_to_the_twentieth():
    assert agrees("6.0M", 6_343_680, 2**20) and not agrees("6.0M", 6_343_680)


def lora_row(**more):
    options = {"paper": "lora", "where": "table 4", "what": "GPT-3", "printed": "4,718,592"}
    options |= {"backbone": "gpt3-175b", "method": "lora", "hyperparameters": {"rank": 1}}
    return Row(**options | more)


def verdict(row):
    return recount([row], METHODS)[0].verdict


def test_the_verdict_follows_from_the_number():
    assert verdict(lora_row()) == EXACT
    assert verdict(lora_row(printed="4.7M")) == ROUNDS
    assert verdict(lora_row(printed="6M")) == MISSES
    twice = lora_row(printed="9.4M", assumption="twice", assuming={"hyperparameters": {"rank": 2}})
    assert verdict(twice) == ASSUMES
    assert verdict(replace(twice, printed="6M")) == MISSES


def test_where_no_setting_is_printed_all_rests_on_the_assumption():
    more = {"assumption": "rank 1", "assuming": {"hyperparameters": {"rank": 1}}}
    (found,) = recount([lora_row(hyperparameters=None, **more)], METHODS)
    assert (found.verdict, found.ours) == (ASSUMES, 4_718_592) and "assumed" not in found.said


def test_the_number_under_an_assumption_stands_beside_that_of_the_settings():
    assuming = {"hyperparameters": {"rank": 2}}
    row = lora_row(printed="9.4M", assumption="twice", assuming=assuming)
    (found,) = recount([row], METHODS)
    assert found.said == "4,718,592; assumed: 9,437,184"
    assert found.to_json()["assumed"] == 9_437_184 and found.to_json()["assuming"] == assuming


def test_the_head_is_counted_only_where_it_is_meant():
    row = lora_row(backbone="roberta-base", printed="592,130")
    (alone,) = recount([row], METHODS)
    (both,) = recount([replace(row, meant="trained and head")], METHODS)
    assert both.ours - alone.ours == 592_130


def test_a_share_may_be_one_of_the_layers_alone():
    row = lora_row(backbone="bert-large", meant="share", printed="1 %")
    whole, layers = (
        recount([replace(row, layers_only=so)], METHODS)[0].ours for so in (False, True)
    )
    config = catalog_config("bert-large")
    numbers = sum(block.parameters for stack in blocks(config) for block in stack)
    assert numbers == 24 * 12_596_224 and layers > whole
    trained = LoRA(rank=1).parameter_count(config).trained
    assert layers == pytest.approx(100 * trained / numbers)


def test_results_are_a_table_and_plain_values():
    page = results_table(RESULTS, "all")._repr_html_()
    assert "two digits exchanged" in page and "4,718,592" in page
    first = json.loads(json.dumps(RESULTS[0].to_json()))
    assert first["ours"] == 4_718_592 and first["hyperparameters"]["rank"] == 1


@pytest.mark.parametrize("name", ["lora", "adapter", "prompt_tuning", "prefix_tuning", "bitfit"])
def test_a_lab_shows_the_numbers_of_its_method(name):
    rows = printed_table(name, METHODS[name], "caption").rows
    assert len(rows) == sum(row.method == name for row in ROWS) and "paper" not in rows[0]


def test_t5_small_has_its_output_embedding_once_more_than_transformers_builds():
    from peftlab.anatomy import backbone_parameters
    from peftlab.methods.prompt_tuning.method import PromptTuning

    config = transformers_config("t5-v1.1-small")
    assert backbone_parameters(config, "seq2seq_lm") == 76_961_152
    found = count_on_meta(PromptTuning(prompt_length=1), config, "seq2seq_lm")
    assert found.backbone == 76_961_152
