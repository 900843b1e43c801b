"""The count panel in JupyterLab, in a real browser: controls move, numbers follow."""

import re
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

import nbformat
import pytest
from playwright.sync_api import TimeoutError

PANEL = "from peftlab.lessons.start.panel import count_panel\n\ncount_panel()"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """JupyterLab on a free port, with a notebook that shows the panel."""
    folder = tmp_path_factory.mktemp("lab")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(PANEL)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "panel.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--no-browser", "--allow-root", f"--port={port}", f"--notebook-dir={folder}"]
    options += ["--IdentityProvider.token=", "--ServerApp.ip=127.0.0.1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/api").close()
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="module")
def page(browser, server):
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(f"{server}/lab/tree/panel.ipynb")
    cell = page.locator(".jp-CodeCell").first
    cell.wait_for(timeout=90_000)
    dropdown = page.locator(".jp-OutputArea .widget-dropdown").first
    dialog = page.locator(".jp-Dialog .jp-mod-accept")  # asks for a kernel if none runs yet
    with suppress(TimeoutError):
        page.locator("#jp-main-statusbar", has_text="Idle").wait_for(timeout=60_000)
    for _ in range(6):  # a run that is asked for before the kernel is connected gets lost
        if dialog.count():
            dialog.click()
        with suppress(TimeoutError):
            cell.locator(".cm-content").first.click(timeout=10_000)
            page.keyboard.press("Control+Enter")
            dropdown.wait_for(timeout=20_000)
            break
    yield page
    page.close()


def shown(page):
    """The number of trained parameters that the panel shows."""
    text = page.locator(".jp-OutputArea table").inner_text()
    return int(re.search(r"trained\s+([\d,]+)", text)[1].replace(",", ""))


def wait_for(page, text):
    table = page.locator(".jp-OutputArea table", has_text=text)
    table.wait_for(timeout=30_000)


def test_the_panel_follows_its_controls(page):
    assert shown(page) == 73_728
    page.locator(".widget-dropdown select").first.select_option("gpt3-175b")
    wait_for(page, "37,748,736")
    page.locator(".widget-dropdown select").nth(1).select_option("full fine-tuning")
    wait_for(page, "100 % of the backbone")
    assert shown(page) > 174e9


def test_a_control_that_means_nothing_is_disabled(page):
    assert page.locator(".widget-dropdown select").nth(2).is_disabled()
