"""The gallery in a real browser without a network."""

import executed
import pytest

from peftlab.notebooks import gallery


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = executed.sample(tmp_path_factory.mktemp("gallery"))
    gallery.render(folder)
    return folder


@pytest.fixture
def page(browser):
    """A page that is offline and notes what it asks for and complains about."""
    context = browser.new_context(viewport={"width": 400, "height": 800})
    context.set_offline(True)
    page = context.new_page()
    page.asked, page.complaints = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    context.close()


PAGES = ("index", "00_one", "01_two", "02_three")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_for_nothing_but_itself_and_does_not_complain(page, folder, name):
    page.goto((folder / f"{name}.html").as_uri())
    page.wait_for_load_state("networkidle")
    assert [url for url in page.asked if not url.startswith(("file:", "data:"))] == []
    assert [url for url in page.asked if url.startswith("file:")] == [page.url]
    assert page.complaints == []


@pytest.mark.parametrize("name", ["index", "01_two"])
def test_pictures_are_drawn_and_described(page, folder, name):
    page.goto((folder / f"{name}.html").as_uri())
    images = page.locator("img").evaluate_all("all => all.map(i => [i.alt, i.naturalWidth])")
    assert images
    assert all(alt and width > 0 for alt, width in images)


@pytest.mark.parametrize("name", PAGES)
def test_a_narrow_window_needs_no_sideways_scrolling(page, folder, name):
    page.goto((folder / f"{name}.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_paper_cuts_nothing_off(page, folder):
    """What a window would scroll has to be broken into lines, or fit."""
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 700, "height": 990})
    page.goto((folder / "01_two.html").as_uri())
    long = "document.querySelector('.jp-Editor pre').append(' and'.repeat(100))"
    page.evaluate(long)
    cut = "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).length"
    assert page.locator("pre, .jp-OutputArea-child").evaluate_all(cut) == 0


def test_formulas_have_a_size_and_folded_code_opens(page, folder):
    page.goto((folder / "01_two.html").as_uri())
    boxes = [formula.bounding_box() for formula in page.locator("math").all()]
    assert len(boxes) == 3 and all(box["width"] > 5 and box["height"] > 5 for box in boxes)
    secret = page.get_by_text("secret")
    assert not secret.is_visible()
    page.get_by_text("Show the code").click()
    assert secret.is_visible()


def test_one_can_walk_from_the_index_through_the_labs_and_back(page, folder):
    page.goto((folder / "index.html").as_uri())
    page.get_by_role("link", name="One").click()
    assert "This run failed" in page.content()
    page.locator("header [rel=next]").click()
    assert page.title() == "Two & more"
    page.locator("footer").get_by_text("All labs").click()
    assert page.url.endswith("index.html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_told_from_the_page_in_the_readers_colours(page, folder, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto((folder / "01_two.html").as_uri())
    colours = "(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))"
    ink, paper = (
        sum(map(int, colour.removeprefix("rgb(").rstrip(")").split(",")))
        for colour in page.evaluate(colours)
    )
    assert (ink > paper) == (scheme == "dark")
    assert abs(ink - paper) > 450
