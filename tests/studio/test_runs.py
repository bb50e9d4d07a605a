"""The tables of runs and experiments, as a person uses them."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.collector_process import CollectorProcess
from tests.studio import table_scenes
from tests.studio.browsing import LOOKS, Browsing, faults_of_access, needs_browser, shoot


@pytest.fixture(scope="module", autouse=True)
def scene(collector: CollectorProcess) -> None:
    """The runs that all of these tests look at."""
    table_scenes.fill(collector)


def rows(page: Page) -> Locator:
    """The rows that hold a run."""
    return page.get_by_role("row").filter(has=page.get_by_role("gridcell"))


def names(page: Page) -> list[str]:
    """What stands in the rows' first cells, from the top."""
    found = rows(page).evaluate_all("all => all.map(one => [+one.ariaRowIndex, one.querySelector('a')?.textContent ?? ''])")
    return [name for _, name in sorted(found)]


def expect_names(page: Page, *wanted: str) -> None:
    """Waits until the table shows exactly these."""
    expect(rows(page)).to_have_count(len(wanted))
    for place, name in enumerate(wanted):
        expect(page.locator(f'[role="row"][aria-rowindex="{place + 2}"]')).to_contain_text(name)
    assert names(page) == list(wanted)


def cells(page: Page, column: str) -> list[str]:
    """The texts of a column, from the top."""
    at = page.get_by_role("columnheader", name=column, exact=True).get_attribute("aria-colindex")
    script = "(all, at) => all.map(one => [+one.ariaRowIndex, one.querySelector(`[aria-colindex='${at}']`)?.textContent ?? ''])"
    return [text for _, text in sorted(rows(page).evaluate_all(script, at))]


def add_filter(page: Page, field: str) -> Locator:
    """The form of a new condition."""
    page.get_by_role("button", name="Add filter").click()
    page.get_by_role("menuitem", name=field, exact=True).click()
    return page.get_by_role("dialog")


def expect_selected(page: Page, count: int) -> None:
    expect(page.get_by_role("group", name="Selected runs").get_by_role("status")).to_have_text(f"{count} selected")


ALL = ("sweep over lr", "mlp large", "mlp small", "cnn", "resnet")


@needs_browser
@pytest.mark.row("C1")
def test_runs_are_found_by_conditions_that_stand_in_the_address(browsing: Browsing) -> None:
    with browsing.page("/runs") as page:
        expect_names(page, *ALL)
        expect(page.get_by_text("5 runs")).to_be_visible()
        shoot(page, "runs")
        typed = page.get_by_label("Filter by a part of the name, or a condition")
        typed.fill("mlp")
        typed.press("Enter")
        expect_names(page, "mlp large", "mlp small")
        dialog = add_filter(page, "Status")
        dialog.get_by_label("Failed").check()
        dialog.get_by_label("Canceled").check()
        dialog.get_by_role("button", name="Add filter").click()
        expect_names(page, "mlp small")
        assert parse_qs(urlsplit(page.url).query)["filter"] == ["name ILIKE '%mlp%' AND status IN ('Failed', 'Canceled')"]
        shoot(page, "runs_filtered")
        page.reload()
        expect_names(page, "mlp small")
        page.go_back()
        expect_names(page, "mlp large", "mlp small")
        page.get_by_role("button", name="Remove the filter Name contains mlp").click()
        expect_names(page, *ALL)


@needs_browser
@pytest.mark.row("C1")
def test_runs_are_found_by_metric_parameter_tag_node_user_time_and_experiment(browsing: Browsing) -> None:
    with browsing.page("/runs") as page:
        expect_names(page, *ALL)
        for field, name, comparison, value in (
            ("Metric", "loss", "<", "0.4"),
            ("Parameter", "lr", "is not", "0.01"),
            ("Tag", "team", "is set", ""),
        ):
            dialog = add_filter(page, field)
            dialog.get_by_label(field, exact=True).fill(name)
            dialog.get_by_label("Comparison").select_option(label=comparison)
            if value:
                dialog.get_by_label("Value").fill(value)
            dialog.get_by_role("button", name="Add filter").click()
        expect_names(page, "mlp large")
        page.get_by_role("button", name="Clear filters").click()
        expect_names(page, *ALL)
        for field, value, wanted in (
            ("User", "grace", ["mlp small", "resnet"]),
            ("Experiment", "imagenet", ["resnet"]),
            ("Node", "host", ["resnet"]),
        ):
            dialog = add_filter(page, field)
            dialog.get_by_label(value, exact=True).check()
            dialog.get_by_role("button", name="Add filter").click()
            expect_names(page, *wanted)
        page.get_by_role("button", name="Clear filters").click()
        dialog = add_filter(page, "Time")
        dialog.get_by_label("When").select_option(label="in the last hour")
        dialog.get_by_role("button", name="Add filter").click()
        expect(page.get_by_role("button", name="Created in the last hour", exact=True)).to_be_visible()
        expect_names(page, "sweep over lr", "mlp large")
        page.get_by_role("button", name="Created in the last hour", exact=True).click()
        page.get_by_role("dialog").get_by_label("When").select_option(label="in the last 24 hours")
        page.get_by_role("button", name="Change").click()
        expect_names(page, *ALL)


@needs_browser
@pytest.mark.row("C1")
def test_runs_are_found_by_a_part_of_the_name_that_is_typed_into_the_form(browsing: Browsing) -> None:
    with browsing.page("/runs") as page:
        expect_names(page, *ALL)
        field = add_filter(page, "Name").get_by_label("Name contains")
        field.press_sequentially("mlp l")
        expect(field).to_have_value("mlp l")
        field.press("Enter")
        expect_names(page, "mlp large")
        page.get_by_role("button", name="Name contains mlp l", exact=True).click()
        field = page.get_by_role("dialog").get_by_label("Name contains")
        expect(field).to_have_value("mlp l")
        field.press("End")
        field.press("Backspace")
        field.press_sequentially("s")
        page.get_by_role("button", name="Change").click()
        expect_names(page, "mlp small")


@needs_browser
@pytest.mark.row("C1")
def test_what_cannot_be_used_is_said_and_nothing_is_a_dead_end(browsing: Browsing) -> None:
    with browsing.page("/runs") as page:
        typed = page.get_by_label("Filter by a part of the name, or a condition")
        typed.fill("status = Failed")
        typed.press("Enter")
        expect(page.get_by_role("alert").filter(has_text="write 'Failed'")).to_be_visible()
        typed.fill("name = 'none such'")
        typed.press("Enter")
        expect(page.get_by_role("heading", name="No run fits these conditions")).to_be_visible()
        shoot(page, "runs_none")
        page.get_by_role("button", name="Clear filters").last.click()
        expect_names(page, *ALL)
        page.goto(browsing.collector.url + "/runs?filter=colour%20%3D%20%27red%27")
        expect(page.get_by_role("alert").filter(has_text="colour")).to_be_visible()
        page.goto(browsing.collector.url + "/experiments/nothing%20yet")
        expect(page.get_by_text("runyard run --experiment 'nothing yet' -- python train.py")).to_be_visible()


@needs_browser
@pytest.mark.row("C1")
def test_runs_come_and_end_while_one_looks_and_the_collector_may_go(
    browser: object, collector_of_its_own: CollectorProcess
) -> None:
    person = Browsing(browser, collector_of_its_own)  # type: ignore[arg-type]
    first = table_scenes.training(collector_of_its_own, "first", ago_s=60)
    with person.page("/runs") as page:
        expect_names(page, "first")
        expect(rows(page)).to_contain_text("Running")
        table_scenes.training(collector_of_its_own, "second", ago_s=1)
        first.put_state("Completed", exit_code=0, started_ns=1, ended_ns=2, is_complete=True)
        expect_names(page, "second", "first")
        expect(rows(page).nth(1)).to_contain_text("Completed")
        collector_of_its_own.kill()
        expect(page.get_by_text("Collector not reachable")).to_be_visible()
        expect_names(page, "second", "first")
        collector_of_its_own.start()
        table_scenes.training(collector_of_its_own, "third", ago_s=0)
        expect_names(page, "third", "second", "first")
    person.check()


@needs_browser
@pytest.mark.row("C3")
def test_columns_are_chosen_sorted_by_ordered_and_resized_and_come_again(browsing: Browsing) -> None:
    with browsing.page("/experiments") as page:
        expect_names(page, "mnist", "imagenet", "Default")
        assert cells(page, "Runs") == ["4", "1", "0"]
        shoot(page, "experiments")
        page.get_by_role("link", name="mnist").click()
        expect_names(page, "sweep over lr", "mlp large", "mlp small", "cnn")
        expect(page.get_by_role("columnheader", name="loss", exact=True)).to_be_visible()
        page.get_by_role("button", name="Columns").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Search").fill("loss")
        for value in ("min", "first", "mean"):
            dialog.get_by_label(f"loss {value}", exact=True).check()
        shoot(page, "columns")
        dialog.get_by_role("button", name="Show").click()
        expect(page.get_by_role("columnheader", name="loss mean", exact=True)).to_be_attached()
        page.get_by_role("columnheader", name="loss min", exact=True).click()
        expect_names(page, "mlp small", "sweep over lr", "mlp large", "cnn")
        page.get_by_role("columnheader", name="loss min", exact=True).click()
        expect_names(page, "cnn", "mlp large", "sweep over lr", "mlp small")
        assert cells(page, "loss min") == ["0.05", "0.3", "0.5", "0.6"]
        assert cells(page, "loss first") == ["0.9", "0.7", "1", "0.8"]
        assert page.get_by_role("columnheader", name="loss min", exact=True).get_attribute("aria-sort") == "ascending"
        drag(page, "loss", onto="Status")
        expect_order(page, "Name", "loss", "Status")
        resize(page, "loss", by=60)
        shoot(page, "experiment")
        page.reload()
        expect_order(page, "Name", "loss", "Status")
        expect_names(page, "cnn", "mlp large", "sweep over lr", "mlp small")
        expect(page.get_by_role("columnheader", name="loss", exact=True)).to_have_css("width", "180px")
        page.get_by_role("link", name="Experiments").first.click()
        page.get_by_role("link", name="mnist").click()
        expect_order(page, "Name", "loss", "Status")  # kept in this browser; the sorting is as at first
        expect_names(page, "sweep over lr", "mlp large", "mlp small", "cnn")


def drag(page: Page, column: str, *, onto: str) -> None:
    page.get_by_role("treegrid").scroll_into_view_if_needed()
    boxes = [page.get_by_role("columnheader", name=name, exact=True).bounding_box() for name in (column, onto)]
    assert boxes[0]
    assert boxes[1]
    page.mouse.move(boxes[0]["x"] + 30, boxes[0]["y"] + 15)
    page.mouse.down()
    page.mouse.move(boxes[1]["x"] + 40, boxes[1]["y"] + 15, steps=8)
    page.mouse.up()


def resize(page: Page, column: str, *, by: int) -> None:
    box = page.get_by_role("columnheader", name=column, exact=True).bounding_box()
    assert box
    edge = box["x"] + box["width"]
    page.mouse.move(edge, box["y"] + 15)
    page.mouse.down()
    page.mouse.move(edge + by, box["y"] + 15, steps=4)
    page.mouse.up()


def expect_order(page: Page, *wanted: str) -> None:
    for place, name in enumerate(wanted):
        expect(page.get_by_role("columnheader", name=name, exact=True)).to_have_attribute("aria-colindex", str(place + 2))


@needs_browser
@pytest.mark.row("C3")
def test_a_view_with_a_name_comes_back_with_filter_columns_and_sorting(browsing: Browsing) -> None:
    with browsing.page("/runs?filter=status%20%3D%20%27Failed%27&columns=name,p.lr~90,m.loss.last&sort=m.loss.last") as page:
        expect_names(page, "resnet", "mlp small")
        page.get_by_role("button", name="Views").click()
        page.get_by_role("menuitem", name="Save this view…").click()
        page.get_by_role("dialog").get_by_label("Name").fill("What failed")
        page.get_by_role("dialog").get_by_role("button", name="Save view").click()
        expect(page.get_by_role("button", name="View: What failed")).to_be_visible()
        page.goto(browsing.collector.url + "/runs")
        expect_names(page, *ALL)
        page.get_by_role("button", name="Views").click()
        page.get_by_role("menuitem", name="What failed").click()
        expect_names(page, "resnet", "mlp small")
        expect_order(page, "Name", "lr", "loss")
        page.get_by_role("button", name="View: What failed").click()
        page.get_by_role("menuitem", name="Remove “What failed”").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove view").click()
        expect(page.get_by_role("button", name="Views", exact=True)).to_be_visible()


@needs_browser
@pytest.mark.row("C3")
def test_children_are_below_their_parent_and_the_best_is_marked(browsing: Browsing) -> None:
    with browsing.page("/experiments/mnist") as page:
        expect_names(page, "sweep over lr", "mlp large", "mlp small", "cnn")
        page.get_by_title("Show what is below sweep over lr").click()
        expect_names(page, "sweep over lr", "trial 2", "trial 1", "trial 0", "mlp large", "mlp small", "cnn")
        expect(page.get_by_role("row", name="trial 1").get_by_text("best")).to_be_visible()
        expect(page.get_by_text("best")).to_have_count(1)
        assert page.get_by_role("row", name="trial 1").get_attribute("aria-level") == "2"
        shoot(page, "children")
        page.get_by_title("Hide what is below sweep over lr").click()
        expect_names(page, "sweep over lr", "mlp large", "mlp small", "cnn")


@needs_browser
@pytest.mark.row("C3")
def test_runs_that_are_selected_are_compared(browsing: Browsing) -> None:
    with browsing.page("/experiments/mnist") as page:
        page.get_by_label("Select mlp large").click()
        expect_selected(page, 1)
        page.get_by_label("Select cnn").click(modifiers=["Shift"])
        expect_selected(page, 3)
        page.get_by_label("Select mlp small").click()
        expect_selected(page, 2)
        page.get_by_role("columnheader", name="Created").click()
        expect_names(page, "cnn", "mlp small", "mlp large", "sweep over lr")
        expect(page.get_by_label("Select cnn")).to_be_checked()
        shoot(page, "selected")
        target = page.get_by_role("link", name="Compare").get_attribute("href") or ""
        assert parse_qs(urlsplit(target).query)["run"] == ["mlp-large", "cnn"]
        page.get_by_role("button", name="Clear selection").click()
        expect(page.get_by_label("Select cnn")).not_to_be_checked()


@needs_browser
@pytest.mark.row("C3")
def test_nothing_moves_under_the_pointer_when_a_row_is_selected(browsing: Browsing) -> None:
    place = "grid => grid.getBoundingClientRect().top + scrollY"
    with browsing.page("/experiments/mnist") as page:
        grid = page.get_by_role("treegrid")
        expect(grid).to_be_visible()
        top = grid.evaluate(place)
        page.get_by_label("Select cnn").evaluate("box => scrollBy(0, box.getBoundingClientRect().top + 6 - innerHeight)")
        box = page.get_by_label("Select cnn").bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + 4, box["y"] + 3)  # a row that is partly out of sight
        expect_selected(page, 1)
        expect(page.get_by_role("region", name="Charts")).to_contain_text("of 1 selected")
        assert grid.evaluate(place) == top


@needs_browser
@pytest.mark.row("C1")
@pytest.mark.row("C3")
def test_everything_is_done_by_keys_alone(browsing: Browsing) -> None:
    with browsing.page("/experiments/mnist") as page:
        expect_names(page, "sweep over lr", "mlp large", "mlp small", "cnn")
        grid = page.get_by_role("treegrid")
        for _ in range(40):
            if grid.evaluate("one => one === document.activeElement"):
                break
            page.keyboard.press("Tab")
        expect(grid).to_be_focused()
        for key in ("ArrowRight", "ArrowRight"):  # to the name, and open
            page.keyboard.press(key)
        expect_names(page, "sweep over lr", "trial 2", "trial 1", "trial 0", "mlp large", "mlp small", "cnn")
        page.keyboard.press("ArrowLeft")  # and closed again
        expect_names(page, "sweep over lr", "mlp large", "mlp small", "cnn")
        for key in ("ArrowDown", "Space", "ArrowDown", "ArrowDown", "Shift+Space"):
            page.keyboard.press(key)
        expect_selected(page, 3)
        page.keyboard.press("Home")
        page.keyboard.press("Control+Home")
        page.keyboard.press("ArrowUp")
        for _ in range(2):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Control+ArrowRight")  # Status behind User
        expect_order(page, "Name", "User", "Status")
        before = page.get_by_role("columnheader", name="Status").bounding_box()
        page.keyboard.press("Shift+ArrowRight")
        assert before
        expect(page.get_by_role("columnheader", name="Status")).to_have_css("width", f"{before['width'] + 24:g}px")
        page.keyboard.press("Enter")
        expect(page.get_by_role("columnheader", name="Status")).to_have_attribute("aria-sort", "ascending")
        page.keyboard.press("Delete")
        expect(page.get_by_role("columnheader", name="Status")).to_have_count(0)
        shoot(page, "keys")
        page.keyboard.press("Control+End")
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("/runs/[a-z-]+$"))


@needs_browser
@pytest.mark.row("C1")
@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_everyone_can_use_the_tables(browsing: Browsing, theme: str, width: int) -> None:
    with browsing.page("/runs?filter=user%20IN%20('ada'%2C%20'grace')", theme=theme, width=width) as page:
        expect_names(page, *ALL)
        assert faults_of_access(page) == []
        shoot(page, f"runs_{theme}_{width}")
        dialog = add_filter(page, "User")
        expect(dialog).to_be_visible()
        assert faults_of_access(page) == []
        shoot(page, f"filter_{theme}_{width}")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Columns").click()
        assert faults_of_access(page) == []
        shoot(page, f"columns_{theme}_{width}")
        for path in ("/experiments", "/experiments/mnist"):
            page.goto(browsing.collector.url + path)
            expect(rows(page).first).to_be_visible()
            assert faults_of_access(page) == []
            shoot(page, f"{path[1:].replace('/', '_')}_{theme}_{width}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, "the page itself never scrolls sideways"
