"""A panel: a pure function of control values, a view that follows the controls, a static twin."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets

from peftlab.figures.tables import Table

Record = dict[str, Any]


class Panel(widgets.VBox):
    """Controls above a view; both the live view and the static twin draw the same record.

    A notebook gets the widgets; GitHub, print, PDF and screen readers get the twin, which travels
    in the same output. A change of a control only calls `compute`: it never trains, and an
    exception in it is not swallowed.

    Args:
        compute: a pure function of the controls' values, by keyword; returns a record.
        draw: turns a record into HTML: tables and pictures with alternative text.
        controls: by the name of `compute`'s argument; anything with a `value`.
        title: what the panel shows, said once above it.
    """

    def __init__(
        self,
        compute: Callable[..., Record],
        draw: Callable[[Record], str],
        controls: dict[str, widgets.Widget],
        title: str,
    ):
        self.compute = compute
        self.draw = draw
        self.controls = controls
        self.title = title
        self._view = widgets.HTML()
        heading = widgets.HTML(f"<strong>{html.escape(title)}</strong>")
        grid = widgets.HBox(list(controls.values()), layout=widgets.Layout(flex_flow="row wrap"))
        super().__init__([heading, grid, self._view])
        for control in controls.values():
            control.observe(self._follow, names="value")
        self._follow(None)

    @property
    def values(self) -> dict[str, Any]:
        """The present values of the controls."""
        return {name: control.value for name, control in self.controls.items()}

    def _follow(self, _change: Any) -> None:
        self.record = self.compute(**self.values)
        self._view.value = self.draw(self.record)

    def twin(self) -> str:
        """The panel as static HTML: title, settings, and what the view shows."""
        settings = ", ".join(
            f"{control.description or name}: {_shown(control)}"
            for name, control in self.controls.items()
            if not getattr(control, "disabled", False)
        )
        head = (
            f"<p><strong>{html.escape(self.title)}</strong><br>Set to {html.escape(settings)}.</p>"
        )
        return f'<div class="peftlab-panel">{head}{self.draw(self.record)}</div>'

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget's own bundle with the twin beside it."""
        bundle = super()._repr_mimebundle_(**kwargs)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        return data | {"text/html": self.twin()}


def facts(rows: dict[str, str], picture: Any) -> str:
    """Draw the table of facts that a panel says, and its picture below.

    Args:
        rows: what is said, by what it is of.
        picture: one of `peftlab.figures`.

    Returns:
        HTML.
    """
    table = Table([{"": what, "value": said} for what, said in rows.items()])
    return table._repr_html_() + picture._repr_html_()


def trained_parameters(record: Record) -> str:
    """Say how many parameters train, and their share of the backbone.

    Args:
        record: with "trained", a number, and "share", from 0 to 1.

    Returns:
        The text, such as "73,728 (0.325 %)".
    """
    return f"{record['trained']:,} ({100 * record['share']:.3f} %)"


def percent(share: float) -> str:
    """Say a share or an accuracy in percent.

    Args:
        share: from 0 to 1.

    Returns:
        The text, such as "73.8 %".
    """
    return f"{100 * share:.1f} %"


def short(text: str, length: int) -> str:
    """Cut a text that is too long for a table.

    Args:
        text: of any length.
        length: characters that are shown at most.

    Returns:
        The text, or its beginning with an ellipsis.
    """
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def sentences_table(
    sentences: Sequence[Mapping[str, Any]], before: str, length: int, caption: str
) -> str:
    """Show how sure a model is of the right label of some sentences, before and now.

    Args:
        sentences: of each its "text" and "label", and the probability of that label from 0 to 1,
            "whole" before and "now".
        before: how the probability before is called.
        length: characters of a sentence that are shown at most.
        caption: of the table.

    Returns:
        HTML.
    """
    rows = [
        {
            "sentence": short(one["text"], length),
            "its label": one["label"],
            f"probability of it, {before}": percent(one["whole"]),
            "now": percent(one["now"]),
        }
        for one in sentences
    ]
    return Table(rows, caption=caption)._repr_html_()


def stored_accuracy(reached: Sequence[float], stored: Sequence[str] = ()) -> dict[str, str]:
    """Say the mean accuracy of the stored runs of one setting, as a row of `facts`.

    Args:
        reached: test accuracies from 0 to 1, one for each seed; empty where no run is stored.
        stored: the settings that have stored runs, to be named where this one has none.

    Returns:
        One row: how many seeds there are, and what they reached.
    """
    if reached:
        said = percent(sum(reached) / len(reached))
    else:
        said = f"none; there are: {'; '.join(stored)}" if stored else "no stored runs"
    return {f"test accuracy of stored runs ({len(reached)} seeds)": said}


def _shown(control: widgets.Widget) -> str:
    """The label a learner sees for the present value."""
    return str(getattr(control, "label", None) or control.value)
