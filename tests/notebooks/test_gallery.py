import re

import executed
import pytest
from bs4 import BeautifulSoup

from peftlab.notebooks import gallery


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = executed.sample(tmp_path_factory.mktemp("gallery"))
    assert gallery.render(folder) == folder / "index.html"
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return BeautifulSoup((folder / "01_two.html").read_text(), "html.parser")


@pytest.fixture(scope="module")
def cards(folder):
    index = BeautifulSoup((folder / "index.html").read_text(), "html.parser")
    return {card.select_one("h2 a")["href"]: card for card in index.select(".card")}


def test_every_lab_that_ran_has_a_page_and_a_card_and_no_other_notebook_has(folder, cards):
    assert list(cards) == ["00_one.html", "01_two.html", "02_three.html"]
    assert {path.name for path in folder.glob("*.html")} == {*cards, "index.html"}


def test_rendering_leaves_no_half_written_file(folder):
    assert not list(folder.glob(".*"))


def test_a_card_shows_the_record(cards):
    card = cards["01_two.html"]
    assert card.h2.text == "Two & more"
    assert "Is it <small>?" in card.text
    assert card.select_one(".paper a")["href"] == executed.RECORD["paper"]["url"]
    assert "2021" in card.select_one(".paper").text
    chips = [chip.text for chip in card.select(".chip")]
    assert chips == ["holds: 2", "does not hold: 1", "not measured: 1", "3 min 4 s"]


def test_a_card_shows_the_first_picture_with_its_alternative_text(cards):
    picture = cards["01_two.html"].img
    assert picture["alt"] == 'Loss "falls"'
    assert picture["src"].startswith("data:image/png;base64,")
    assert cards["00_one.html"].img is None


def test_a_failed_lab_is_marked_on_its_card_and_its_page_and_no_other_is(folder, cards):
    message = "cell 2 (1 / 0): ZeroDivisionError: x"
    assert message in cards["00_one.html"].select_one(".failed").text
    assert message in BeautifulSoup((folder / "00_one.html").read_text(), "html.parser").main.text
    assert [href for href, card in cards.items() if card.select(".failed")] == ["00_one.html"]


def test_the_title_is_the_records_else_the_first_heading_else_the_name(folder):
    titles = {}
    for path in folder.glob("0*.html"):
        titles[path.stem] = BeautifulSoup(path.read_text(), "html.parser").title.text
    assert titles == {"00_one": "One", "01_two": "Two & more", "02_three": "02_three"}


def test_a_record_that_this_run_did_not_write_is_not_shown(tmp_path):
    executed.save(tmp_path, "01_two", "# Mine", peftlab=executed.ran(record=False))
    (tmp_path / "01_two.json").write_text('{"title": "of an earlier run"}')
    assert "of an earlier run" not in gallery.render(tmp_path).read_text()


def test_an_empty_folder_gets_an_index_that_says_so(tmp_path):
    assert "No lab has been run yet" in gallery.render(tmp_path).read_text()


def test_pages_link_back_and_to_their_neighbours(page):
    assert page.header.select_one("a[href='index.html']")
    assert page.header.select_one("[rel=prev]")["href"] == "00_one.html"
    assert page.header.select_one("[rel=next]")["href"] == "02_three.html"


def test_links_between_notebooks_lead_to_pages(page):
    assert page.main.select_one("a[href='00_one.html#One']").text == "one"


def test_nothing_on_a_page_is_fetched(folder):
    for path in folder.glob("*.html"):
        text = path.read_text()
        soup = BeautifulSoup(text, "html.parser")
        assert not soup.select("script, link, iframe, object, embed")
        assert all(tag["src"].startswith("data:") for tag in soup.select("[src]"))
        assert not soup.select("[srcset]")
        assert not re.search(
            r"url\(|@import", "".join(style.text for style in soup.select("style"))
        )
        assert "default-src 'none'" in soup.select_one("meta[http-equiv]")["content"]


def test_a_picture_from_elsewhere_becomes_a_link(page):
    assert page.select_one("a[href='https://example.org/far.png']").text == "far"


def test_html_beside_a_removed_script_stays(page):
    assert "kept" in page.main.text


def test_a_widget_gives_way_to_its_twin_and_its_state_goes(folder, page):
    assert "the twin" in page.main.text
    assert "widget-state" not in (folder / "01_two.html").read_text()


def test_a_widget_without_a_twin_leaves_a_note(page):
    assert "open the lab to move it" in page.main.text
    assert "IntSlider" not in page.main.text


def test_pictures_carry_the_alternative_text_of_their_output_or_cell(page):
    described = [image["alt"] for image in page.main.select("img")]
    assert described == ['Loss "falls"', "Spectrum", "dot"]


def test_hidden_input_folds_and_other_input_does_not(page):
    folded = page.select("details.code")
    assert [fold.summary.text for fold in folded] == ["Show the code"]
    assert "secret" in folded[0].text


def test_progress_bars_end_up_as_their_last_state(page):
    output = next(pre.text for pre in page.select("pre") if "epoch" in pre.text)
    assert output.split() == ["epoch", "1", "100%"]


def test_prompts_are_hidden(page):
    assert not page.select(".jp-InputPrompt, .jp-OutputPrompt")
    assert not re.search(r"In\s*\[|Out\s*\[", page.text)


def test_formulas_in_text_and_in_outputs_are_mathml(page):
    inline, block, output = page.select("math")
    assert (inline["display"], block["display"]) == ("inline", "block")
    assert block.mfrac and "Δ" in output.text
    assert "$" not in page.main.text


def test_headings_can_be_linked_to_by_jupyters_name_and_carry_no_pilcrow(page):
    heading = page.find("h2")
    assert heading["id"] == "What's-next"
    assert heading.a["href"] == "#What's-next"
    assert "¶" not in page.text


def test_a_folded_solution_holds_its_code():
    exporter = gallery.Exporter()
    source = "<details><summary>Solution</summary>\n\n```python\nreturn x\n```\n\n</details>\n"
    fold = BeautifulSoup(exporter.markdown2html({}, source), "html.parser").details
    assert "return x" in fold.text


@pytest.mark.parametrize(
    "latex", ["x", r"\frac{1}{2}", r"\begin{aligned} a &= b \\ c &= d \end{aligned}", r"a \ll b"]
)
def test_latex_becomes_mathml(latex):
    assert gallery.mathml(latex).startswith("<math")


def test_an_aligned_formula_keeps_its_rows():
    formula = gallery.mathml(r"\begin{aligned} a &= b \\ c &= d \end{aligned}", "block")
    assert formula.count("<mtr>") == 2


@pytest.mark.parametrize("latex", [r"\frac{", "x_{", r"\left( a", r"\nosuchcommand x", "a & b", ""])
def test_bad_latex_falls_back_to_code(latex):
    soup = BeautifulSoup(gallery.mathml(latex), "html.parser")
    assert soup.code.text == latex and not soup.math


def test_latex_that_is_not_understood_cannot_become_markup():
    assert "<b>" not in gallery.mathml(r"\nosuchcommand <b>x</b>")
