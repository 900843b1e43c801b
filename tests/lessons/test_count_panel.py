import itertools

import pytest
from bs4 import BeautifulSoup

from peftlab.anatomy.catalog import CATALOG, catalog_config
from peftlab.lessons.start.panel import count_panel, count_record, draw_count
from peftlab.methods import METHODS
from peftlab.methods.hyperparameters import declared

LANGUAGE_MODELS = [name for name, (head, _) in CATALOG.items() if head.endswith("_lm")]
WITHOUT_BIASES = [name for name in CATALOG if name.startswith(("t5", "qwen", "llama", "smollm2"))]


def choices(panel):
    """All values of every control, by its name."""
    return {
        name: [o[1] if isinstance(o, tuple) else o for o in control.options]
        for name, control in panel.controls.items()
    }


def closed_form(backbone, method, **hyperparameters):
    config, head = catalog_config(backbone), CATALOG[backbone][0]
    return METHODS[method](**hyperparameters).parameter_count(config, head)


def own_controls(panel, method):
    """The controls of the hyperparameters of a method, by their names."""
    return {
        name.removeprefix(f"{method} "): control
        for name, control in panel.controls.items()
        if name.startswith(f"{method} ")
    }


def cells(panel):
    """The table that the panel shows, as a dictionary."""
    rows = BeautifulSoup(panel.twin(), "html.parser").select("tbody tr")
    return dict([cell.get_text() for cell in row.find_all("td")] for row in rows)


def test_every_catalogued_backbone_and_every_method_can_be_chosen():
    offered = choices(count_panel())
    assert offered["backbone"] == list(CATALOG)
    assert offered["method"] == list(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_has_a_control_for_all_that_its_count_depends_on_and_no_other(method):
    panel = count_panel()
    panel.controls["method"].value = method
    wanted = {n: d for n, d in declared(METHODS[method]).items() if d.counts}
    found = own_controls(panel, method)
    assert found.keys() == wanted.keys()
    for name, control in found.items():
        assert list(control.options) == list(wanted[name].offered())
        assert wanted[name].offered()[control.value] == wanted[name].default
    visible = [n for n, c in panel.controls.items() if c.layout.display != "none"]
    assert visible == ["backbone", "method", *(f"{method} {name}" for name in found)]
    assert visible == [n for n, c in panel.controls.items() if not c.disabled]


@pytest.mark.parametrize("method", METHODS)
def test_every_combination_of_controls_counts_what_the_method_counts(method):
    panel = count_panel()
    own = {n: d.offered() for n, d in declared(METHODS[method]).items() if d.counts}
    for texts in itertools.product(*own.values()):
        values = {n: own[n][text] for n, text in zip(own, texts, strict=True)}
        for backbone in ("minilm", "gpt2", "t5-v1.1-small", "llama-3-8b"):
            settings = {f"{method} {n}": text for n, text in zip(own, texts, strict=True)}
            record = panel.compute(
                **panel.values | settings | {"backbone": backbone, "method": method}
            )
            assert record["hyperparameters"] == values
            if "problem" in record:
                with pytest.raises(ValueError) as refused:
                    closed_form(backbone, method, **values)
                assert record["problem"] == str(refused.value)
            else:
                found = closed_form(backbone, method, **values).to_dict()
                assert {key: record[key] for key in found} == found


def test_only_these_methods_have_nothing_to_count_somewhere():
    refused = {
        (method, backbone)
        for method, backbone in itertools.product(METHODS, CATALOG)
        if "problem" in count_record(backbone, method)
    }
    assert refused == {
        *itertools.product(["head"], LANGUAGE_MODELS),
        *itertools.product(["bitfit"], WITHOUT_BIASES),
    }


@pytest.mark.parametrize("control", count_panel().controls)
def test_moving_a_control_over_all_its_values_never_raises(control):
    panel = count_panel()
    panel.controls["method"].value = control.split()[0] if " " in control else "lora"
    for value in choices(panel)[control]:
        panel.controls[control].value = value
        assert panel.values[control] == value
        assert panel.children[-1].value


@pytest.mark.parametrize("backbone", ["minilm", "gpt3-175b", "t5-v1.1-small"])
def test_every_method_is_drawn_on_every_kind_of_backbone(backbone):
    for method in METHODS:
        assert draw_count(count_record(backbone, method))


def test_compute_is_pure():
    settings = {"backbone": "bert-base", "method": "lora", "rank": 4, "targets": ("query",)}
    first = count_record(**settings)
    kept = {key: dict(v) if isinstance(v, dict) else v for key, v in first.items()}
    count_record(**settings | {"backbone": "gpt2"})
    first["full"]["trained"] = first["trained"] = -1  # what a reader of a record does to it
    assert count_record(**settings) == kept


def test_gpt3_at_rank_4_trains_what_the_paper_s_arithmetic_gives():
    panel = count_panel()
    panel.controls["backbone"].value = "gpt3-175b"
    panel.controls["lora rank"].value = "4"
    assert panel.record["trained"] == 96 * 2 * 2 * 12288 * 4 == 18_874_368
    assert cells(panel)["trained"].startswith("18,874,368 (")


def test_the_table_shows_the_record():
    panel = count_panel()
    panel.controls["backbone"].value = "roberta-base"
    shown, record = cells(panel), panel.record
    assert shown["backbone"] == f"{record['backbone']:,} parameters"
    assert shown["stored"] == f"{record['stored']:,}"
    assert shown["head (sequence classification)"] == f"{record['head']:,}" == "592,130"
    for what, key in (
        ("gradients", "gradient_mib"),
        ("AdamW state", "optimizer_mib"),
        ("checkpoint", "checkpoint_mib"),
    ):
        shown_mib = float(shown[f"{what}, float32"].removesuffix(" MiB"))
        assert shown_mib == pytest.approx(record[key], rel=0.01)


def test_the_picture_tells_this_method_and_full_fine_tuning_in_words():
    panel = count_panel()
    [picture] = BeautifulSoup(panel.twin(), "html.parser").find_all("img")
    assert f"LoRA: gradients {panel.record['gradient_mib']:.3g} MiB" in picture["alt"]
    full = closed_form("minilm", "full")
    assert f"full fine-tuning: gradients {full.gradient_mib():.1f} MiB" in picture["alt"]


def test_full_fine_tuning_is_compared_with_nothing_but_itself():
    panel = count_panel()
    panel.controls["method"].value = "full"
    [picture] = BeautifulSoup(panel.twin(), "html.parser").find_all("img")
    assert picture["alt"].count("gradients") == 1
    assert "100 % of the backbone" in cells(panel)["trained"]


def test_the_twin_says_only_what_the_method_has():
    panel = count_panel()
    assert "rank: 8, targets: query, value." in panel.twin()
    panel.controls["method"].value = "adapter"
    assert "bottleneck: 64, layer norms: yes." in panel.twin() and "rank" not in panel.twin()
    panel.controls["method"].value = "head"
    assert "method: head only." in panel.twin()


@pytest.mark.parametrize("backbone", LANGUAGE_MODELS)
def test_head_only_on_a_language_model_says_why_there_is_nothing_to_count(backbone):
    record = count_record(backbone, "head")
    assert "trained" not in record
    shown = BeautifulSoup(draw_count(record), "html.parser")
    assert "HeadOnly needs a classification head" in shown.get_text()
    assert not shown.find_all(["table", "img"])


def test_a_panel_with_nothing_to_count_recovers():
    panel = count_panel()
    panel.controls["method"].value = "head"
    panel.controls["backbone"].value = "gpt2"
    assert "problem" in panel.record
    panel.controls["method"].value = "lora"
    assert cells(panel)["trained"].startswith(f"{closed_form('gpt2', 'lora').trained:,} ")
