"""Lab 10: every case and formula accepts what is right and names what is wrong; the panel."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from bs4 import BeautifulSoup

from peftlab.ledger.printed import recount
from peftlab.ledger.record import Record
from peftlab.ledger.rows import ROWS
from peftlab.lessons.exercise import OPEN, SOLVED, WRONG
from peftlab.lessons.papers import cases, claims, drawing, exercises, panel
from peftlab.lessons.papers.cases import CASES, Case
from peftlab.methods import METHODS
from peftlab.seeds import FAILS, HOLDS

FORMULAS = {name: f for name, f in vars(exercises).items() if isinstance(f, exercises.Formula)}
RIGHT = {
    "LORA_FORMULA": lambda width, layers, rank: 4 * layers * width * rank,
    "ADAPTER_FORMULA": lambda width, layers, bottleneck: (
        2 * layers * (2 * width * bottleneck + bottleneck + width) + 2 * width * (2 * layers + 1)
    ),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
every_formula = pytest.mark.parametrize("name", FORMULAS)


def test_every_case_of_the_file_is_listed():
    assert {id(c) for c in vars(cases).values() if isinstance(c, Case)} == {
        id(case) for case in CASES.values()
    }


@every_case
def test_the_right_answer_is_accepted_also_rounded(case):
    assert case.check(case.answer()).status == SOLVED
    right, unit = case.answer(), 10**case.digits
    assert case.check(round(right, case.digits)).status == SOLVED
    assert case.check(np.float64(math.floor(right * unit + 1e-6) / unit)).status == SOLVED
    if case.digits and case is not cases.LABEL:  # whose rank is the wrong answer, rounded
        assert "right so far" in case.check(round(right)).message


@every_case
def test_every_listed_wrong_answer_gets_its_own_message(case):
    for message, value in case.wrong.items():
        feedback = case.check(value())
        assert (feedback.status, feedback.message) == (WRONG, message)


@every_case
@pytest.mark.parametrize(
    "answer, status", [(None, OPEN), (..., OPEN), ("79.7", WRONG), (True, WRONG)]
)
def test_no_answer_is_open_and_no_number_is_wrong(case, answer, status):
    assert case.check(answer).status == status


@every_case
@pytest.mark.parametrize("answer", [(10, 240), "10,240", 10**400, float("nan"), [1], True])
def test_what_is_no_number_is_refused_with_how_to_write_one(case, answer):
    feedback = case.check(answer)
    assert feedback.status == WRONG and "without commas" in feedback.message


@pytest.mark.parametrize("answer", [Fraction(797, 10), Decimal("79.7"), np.float32(79.7)])
def test_any_kind_of_number_will_do(answer):
    assert cases.MEAN.check(answer).status == SOLVED


def test_a_share_is_asked_for_in_percent_and_too_few_digits_are_said():
    assert "in percent" in cases.XSUM.check(0.0363).message
    assert "give 2 digits" in cases.XSUM.check(3.6).message
    assert "give 2 digits" in cases.OF_WHAT.check(2.1).message


@every_case
@pytest.mark.parametrize("answer", [-1, 0, 1e30])
def test_any_other_number_gets_a_hint(case, answer):
    feedback = case.check(answer)
    assert feedback.status == WRONG and case.hint in feedback.message


@every_formula
def test_a_formula_is_what_the_code_that_trains_counts(name):
    assert FORMULAS[name].check(RIGHT[name]).status == SOLVED
    assert len(FORMULAS[name].known()) == 4


@every_formula
def test_every_wrong_formula_is_rejected_with_its_own_message(name):
    formula = FORMULAS[name]
    assert len(formula.mistakes) >= 6
    for message, mistake in formula.mistakes.items():
        feedback = formula.check(mistake)
        assert (feedback.status, feedback.message) == (WRONG, message)


@every_formula
def test_other_attempts_are_told_where_they_go_wrong(name):
    formula = FORMULAS[name]
    assert formula.check(lambda **sizes: None).status == OPEN
    assert "without calling it" in formula.check(5).message
    assert "raised TypeError" in formula.check(lambda width: width).message
    assert (
        "whole number on every backbone, not str" in formula.check(lambda **sizes: "many").message
    )
    assert "not float" in formula.check(lambda **sizes: 0.5).message
    assert "far more" in formula.check(lambda **sizes: 10**400).message
    near = formula.check(lambda **sizes: RIGHT[name](**sizes) + 7)
    assert "right on 0 of 4 backbones; on bert-base" in near.message
    first = formula.check(
        lambda **sizes: RIGHT[name](**sizes) if sizes["width"] == 768 else 1
    ).message
    assert "right on 1 of 4 backbones; on roberta-large" in first


def record_of(printed, million=10**6):
    row = next(row for row in panel.COUNTED if row.printed == printed)
    return panel.row_record(row, million)


def test_the_panel_says_which_count_fits():
    assert record_of("370,178")["fits"] == ["trained and head"]
    assert record_of("76,961,664")["fits"] == ["backbone and stored"]
    assert record_of("0.35M")["fits"] == []
    assert record_of("6.0M")["fits"] == [] and "stored" in record_of("6.0M", 2**20)["fits"]


def test_the_panel_draws_every_row_and_follows_its_controls():
    for i in range(len(panel.COUNTED)):
        page = BeautifulSoup(panel.draw_row(panel._record_of(i, "10^6")), "html.parser")
        assert page.table and "What fits" in page.img["alt"]
    shown = panel.ledger_panel()
    assert shown.record["printed"] == "0.35M"
    shown.controls["row"].value = 0
    assert "4,718,592" in shown.twin()


def test_a_paper_s_claim_holds_when_every_number_follows():
    record = Record("10_check_the_papers", "A title", "A question?", {}, claims=claims.CLAIMS)
    claims.papers(record, recount(ROWS, METHODS), 0)
    found = {claim["key"]: claim["verdict"] for claim in record.data["claims"]}
    assert {key for key, verdict in found.items() if verdict == HOLDS} == {
        "bitfit",
        "distillation",
        "peft",
    }
    assert set(found.values()) == {HOLDS, FAILS} and found.keys() == claims.TITLES.keys()
    assert {row.paper for row in ROWS} == claims.TITLES.keys()


def test_the_pictures_say_their_numbers():
    assert "head, fresh" in drawing.columns().alt
    assert "LoRA: 24 rounds to it" in drawing.verdicts(recount(ROWS, METHODS)).alt
