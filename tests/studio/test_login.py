"""Logging in, and what holds before anybody has."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.studio.browsing import Browsing, faults_of_access, needs_browser, shoot


@needs_browser
def test_one_logs_in_with_a_token_and_out_again(browsing: Browsing) -> None:
    with browsing.context() as context:
        page = context.new_page()
        page.goto(browsing.collector.url + "/runs")
        page.get_by_label("Token").fill("ry_wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("not known")
        page.get_by_label("Token").fill(browsing.collector.token)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("navigation", name="Main")).to_be_visible()
        assert page.evaluate("document.cookie") == ""
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("Token")).to_be_visible()
        shoot(page, "login")


@needs_browser
def test_the_login_page_can_be_used_by_everyone(browsing: Browsing) -> None:
    for theme in ("light", "dark"):
        with browsing.context(theme=theme) as context:
            page = context.new_page()
            page.goto(browsing.collector.url)
            page.get_by_label("Token").wait_for()
            assert faults_of_access(page) == []
