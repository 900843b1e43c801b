import ipywidgets as widgets
import pytest
from bs4 import BeautifulSoup

from peftlab import figures
from peftlab.figures.panel import Panel

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def repeat(times, word):
    if times == 0:
        raise ValueError("nothing to repeat")
    return {"text": " ".join([word] * times), "times": times}


def draw(record):
    return f"<table><tr><td>{record['text']}</td></tr></table>"


def draw_picture(record):
    picture = figures.memory_bars({"here": {"weights": float(record["times"])}})
    return picture._repr_html_()


def a_panel(title="Repeat a word", compute=repeat, draw=draw, **start):
    controls = {
        "times": widgets.IntSlider(
            start.get("times", 2), min=0, max=9, description="number of times"
        ),
        "word": widgets.Dropdown(
            options=[("a cat", "cat"), ("a dog", "dog")], description="which animal"
        ),
    }
    return Panel(compute, draw, controls, title)


def view(panel):
    """What the live view shows at the moment."""
    return panel.children[-1].value


def everything_in(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from everything_in(child)


def test_a_panel_shows_something_before_it_is_touched():
    panel = a_panel()
    assert panel.record == repeat(times=2, word="cat")
    assert view(panel) == draw(panel.record)


def test_record_and_view_follow_every_control():
    panel = a_panel()
    panel.controls["times"].value = 3
    assert panel.record["text"] == "cat cat cat"
    assert view(panel) == draw(panel.record)
    panel.controls["word"].value = "dog"
    assert panel.record["text"] == "dog dog dog"
    assert view(panel) == draw(panel.record)


def test_a_change_computes_once_with_all_values_by_name():
    seen = []

    def compute(**values):
        seen.append(values)
        return repeat(**values)

    panel = a_panel(compute=compute)
    panel.controls["times"].value = 5
    assert seen == [{"times": 2, "word": "cat"}, {"times": 5, "word": "cat"}]
    assert panel.values == seen[-1]


def test_the_controls_and_the_title_are_on_display():
    panel = a_panel("Repeat a word")
    shown = list(everything_in(panel))
    assert all(control in shown for control in panel.controls.values())
    assert "Repeat a word" in panel.children[0].value


def test_an_exception_in_compute_reaches_whoever_moves_a_control():
    panel = a_panel()
    with pytest.raises(ValueError, match="nothing to repeat"):
        panel.controls["times"].value = 0
    panel.controls["times"].value = 4  # and the panel goes on
    assert view(panel) == draw(repeat(4, "cat"))


def test_an_exception_in_compute_is_not_swallowed_when_a_browser_moves_a_control():
    with pytest.raises(ValueError, match="nothing to repeat"):
        a_panel().controls["times"].set_state({"value": 0})


def test_an_exception_in_the_first_compute_is_not_swallowed():
    with pytest.raises(ValueError, match="nothing to repeat"):
        a_panel(times=0)


def test_no_output_widget_stands_between_an_exception_and_its_reader():
    assert not any(isinstance(widget, widgets.Output) for widget in everything_in(a_panel()))


def test_one_output_carries_the_live_view_and_the_twin():
    panel = a_panel()
    bundle = panel._repr_mimebundle_(include=None, exclude=None)
    assert bundle[WIDGET_VIEW]["model_id"] == panel.model_id
    assert bundle["text/html"] == panel.twin()
    assert bundle["text/plain"]


def test_the_twin_shows_what_the_view_shows():
    panel = a_panel()
    panel.controls["times"].value = 3
    assert view(panel) in panel.twin()


def test_the_twin_says_the_title_and_the_settings_in_the_learner_s_words():
    panel = a_panel("Repeat a word")
    panel.controls["word"].value = "dog"
    said = BeautifulSoup(panel.twin(), "html.parser").p.get_text(" ")
    assert "Repeat a word" in said
    assert "Set to number of times: 2, which animal: a dog." in said


def test_the_twin_leaves_out_a_control_that_is_switched_off():
    panel = a_panel()
    panel.controls["times"].disabled = True
    assert "number of times" not in panel.twin()
    assert "which animal: a cat" in panel.twin()


def test_every_picture_of_the_twin_has_a_text_alternative_with_its_numbers():
    panel = a_panel(draw=draw_picture, times=7)
    pictures = BeautifulSoup(panel.twin(), "html.parser").find_all("img")
    assert len(pictures) == 1
    assert "weights 7 MiB" in pictures[0]["alt"]


def test_the_twin_loads_nothing_from_elsewhere():
    soup = BeautifulSoup(a_panel(draw=draw_picture).twin(), "html.parser")
    assert not soup.find_all(["script", "link", "iframe"])
    assert all(image["src"].startswith("data:") for image in soup.find_all("img"))


def test_titles_and_labels_are_text_not_markup():
    panel = a_panel("r < d & <b>more</b>")
    panel.controls["word"].options = [("<i>cat</i>", "cat")]
    soup = BeautifulSoup(panel.twin(), "html.parser")
    assert not soup.find_all(["b", "i"])
    assert "r < d & <b>more</b>" in soup.get_text()
    assert "<i>cat</i>" in soup.get_text()
    assert "<b>" not in panel.children[0].value
