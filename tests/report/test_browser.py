"""Pages in a real browser: no error, sounds that play, tables that sort, narrow screens, print, accessibility.

They need Playwright (``pip install playwright``) and Chromium: that of the system, or the one of the environment
variable RNNRBM_CHROMIUM. With RNNRBM_AXE, the path of axe.min.js of the package axe-core, accessibility is checked too.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_runs import a_run, tone

from rnnrbm.experiment.reports import read_runs, write_comparison, write_report

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = os.environ.get("RNNRBM_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
AXE = os.environ.get("RNNRBM_AXE")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

HOSTILE = "<script>alert('1')</script>\"'&<img src=x>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"],
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def report(base) -> Path:
    """A report with every kind of content, of a run whose names are hostile."""
    name = HOSTILE.replace("/", "\\")
    folder = a_run(
        base / f"a run {name}",
        changes={"model.cell": "a" * 300},
        facts={"command": "rnnrbm train " + "x" * 400, HOSTILE: HOSTILE},
        results={"baselines": {"note 1-gram": -10.0, HOSTILE: -9.0, "previous frame": -7.0}, "method": "y" * 200},
    )
    tone(folder / "samples" / "sample-2.wav", seconds=1.5)
    return write_report(folder)


@pytest.fixture(scope="module")
def comparison(base) -> Path:
    runs = [a_run(base / f"b-{i}", seed=i, test_ll=ll) for i, ll in enumerate([-7.5, -10.25, -9.0])]
    runs += [a_run(base / "c", changes={"model.n_hidden": 9}, test_ll=None), a_run(base / HOSTILE.replace("/", "\\"))]
    return write_comparison(read_runs(runs), base / "compare.html")


@pytest.fixture
def open_page(browser) -> Iterator[Any]:
    """A function that opens a page; whatever it says, and whatever it asks for, is an error."""
    contexts, said = [], []

    def opened(path: Path, width: int = 1200, scheme: str = "light", **options: Any) -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append("a dialog"))
        page.on("request", lambda r: None if r.url.startswith(("data:", "file:")) else said.append(r.url))
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []


def test_a_report_plays(open_page, report):
    page = open_page(report)
    assert page.title() == "RNN-RBM trained on toy"
    found = page.evaluate(
        """async () => {
            const players = [...document.querySelectorAll("audio")];
            await Promise.all(players.map(each => each.readyState > 0 ? 0
                : new Promise(done => each.addEventListener("loadedmetadata", done))));
            const last = players.at(-1);
            last.muted = true;
            await last.play();
            await new Promise(done => last.addEventListener("timeupdate", () => last.currentTime > 0.05 && done()));
            return [players.map(each => each.duration), last.currentTime];
        }"""
    )
    assert found[0] == pytest.approx([0.5, 1.5], abs=0.05)  # a block of the codec more
    assert found[1] > 0.05
    pictures = page.evaluate("[...document.images].map(each => [each.complete, each.naturalWidth])")
    assert pictures == [[True, 7]] * 4
    with page.expect_download() as download:
        page.get_by_text("Save the MIDI file").first.click()
    assert download.value.suggested_filename == "sample-1.mid"
    assert Path(download.value.path()).read_bytes().startswith(b"MThd")


def column(page: Any, table: int, i: int) -> list[str]:
    return page.evaluate(
        f"[...document.querySelectorAll('table')[{table}].tBodies[0].rows].map(row => row.cells[{i}].textContent)"
    )


def test_tables_sort_by_click_and_by_keyboard(open_page, comparison):
    page = open_page(comparison)
    heads = page.locator("table").nth(1).locator("thead th")
    before = ["b-0", "b-1", "b-2", "c", HOSTILE.replace("/", "\\")]
    assert column(page, 1, 0) == before
    test = heads.nth(3).locator("button")
    test.click()
    assert heads.nth(3).get_attribute("aria-sort") == "ascending"
    assert [x[:7] for x in column(page, 1, 3)] == ["\u221210.250", "\u22129.000 ", "\u22127.500 ", "\u22127.500 ", ""]
    test.click()
    assert heads.nth(3).get_attribute("aria-sort") == "descending"
    assert [x[:7] for x in column(page, 1, 3)] == ["\u22127.500 ", "\u22127.500 ", "\u22129.000 ", "\u221210.250", ""]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")  # the column to the left
    assert heads.nth(2).get_attribute("aria-sort") == "ascending"
    assert heads.nth(3).get_attribute("aria-sort") == "none"
    values = [float(x.replace("\u2212", "-")) for x in column(page, 1, 2)]
    assert values == sorted(values)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    assert sorted(before[:4]) == [x for x in column(page, 1, 0) if len(x) < 4]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["report", "comparison"])
def test_a_narrow_screen_does_not_scroll_sideways(open_page, request, name, scheme):
    page = open_page(request.getfixturevalue(name), width=400, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    root = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert root == [400, 400]
    beyond = page.evaluate(
        """[...document.querySelectorAll("main *, header *")].filter(each => !each.closest(".scroll, svg, .skip")
            && (each.getBoundingClientRect().right > 401 || each.getBoundingClientRect().left < -1))
            .map(each => each.outerHTML.slice(0, 80))"""
    )
    assert beyond == []
    assert page.evaluate("parseFloat(getComputedStyle(document.querySelector('td')).fontSize)") >= 14


def test_a_page_prints(open_page, report):
    page = open_page(report)
    content = page.pdf(format="A4")
    assert content.startswith(b"%PDF-")
    assert 3 <= content.count(b"/Type /Page\n") <= 12
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("audio").first.is_visible()


def test_dark_and_light_differ(open_page, report):
    colours = [
        open_page(report, scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    assert colours == ["rgb(255, 255, 255)", "rgb(18, 22, 27)"]


@pytest.mark.skipif(AXE is None, reason="RNNRBM_AXE is not set: no axe-core")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["report", "comparison"])
def test_nothing_hinders_access(open_page, request, name, scheme):
    assert AXE is not None
    # the policy of the page would forbid this script too
    page = open_page(request.getfixturevalue(name), scheme=scheme, bypass_csp=True)
    page.evaluate(Path(AXE).read_text(encoding="utf-8"))
    found = page.evaluate(
        "async () => (await axe.run()).violations.map(each => [each.impact, each.id, each.nodes[0].html])"
    )
    assert found == []
