"""Figures: each is a PNG whose text alternative holds its numbers, and draws what it is given."""

import base64
import subprocess
import sys
from functools import cache
from importlib import import_module

import pytest
from bs4 import BeautifulSoup

from peftlab import figures
from peftlab.figures.picture import VIOLET, colours_of

pytestmark = pytest.mark.filterwarnings("error::UserWarning")  # such as an empty legend

PNG = b"\x89PNG\r\n\x1a\n"
HISTORY = {
    "losses": [3.0, 1.0, 2.0, 0.5],
    "validation": [{"step": 2, "accuracy": 0.625}, {"step": 4, "accuracy": 0.875}],
}
KINDS = {
    "LoRA": {
        "plain": {"accuracy": 0.91, "examples": 20},
        "irony": {"accuracy": 0.43, "examples": 20},
    }
}
KINDS |= {
    "full": {
        "plain": {"accuracy": 0.95, "examples": 20},
        "irony": {"accuracy": 0.51, "examples": 20},
    }
}
PARTS = {
    "full": {"weights": 86.6, "gradients": 85.5, "AdamW state": 171.1, "checkpoint": 86.4},
    "LoRA": {"weights": 86.6, "gradients": 0.281, "checkpoint": 1.25},
}

NO_STEP = {"losses": [], "validation": []}
MAPS = {"ranks": [[0.81, 0.5], [0.5, 0.62]], "random": [[0.03, 0.1], [0.1, 0.12]]}

#: Each figure with arguments, and what its alternative must say of them.
CASES = {
    "learning_curves": (
        ({"LoRA": HISTORY, "full": HISTORY | {"validation": []}, "head": NO_STEP}, 2),
        [
            "LoRA: training loss 3.00 to 1.25, validation accuracy 87.5 %;",
            "full: training loss 3.00 to 1.25;",
            "head: no step",
        ],
    ),
    "accuracy_dots": (
        ({"LoRA r=8": [0.5, 0.75], "full": [0.875]}, "A title", 0.55),
        [
            "A title. LoRA r=8 62.5 ± 17.7 % over 2 seeds;",
            "full 87.5 ± 0.0 % over 1 seed;",
            "majority class 55.0 %",
        ],
    ),
    "accuracy_by_kind": ((KINDS,), ["LoRA: plain 91, irony 43; full: plain 95, irony 51"]),
    "sweep": (
        ({8: [0.7, 0.8], 1: [0.6]}, "A title", "rank", {"full": 0.9}, (8, 0.725)),
        [
            "A title. Mean over seeds by rank: 1: 60.0 %; 8: 75.0 %;",
            "full 90.0 %",
            "measured just now at 8: 72.5 %",
        ],
    ),
    "spectra": (
        ({"LoRA": [4.0, 2.0, 0.1], "random": [1.0] * 3, "zero": [0.0] * 2}, "A title", 2),
        ["LoRA: 2 of 3 above a tenth of the largest", "random: 3 of 3", "zero: 0 of 2"],
    ),
    "overlap_maps": (
        (MAPS, "j", "i"),
        ["ranks: top direction 0.81, all 0.62; random: top direction 0.03, all 0.12"],
    ),
    "memory_bars": (
        (PARTS, "A title"),
        [
            "A title. full: weights 86.6 MiB, gradients 85.5 MiB, AdamW state 171.1 MiB,",
            "LoRA: weights 86.6 MiB, gradients 0.281 MiB, checkpoint 1.25 MiB",
        ],
    ),
    "cost_bars": (
        ({"full": PARTS["full"] | {"activations": 76.7, "time": 1.0}}, "A title"),
        ["A title. full: weights 86.6 MiB,", "activations 76.7 MiB, 1.00 times the time."],
    ),
    "fronts": (
        ({"a": {1000: [0.75, 0.5], 10: [0.25]}, "b": {}}, "A title", {"full": 0.9}),
        ["by parameters: a: 75.0 % at 10, 37.5 % at 1,000; full 10.0 %."],
    ),
    "heat_map": (
        ([[1.0, None], [2.0, 3.0]], ["a", "b"], ["x", "y"], "A title"),
        ["A title. a, x: 1; b, x: 2; b, y: 3."],
    ),
    "log_bars": (({"a": 0.25, "b": 0.0}, "A title", "std", "change"), ["a: 0.25; b: 0"]),
    "choice_bars": (
        ({"a": 1200, "b": 7}, ["a"], "A title", "parameters"),
        ["A title, parameters: a 1,200 (chosen); b 7."],
    ),
    "two_curves": (
        ({"a": {8: [0.5, 0.75], 1: [0.25]}, "b": {}}, "A title", "sentences"),
        ["A title. a: 25.0 % at 1, 62.5 % at 8; b: no stored runs."],
    ),
    "bands": (
        ({"a": {1: [0.25, 0.5], 8: [0.5, 0.75]}, "b": {}}, "A title", "epoch"),
        ["A title. a: 37.5 % at 1, 62.5 % at 8; b: no stored runs."],
    ),
    "dots_by_row": (
        ({"x": {"worded": [0.25, 0.75], "learnt": [0.5]}, "y": {"learnt": [1.0]}}, "A title"),
        ["A title. x, worded: 25.0 to 75.0 %; x, learnt: 50.0 to 50.0 %; y, learnt: 100.0 to"],
    ),
    "nothing": (("A title", "no reason"), ["A title: no reason."]),
}
EMPTY = {
    "learning_curves": ({},),
    "accuracy_dots": ({}, "A title"),
    "accuracy_by_kind": ({"LoRA": {}, "full": {}},),
    "sweep": ({}, "A title", "rank"),
    "spectra": ({}, "A title"),
    "overlap_maps": ({}, "j", "i"),
    "memory_bars": ({},),
    "cost_bars": ({}, "A title"),
    "fronts": ({"a": {}}, "A title"),
    "heat_map": ([[None]], ["a"], ["x"], "A title"),
    "log_bars": ({"a": 0.0}, "A title", "std", "change"),
    "choice_bars": ({}, [], "A title", "parameters"),
    "two_curves": ({"a": {}}, "A title", "sentences"),
    "bands": ({"a": {}}, "A title", "epoch"),
    "dots_by_row": ({"x": {}}, "A title"),
    "nothing": ("A title",),
}
every_figure = pytest.mark.parametrize("name", CASES)
DRAWINGS = {
    "lora_update": ["frozen weight W", "A, 2 by 6", "B, 6 by 2", "alpha over r", "rank 2"],
    "adapter_layer": ["before the residual", "from D down to m", "near zero"],
    "soft_prompt": ["P1 to P3", "taken off", "the state of the last token"],
    "template": ["two slots", "LSTM in both directions", "only these vectors are kept"],
    "method_map": ["(lab 01)", *(f"({n:02})" for n in range(2, 9))],  # all eight labs
}
LESSONS = {
    "lora_update": "lora",
    "adapter_layer": "adapter",
    "soft_prompt": "prompt_tuning",
    "template": "p_tuning",
    "method_map": "start",
}
every_drawing = pytest.mark.parametrize("name", DRAWINGS)


@cache
def picture(name):
    return getattr(figures, name)(*CASES[name][0])


@pytest.fixture
def drawn(monkeypatch):
    """Draw a figure and give its axes, without making a picture of it."""
    monkeypatch.setattr(
        figures.Picture, "__init__", lambda self, figure, alt: setattr(self, "figure", figure)
    )
    return lambda name, *args, **named: getattr(figures, name)(*args, **named).figure.axes


def points(lines):
    """What dots and curves are at, line by line; reference lines left out."""
    return [
        list(zip(*line.get_data(), strict=True)) for line in lines if line.get_linestyle() != "--"
    ]


# Every figure


@every_figure
def test_every_figure_is_a_png_whose_alternative_holds_its_numbers(name):
    found = picture(name)
    assert found.png.startswith(PNG)
    for text in CASES[name][1]:
        assert text in found.alt
    assert repr(found) == f"Picture: {found.alt}"


@every_figure
def test_every_figure_without_anything_to_show_says_so(name):
    found = getattr(figures, name)(*EMPTY[name])
    assert found.png.startswith(PNG)
    assert ": " in found.alt and found.alt.endswith(".") and ". ." not in found.alt


def test_a_task_without_kinds_is_the_reason_that_there_are_none(drawn):
    (axes,) = drawn("accuracy_by_kind", {})
    assert "does not say of which kind" in axes.texts[0].get_text()
    (axes,) = drawn("sweep", {}, "A title", "rank")
    assert "no stored runs of these settings" in axes.texts[0].get_text()


@every_drawing
def test_every_drawing_is_a_png_that_its_alternative_describes(name):
    found = getattr(import_module(f"peftlab.lessons.{LESSONS[name]}.drawing"), name)()
    assert found.png.startswith(PNG)
    for text in DRAWINGS[name]:
        assert text in found.alt
    assert "  " not in found.alt


def test_a_picture_is_an_image_that_carries_its_alternative_escaped():
    figure, axes = figures.canvas(2, 1)
    axes.plot([0, 1])
    alt = 'a "quoted" <b>alternative</b> & more'
    found = figures.Picture(figure, alt)
    shown = found._repr_html_()
    assert "<b>" not in shown and '"quoted"' not in shown
    image = BeautifulSoup(shown, "html.parser").img
    assert image["alt"] == alt
    kind, data = image["src"].split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data) == found.png
    assert "width:200px;max-width:100%" in image["style"]


def test_drawing_leaves_the_settings_of_matplotlib_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    figures.canvas(2, 1, columns=2)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    "size, text",
    [(1234.56, "1,234.6 MiB"), (10, "10.0 MiB"), (9.876, "9.88 MiB"), (0.2812, "0.281 MiB")],
)
def test_mib_are_written_with_enough_digits(size, text):
    assert figures.mib(size) == text


# What is drawn


def test_learning_curves_are_running_means_and_the_validation_accuracy(drawn):
    left, right = drawn("learning_curves", {"LoRA": HISTORY}, smooth=2)
    assert points(left.lines) == [[(1, 3.0), (2, 2.0), (3, 1.5), (4, 1.25)]]
    assert points(right.lines) == [[(2, 62.5), (4, 87.5)]]
    assert left.get_title(loc="left") == "Training loss"


def test_other_runs_stand_beside_the_learning_curve_of_their_label(drawn):
    looks = [{"step": 2, "accuracy": 0.5}, {"step": 4, "accuracy": 0.75}]
    _, right = drawn("learning_curves", {"LoRA": HISTORY}, others={"LoRA": [looks], "head": []})
    assert sorted(points(right.lines)) == [[(2, 50.0), (4, 75.0)], [(2, 62.5), (4, 87.5)]]


def test_bands_are_the_interval_of_the_mean_around_its_curve(drawn):
    (axes,) = drawn("bands", {"a": {1: [0.2, 0.4], 3: [0.5, 0.5]}}, "A title", "epoch")
    assert points(axes.lines) == [[(1, pytest.approx(30.0)), (3, 50.0)]]
    (band,) = axes.collections
    ends = {x: sorted(y for at, y in band.get_paths()[0].vertices if at == x) for x in (1, 3)}
    assert ends[3][0] == ends[3][-1] == 50.0
    half = 12.706 * 10  # Student's t with one degree of freedom, times the standard error
    assert ends[1][0] == pytest.approx(30 - half, abs=0.1)
    assert ends[1][-1] == pytest.approx(30 + half, abs=0.1)


def test_many_groups_of_dots_leave_the_axes_their_width(drawn):
    groups = [f"method number {i}" for i in range(9)]
    (axes,) = drawn("dots_by_row", {"movies": {name: [0.5, 0.8] for name in groups}}, "A title")
    axes.figure.draw_without_rendering()  # which lays it out
    assert axes.get_position().width > 0.5
    assert [text.get_text() for text in axes.get_legend().get_texts()] == groups


def test_dots_by_row_keep_one_colour_for_each_group_and_no_group_hides_another(drawn):
    rows = {"x": {"worded": [0.25, 0.75], "learnt": [0.5]}, "y": {"learnt": [1.0]}}
    (axes,) = drawn("dots_by_row", rows, "A title")
    dots = [
        line for line in axes.lines if line.get_linestyle() == "None" and len(line.get_data()[0])
    ]
    worded, learnt, other = points(dots)
    assert [x for x, _ in worded] == [25.0, 75.0] and worded[0][1] < learnt[0][1]
    assert learnt == [(50.0, pytest.approx(0.2))] and other == [(100.0, pytest.approx(1.2))]
    assert dots[1].get_color() == dots[2].get_color() != dots[0].get_color()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["worded", "learnt"]


def test_accuracy_dots_are_at_every_seed_and_bars_at_the_mean(drawn):
    (axes,) = drawn("accuracy_dots", {"a": [0.5, 0.75], "b": [0.875]}, "A title", 0.55)
    assert points(axes.lines) == [[(50.0, 0), (75.0, 0)], [(87.5, 1)]]
    assert [bar.get_width() for bar in axes.patches] == [62.5, 87.5]
    assert axes.lines[-1].get_xdata()[0] == pytest.approx(55)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b"]
    assert axes.get_title(loc="left") == "A title"


def test_accuracy_by_kind_has_a_row_a_kind_and_a_dot_a_run(drawn):
    (axes,) = drawn("accuracy_by_kind", KINDS)
    lora, full = points(axes.lines)  # apart by half a row, so that no dot hides another
    assert lora == [(91.0, -0.25), (43.0, 0.75)] and full == [(95.0, 0.25), (51.0, 1.25)]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["LoRA", "full"]


def test_a_sweep_is_drawn_in_the_order_of_its_sizes_at_equal_distances(drawn):
    (axes,) = drawn(
        "sweep", {64: [0.75], 1: [0.5, 0.625], 8: [0.625]}, "A title", "rank", live=(8, 0.7)
    )
    mean, *dots, live = points(axes.lines)
    assert mean == [(0, 56.25), (1, 62.5), (2, 75.0)]
    assert dots == [[(0, 50.0), (0, 62.5)], [(1, 62.5)], [(2, 75.0)]]
    assert live == [(1, pytest.approx(70))]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "8", "64"]


@pytest.mark.parametrize(
    "settings",
    [{"points": {1: [0.1, 0.9]}}, {"lines": {"majority": 0.1}}, {"live": (1, 0.1)}],
    ids=lambda settings: next(iter(settings)),
)
def test_a_sweep_shows_values_however_low_they_are(drawn, settings):
    settings = {"points": {1: [0.8]}} | settings
    (axes,) = drawn("sweep", title="A title", xlabel="rank", **settings)
    assert axes.get_ylim()[0] < 10
    (axes,) = drawn("sweep", {1: [0.8]}, "A title", "rank")
    assert axes.get_ylim() == (40, 100)


def test_spectra_are_divided_by_their_largest_and_cut_to_what_is_shown(drawn):
    (axes,) = drawn("spectra", {"a": [4.0, 2.0, 1.0], "b": [1.0, 0.5]}, "A title", mark=2, show=2)
    assert points(axes.lines) == [[(1, 1.0), (2, 0.5)], [(1, 1.0), (2, 0.5)]]
    assert axes.lines[-1].get_xdata()[0] == 2.5  # between the ranks kept and those cut
    # The legend names the line; a text beside it would stand on the curves.
    assert [text.get_text() for text in axes.get_legend().texts] == ["a", "b", "rank 2"]
    assert not axes.texts


@pytest.mark.parametrize("count", [1, 2])
def test_overlap_maps_are_side_by_side_on_one_scale(drawn, count):
    maps = dict(list(MAPS.items())[:count])
    *axes, bar = drawn("overlap_maps", maps, "j", "i")
    for ax, (label, numbers) in zip(axes, maps.items(), strict=True):
        (image,) = ax.images
        assert image.get_array().tolist() == numbers
        assert image.get_clim() == (0, 1)
        assert ax.get_title() == label
    assert bar.get_ylabel() == "similarity"


def test_memory_bars_stack_what_is_in_memory_and_show_the_disk_apart(drawn):
    (axes,) = drawn("memory_bars", PARTS)
    bars = [number for bar in axes.patches for number in (bar.get_x(), bar.get_width())]
    full = [0, 86.6, 86.6, 85.5, 172.1, 171.1, 0, 86.4]  # start and length of each
    assert bars == pytest.approx([*full, 0, 86.6, 86.6, 0.281, 0, 1.25])
    assert "343.2 MiB" in [text.get_text() for text in axes.texts]


def test_the_legend_of_memory_bars_names_every_part_of_any_bar(drawn):
    (axes,) = drawn("memory_bars", PARTS)
    (legend,) = axes.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(PARTS["full"])


def test_a_checkpoint_larger_than_the_memory_shown_is_inside_the_picture(drawn):
    (axes,) = drawn("memory_bars", {"a": {"gradients": 1.0, "checkpoint": 30.0}})
    assert axes.get_xlim()[1] > 30


def test_controls_have_the_same_colour_in_every_figure(drawn):
    labels = ["LoRA r=8", "full fine-tuning", "head only", "random weights", "LoRA r=1"]
    (axes,) = drawn("accuracy_dots", {label: [0.5] for label in labels}, "A title")
    colours = {label: line.get_color() for label, line in zip(labels, axes.lines, strict=True)}
    assert colours["full fine-tuning"] == figures.BLACK
    assert colours["head only"] == figures.ORANGE
    assert colours["random weights"] == figures.RED
    assert len(set(colours.values())) == 5


@pytest.mark.parametrize(
    "labels",
    [["P-Tuning v2", "LoRA", "another"], ["another", "P-Tuning", "LoRA", "P-Tuning v2", "BitFit"]],
)
def test_a_method_has_the_same_colour_whatever_stands_beside_it(labels):
    colours = dict(zip(labels, colours_of(labels), strict=True))
    assert colours["LoRA"] == figures.BLUE and colours["P-Tuning v2"] == VIOLET
    assert len(set(colours.values())) == len(labels)


# Nothing is left out


@pytest.mark.parametrize("count", [0, 3, 9, 10, 60])
def test_a_palette_has_a_colour_for_each_curve_and_begins_as_asked(count):
    colours = figures.palette(count, figures.RED, figures.BLUE)
    assert len(colours) == len(set(colours)) == count
    assert colours[:2] == [figures.RED, figures.BLUE][:count]


@pytest.mark.parametrize("count", [1, 3, 4, 12])
@pytest.mark.parametrize("name", ["learning_curves", "accuracy_by_kind", "spectra", "two_curves"])
def test_every_curve_is_drawn_in_a_colour_of_its_own(drawn, name, count):
    one, more = {
        "learning_curves": (HISTORY, ()),
        "accuracy_by_kind": (KINDS["LoRA"], ()),
        "spectra": ([2.0, 1.0], ("A title",)),
        "two_curves": ({1: [0.5], 2: [0.6]}, ("A title", "sentences")),
    }[name]
    labels = [f"full {i}" for i in range(count)]  # controls, too, are told apart
    axes = drawn(name, dict.fromkeys(labels, one), *more)[0]
    shown = {
        line.get_label(): line.get_color() for line in axes.lines if line.get_label()[0] != "_"
    }
    assert list(shown) == [text.get_text() for text in axes.get_legend().get_texts()] == labels
    assert len(set(shown.values())) == count


def test_every_reference_line_of_a_sweep_is_drawn_in_a_colour_of_its_own(drawn):
    lines = {f"line {i}": 0.5 + i / 20 for i in range(7)}
    (axes,) = drawn("sweep", {1: [0.8]}, "A title", "rank", lines)
    level = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [line.get_ydata()[0] for line in level] == [100 * value for value in lines.values()]
    assert [text.get_text() for text in axes.texts] == list(lines)
    assert len({line.get_color() for line in level} | {axes.lines[0].get_color()}) == 8


@pytest.mark.parametrize("turned", [False, True])
def test_two_curves_have_a_tick_at_the_sizes_of_every_curve(drawn, turned):
    curves = {"a": {1: [0.5], 64: [0.75]}, "b": {8: [0.5]}}
    if turned:
        curves = dict(reversed(curves.items()))
    (axes,) = drawn("two_curves", curves, "A title", "sentences")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "8", "64"]


def test_a_kind_that_only_one_label_has_keeps_its_dot(drawn):
    kinds = {
        "a": {"plain": {"accuracy": 0.5, "examples": 20}},
        "b": {"irony": {"accuracy": 0.25, "examples": 20}},
    }
    (axes,) = drawn("accuracy_by_kind", kinds)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["plain (20)", "irony (20)"]
    assert points(axes.lines) == [[(50.0, -0.25)], [(25.0, 1.25)]]
    (axes,) = drawn("accuracy_by_kind", {"none": {}} | kinds)
    assert points(axes.lines)[1:] == [[(50.0, 0.0)], [(25.0, 1.25)]]


def test_a_zero_on_a_logarithmic_scale_keeps_its_place_and_its_number(drawn):
    (axes,) = drawn("log_bars", {"a": 0.25, "b": 0.0, "c": 25.0}, "A title", "std", "change")
    tops = [bar.get_y() + bar.get_height() for bar in axes.patches]
    assert tops == pytest.approx([0.25, min(tops), 25.0]) and 0 < min(tops) < 0.25
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "b", "c"]
    low, high = axes.get_ylim()
    for text, number in zip(axes.texts, ("0.25", "0", "25"), strict=True):
        assert text.get_text() == number
        assert low <= text.get_position()[1] <= high


@pytest.mark.parametrize(
    "name, arguments, said",
    [
        ("sweep", ({1: [0.5]}, "A title", "rank", None, (2, 0.5)), "live is at 2; points has 1"),
        ("two_curves", ({"a": {0: [0.5]}}, "A title", "epoch"), "no place for epoch 0"),
        ("log_bars", ({"a": -1.0}, "A title", "std", "change"), "no place for a: -1"),
        ("heat_map", ([[1.0]], ["a", "b"], ["x"], "A title"), "rows has 2 names for 1 rows"),
        ("heat_map", ([[1.0]], ["a"], ["x", "y"], "A title"), "row 'a' has 1"),
        ("memory_bars", ({"a": {"weight": 1.0}},), "'weight'; a part is one of: weights, "),
    ],
)
def test_what_a_figure_has_no_place_for_is_refused_by_name(name, arguments, said):
    with pytest.raises(ValueError, match=said):
        getattr(figures, name)(*arguments)


def test_drawing_imports_no_torch():
    script = (
        "import sys; import peftlab.figures, peftlab.figures.drawing; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_against_chance_has_a_dot_for_every_number_and_the_largest_of_chance_as_a_line(drawn):
    chance = [0.001, 0.004, 0.002]
    (axes,) = drawn("against_chance", {"ranks": [0.5, 0.25]}, chance, "A title", "similarity")
    dots = [sorted(line.get_xdata()) for line in axes.lines if line.get_marker() == "o"]
    assert dots == [[0.25, 0.5], sorted(chance)]
    assert axes.lines[-1].get_xdata() == [0.004, 0.004]
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert labels == ["ranks", "3 random draws"]


def test_zeros_beyond_a_rank_are_not_drawn(drawn):
    (axes,) = drawn("spectra", {"LoRA": [2.0, 1.0, 1e-9, 0.0]}, "A title")
    assert points(axes.lines) == [[(1, 1.0), (2, 0.5)]]


def test_bars_that_are_all_chosen_tell_no_choice():
    assert "chosen" not in figures.choice_bars({"a": 1, "b": 2}, ["a", "b"], "A title", "%").alt
