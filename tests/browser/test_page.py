"""The report's page, opened from a file in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from cli.page.write import write_page
from tests.browser.devtools import Page, chromium, first_tab
from tests.pages import document

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

WIDTHS = (360, 800, 1280)
FOCUSED = "document.activeElement"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    write_page(document(), path)
    return path


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chromium(tmp_path_factory.mktemp("browser") / "profile") as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tab(address: str) -> AsyncIterator[Page]:
    async with first_tab(address) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def page(tab: Page, file: Path) -> AsyncIterator[Page]:
    tab.requests.clear()
    tab.complaints.clear()
    await tab.open(file)
    yield tab
    assert set(tab.requests) == {file.as_uri()}, "the page asked for something beside itself"
    assert tab.complaints == []


async def column(page: Page, table: str, title: str) -> list[str]:
    cells: list[str] = await page.value(
        f"""(() => {{
          const table = document.querySelector("#{table} table");
          const at = [...table.tHead.rows[0].cells].findIndex(cell => cell.textContent.startsWith("{title}"));
          return [...table.tBodies[0].rows].map(row => row.cells[at].textContent);
        }})()"""
    )
    return cells


async def press_heading(page: Page, table: str, title: str) -> str:
    """Press a column's heading and return its aria-sort."""
    pressed: str = await page.value(
        f"""(() => {{
          const head = [...document.querySelectorAll("#{table} thead th")].find(one => one.textContent.startsWith("{title}"));
          head.querySelector("button").click();
          return head.getAttribute("aria-sort");
        }})()"""
    )
    return pressed


async def test_what_it_says_first(page: Page) -> None:
    assert await page.value("document.querySelector('h1').textContent") == "tiny on sums"
    assert "beam_search 16 does best" in await page.value("document.getElementById('conclusion').textContent")
    sections = ["cost", "jobs", "pairs", "decisions", "groups", "answers", "specifications"]
    assert await page.value("[...document.querySelectorAll('main > section')].map(one => one.id)") == sections
    bottom = await page.value("document.querySelector('#jobs tbody tr').getBoundingClientRect().bottom")
    assert bottom < 800, "the table of jobs begins below the first screen"


async def test_a_part_that_is_missing_has_no_section(page: Page, file: Path) -> None:
    small = {name: part for name, part in document().items() if name in ("made_at", "version", "title", "jobs")}
    write_page(small, file)
    await page.open(file)
    shown = await page.value("[...document.querySelectorAll('main > section')].map(one => one.id)")
    assert shown == ["cost", "jobs", "groups", "specifications"]


async def test_nothing_of_a_hostile_text_becomes_markup(page: Page) -> None:
    assert await page.value("document.querySelectorAll('img, b').length") == 0
    assert await page.value("document.scripts.length") == 2
    await page.value("[...document.querySelectorAll('#answers .open')].find(one => one.textContent === 'k10').click()")
    prompt = await page.value("document.querySelector('dialog .prompt').textContent")
    assert prompt.startswith('</script><img src=x onerror="alert(1)"><b>&amp;\u2028\u2029\ufffd')
    assert await page.value("document.querySelectorAll('img, b').length") == 0
    assert await page.value("getComputedStyle(document.querySelector('dialog .prompt')).unicodeBidi") == "isolate"


@pytest.mark.parametrize("dark", [False, True])
async def test_it_fits_every_width_in_both_modes(page: Page, file: Path, dark: bool) -> None:
    await page.open(file, dark=dark)
    for width in WIDTHS:
        await page.resize(width)
        overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await page.value(overflow) == 0, f"the page is wider than {width} px"
        drawn = await page.value("document.querySelector('.plot svg').getBoundingClientRect().right")
        assert drawn <= width
        await page.value("document.querySelector('#answers .open').click()")
        inside = "(dialog => dialog.scrollWidth - dialog.clientWidth)(document.querySelector('dialog'))"
        assert await page.value(inside) == 0, f"the dialog is wider than {width} px"
        await page.press("Escape")
    paper = await page.value("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") is not dark


async def test_a_heading_sorts_and_what_is_unknown_comes_last(page: Page) -> None:
    assert await press_heading(page, "jobs", "accuracy") == "descending"
    found = [cell.split("\u202f")[0] for cell in await column(page, "jobs", "accuracy")]
    assert found == ["80.0", "64.0", "60.0", "55.0", "50.0", "unknown"]
    assert await press_heading(page, "jobs", "accuracy") == "ascending"
    assert (await column(page, "jobs", "accuracy"))[-1] == "unknown"
    assert await press_heading(page, "jobs", "job") == "descending"
    assert await column(page, "jobs", "job") == ["6", "5", "4", "3", "2", "1"]
    assert await page.value("document.querySelectorAll('#jobs [aria-sort=none]').length") > 5
    await press_heading(page, "answers", "problem")
    assert await column(page, "answers", "problem") == ["k1", "k2", "k3", "k10"]


async def test_rows_are_filtered_by_what_is_typed_and_by_choices(page: Page) -> None:
    await page.value("document.querySelector('#answers input').focus()")
    await page.press(*"majority")
    assert await column(page, "answers", "problem") == ["k2"]
    assert await page.value("document.querySelector('#answers .count').textContent") == "1 of 4 rows"
    await page.press("Escape")
    assert len(await column(page, "answers", "problem")) == 4
    choose = "(select => {{ select.value = '{}'; select.dispatchEvent(new Event('change')); }})(document.querySelectorAll('#answers select')[{}])"
    await page.value(choose.format("right", 1))
    assert await column(page, "answers", "problem") == ["k1", "k3"]
    await page.value(choose.format("1", 0))
    assert await column(page, "answers", "problem") == ["k3"]


async def test_the_keyboard_alone_opens_an_answer_and_walks_its_tree(page: Page) -> None:
    await page.value("document.querySelector('#answers .open').focus()")
    await page.press("Enter")
    assert await page.value("document.querySelector('dialog').open")
    await page.press("Tab", "Tab", "Tab")
    assert await page.value(f"{FOCUSED}.textContent") == "Close"
    await page.press("Tab")
    at = f"{FOCUSED}.closest('[role=treeitem]')?.querySelector('.excerpt').textContent"
    assert await page.value(at) == "2+2=4"
    # A search is open along what it kept; what it gave up is there all the same.
    assert await page.value("document.querySelectorAll('dialog [role=treeitem]').length") == 3
    await page.press("ArrowRight")
    assert await page.value(at) == "4+1=5"
    await page.press("ArrowDown")
    assert await page.value(at) == "####4"
    await page.press("ArrowLeft", "ArrowLeft")
    assert await page.value(f"{FOCUSED}.getAttribute('aria-expanded')") == "false"
    await page.press("ArrowDown")
    assert await page.value(at) == "2+2=4", "what is folded away cannot be reached"
    await page.press("Enter", "End")
    assert await page.value(at) == "####4"
    await page.press("Escape")
    assert not await page.value("document.querySelector('dialog').open")
    assert await page.value(f"{FOCUSED}.textContent") == "k1"


async def test_branches_are_made_when_they_are_opened(page: Page) -> None:
    await page.value("[...document.querySelectorAll('#answers .open')].find(one => one.textContent === 'k3').click()")
    assert await page.value("document.querySelectorAll('dialog .steps').length") == 0
    await page.value("document.querySelector('dialog [role=treeitem]').focus()")
    await page.press("ArrowRight")
    steps = "[...document.querySelectorAll('dialog .steps li')].map(one => one.textContent)"
    assert await page.value(steps) == ["0.802+2=4", "0.90####4"]


async def test_tab_leads_from_the_skip_link_to_the_table(page: Page) -> None:
    await page.press("Tab")
    assert await page.value(f"{FOCUSED}.textContent") == "Skip to the table of jobs"
    await page.press("Enter")
    assert await page.value(f"{FOCUSED}.id") == "jobs"


async def test_a_point_tells_all_its_costs_by_pointer_and_by_keyboard(page: Page) -> None:
    place = await page.value(
        "(box => [box.x + box.width / 2, box.y + box.height / 2])(document.querySelector('.point:last-of-type .marker').getBoundingClientRect())"
    )
    await page.point(*place)
    tip = "(tip => tip.hidden ? null : tip.textContent)(document.querySelector('.tip'))"
    assert "FLOPs per query" in await page.value(tip)
    await page.point(2, 2)
    assert await page.value(tip) is None
    await page.value("document.querySelector('.point[tabindex=\"0\"]').focus()")
    first = await page.value(tip)
    assert "50.0\u202f% (95 %: 42.0 to 58.0)" in first
    await page.press("ArrowRight")
    assert await page.value(tip) not in (first, None)
    await page.press("Escape")
    assert await page.value(tip) is None


async def test_the_axis_can_be_switched_and_a_series_hidden(page: Page) -> None:
    title = "[...document.querySelectorAll('.plot .title')].map(one => one.textContent).join()"
    assert "canonical FLOPs per query" in await page.value(title)
    assert await page.value("[...document.querySelectorAll('.switch input')].map(one => one.value)") == [
        "flops",
        "tokens",
        "gpu_seconds",
    ]
    await page.value("document.querySelectorAll('.switch input')[1].click()")
    assert "tokens per query" in await page.value(title)
    before: Any = await page.value("document.querySelectorAll('.point').length")
    await page.value("document.querySelector('.legend button').click()")
    assert await page.value("document.querySelector('.legend button').getAttribute('aria-pressed')") == "false"
    assert await page.value("document.querySelectorAll('.point').length") == before - 1


async def test_it_is_whole_on_paper(page: Page) -> None:
    printed = await page.call("Page.printToPDF")
    assert len(printed["data"]) > 10_000
    assert await page.value("[...document.querySelectorAll('details')].some(one => one.open)") is False
