"""Executed labs as pages that load nothing: no script, no font and no picture from elsewhere.

nbconvert makes the pages. A formula becomes MathML. A widget becomes its static twin, which stands
beside it in the same output. A content security policy keeps the browser from fetching anything.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import nbformat
from bs4 import BeautifulSoup
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from peftlab.files import write_text_whole
from peftlab.notebooks.execute import WIDGET_VIEW

TEMPLATES = jinja2.FileSystemLoader(Path(__file__).parent / "pages")


POLICY = "default-src 'none'; img-src data:; media-src data:; font-src data:; "


POLICY += "style-src 'unsafe-inline'"


WIDGET_NOTE = '<p class="note">A control that lives in the notebook: open the lab to move it.</p>'


@dataclass
class Lab:
    """An executed lab as the gallery shows it.

    Args:
        name: the file name of its notebook, without the ending.
        notebook: the executed notebook.
        record: what this run of the lab wrote, or an empty dictionary.
        picture: the source and the alternative text of its first picture, for the index.
    """

    name: str
    notebook: NotebookNode
    record: dict[str, Any]
    picture: dict[str, str] | None = None

    @classmethod
    def read(cls, path: Path) -> Lab:
        """Read an executed notebook, and the record beside it if the same run wrote it.

        Args:
            path: of the notebook.

        Returns:
            The lab, still without its picture.
        """
        notebook = nbformat.read(path, as_version=4)
        record = path.with_suffix(".json")
        fresh = notebook.metadata.get("peftlab", {}).get("record")
        return cls(path.stem, notebook, json.loads(record.read_text()) if fresh else {})

    @property
    def executed(self) -> bool:
        """Whether `peftlab run` made this notebook."""
        return "peftlab" in self.notebook.metadata

    @property
    def page(self) -> str:
        """The file name of its page."""
        return f"{self.name}.html"

    @cached_property
    def title(self) -> str:
        """The title in its record, or its first heading, or its name."""
        if self.record.get("title"):
            return self.record["title"]
        prose = (cell.source for cell in self.notebook.cells if cell.cell_type == "markdown")
        heading = re.search(r"^# +(.+)$", "\n".join(prose), re.MULTILINE)
        return re.sub(r"[*`$]", "", heading[1]).strip() if heading else self.name

    @property
    def question(self) -> str | None:
        """What the lab asks."""
        return self.record.get("question")

    @property
    def paper(self) -> dict[str, Any] | None:
        """Title, url and date of its paper."""
        return self.record.get("paper")

    @property
    def verdicts(self) -> dict[str, int]:
        """For each verdict, how many claims got it."""
        return Counter(
            claim.get("verdict", "not measured") for claim in self.record.get("claims") or []
        )

    @property
    def failures(self) -> list[str]:
        """What went wrong. The list is empty when the lab passed."""
        return self.notebook.metadata["peftlab"]["failures"]

    @property
    def time(self) -> str:
        """How long it ran."""
        seconds = round(self.notebook.metadata["peftlab"]["seconds"])
        return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min {seconds % 60} s"


class Renderer(IPythonRenderer):
    """Markdown to HTML with formulas as MathML. The methods are mistune's, which calls them."""

    def block_math(self, body: str) -> str:  # noqa: DOC1
        """A formula on its own line."""
        return mathml(body, "block")

    def inline_math(self, body: str) -> str:  # noqa: DOC1
        """A formula in the text."""
        return mathml(body)

    def latex_environment(self, name: str, body: str) -> str:  # noqa: DOC1
        r"""A formula between \begin and \end."""
        return mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", "block")

    def heading(self, text: str, level: int, **attrs: Any) -> str:  # noqa: DOC1
        """A heading that can be linked to, with the name that JupyterLab gives it."""
        plain = html.unescape(re.sub(r"<[^>]+>", "", text)).strip()
        anchor = html.escape(plain.replace(" ", "-"))
        link = f'<a class="anchor" href="#{anchor}" aria-label="Link to this section">#</a>'
        return f'<h{level} id="{anchor}">{text} {link}</h{level}>\n'


class Exporter(HTMLExporter):
    """nbconvert's exporter with our renderer and template.

    Args:
        options: of nbconvert's exporter, by name.
    """

    def __init__(self, **options: Any):
        super().__init__(
            extra_loaders=[TEMPLATES],
            template_file="lab_page.html.j2",
            preprocessors=[CoalesceStreamsPreprocessor],
            exclude_input_prompt=True,
            exclude_output_prompt=True,
            **options,
        )

    @jinja2.pass_context
    def markdown2html(self, context: Any, source: str) -> str:  # noqa: DOC1
        """The template's filter for markdown cells and outputs."""
        attachments = context.get("cell", {}).get("attachments", {})
        renderer = Renderer(escape=False, attachments=attachments)
        return MarkdownWithMath(renderer=renderer).render(source)


def mathml(latex: str, display: str = "inline") -> str:
    """A formula as MathML.

    Args:
        latex: the formula, without the dollar signs.
        display: "inline" in a line of text, "block" on a line of its own.

    Returns:
        The MathML. LaTeX that the converter does not understand comes back as code.
    """
    known = re.sub(r"(\\(?:begin|end))\{(?:aligned|align|split)\}", r"\1{align*}", latex)
    try:
        formula = convert(known, display=display)
    except Exception:  # the converter has no common error type, and IndexError is among them
        formula = None
    if formula is None or re.search(r">(\\[A-Za-z]+|&)<", formula):  # a command left as it was
        return f"<code>{html.escape(latex.strip())}</code>"
    return formula


def render(folder: str | Path) -> Path:
    """Write a page for every executed lab, and an index of them.

    Args:
        folder: where the executed notebooks are. The pages go there, too.

    Returns:
        The path of `index.html`.
    """
    folder = Path(folder)
    labs = [Lab.read(path) for path in sorted(folder.glob("*.ipynb"))]
    labs = [lab for lab in labs if lab.executed]
    css = _css()
    for before, lab, after in zip([None, *labs], labs, [*labs[1:], None], strict=False):
        resources = {"lab": lab, "before": before, "after": after, "css": css, "policy": POLICY}
        page, _ = Exporter().from_notebook_node(without_widgets(lab.notebook), resources)
        soup = BeautifulSoup(page, "html.parser")
        make_offline(soup, {lab.name for lab in labs})
        if picture := soup.select_one("main img"):
            lab.picture = {"src": picture["src"], "alt": picture.get("alt", "")}
        write_text_whole(folder / lab.page, str(soup))
    environment = jinja2.Environment(loader=TEMPLATES, autoescape=True)
    index = environment.get_template("index_page.html.j2")
    write_text_whole(folder / "index.html", index.render(labs=labs, css=css, policy=POLICY))
    return folder / "index.html"


def without_widgets(notebook: NotebookNode) -> NotebookNode:
    """Replace each widget by the static twin that stands beside it in the same output.

    Args:
        notebook: an executed notebook. It stays as it is.

    Returns:
        A copy without widgets. A widget without a twin has become a note.
    """
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if data.pop(WIDGET_VIEW, None) and set(data) <= {"text/plain"}:
                data["text/html"] = WIDGET_NOTE
    return notebook


def make_offline(soup: BeautifulSoup, labs: set[str]) -> None:
    """Take everything out of a page that a browser would fetch.

    Links to the notebooks of other labs are changed: they lead to the pages of these labs.

    Args:
        soup: the page. It is changed in place.
        labs: the names of the labs that have a page.
    """
    for tag in soup.select("script, link, iframe, object, embed, base, meta[http-equiv=refresh]"):
        tag.decompose()
    for tag in soup.select("[src], [srcset]"):
        del tag["srcset"]
        source = tag.get("src", "")
        if not source.startswith("data:"):
            link = soup.new_tag("a", href=source)
            link.string = tag.get("alt") or source
            tag.replace_with(link)
    for tag in soup.select("a[href]"):
        name, ending, anchor = tag["href"].partition(".ipynb")
        if ending and name.removeprefix("./") in labs:
            tag["href"] = f"{name}.html{anchor}"


def _css() -> str:
    """The style sheet: the colours of code, for light and for dark, and our own rules."""
    light, dark = (
        HtmlFormatter(style=style).get_style_defs(".highlight")
        for style in ("friendly", "github-dark")
    )
    own = TEMPLATES.get_source(jinja2.Environment(), "gallery.css")[0]
    return f"{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}\n{own}"
