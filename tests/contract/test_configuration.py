"""Configuration: the order of sources, one sentence for each mistake, and no secret in any text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.configuration import load
from runyard.errors import ConfigError
from runyard.settings import Settings

SECRET = "s3cr3t-t0ken"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load_here(folder: Path, environ: Mapping[str, str] | None = None, **more: Any) -> Settings:
    return load(environ={"XDG_CONFIG_HOME": str(folder / "xdg")} | dict(environ or {}), **more)


def source_of(settings: Settings, section: str, key: str) -> tuple[str, str]:
    (found,) = [item for item in settings.sources if (item.section, item.key) == (section, key)]
    return found.origin, found.where


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_each_source_gives_way_to_the_one_above_it(tmp_path: Path) -> None:
    write(tmp_path / "xdg/runyard/config.toml", "[ship]\nheartbeat_s = 1\n[run]\ngrace_s = 1\n[collector]\nport = 1\n")
    write(tmp_path / "runyard.toml", "[ship]\nheartbeat_s = 2\n[run]\ngrace_s = 2\n")
    named = write(tmp_path / "named.toml", "[ship]\nheartbeat_s = 3\n")
    settings = load_here(tmp_path, config_file=str(named))
    assert (settings.ship.heartbeat_s, settings.run.grace_s, settings.collector.port) == (3.0, 2.0, 1)
    assert source_of(settings, "ship", "heartbeat_s") == ("file", str(named))
    assert source_of(settings, "run", "streams") == ("default", "")

    by_variable = {"RUNYARD_CONFIG": str(named), "RUNYARD_SHIP__HEARTBEAT_S": "4"}
    settings = load_here(tmp_path, by_variable)
    assert settings.ship.heartbeat_s == 4.0
    assert source_of(settings, "ship", "heartbeat_s") == ("variable", "RUNYARD_SHIP__HEARTBEAT_S")

    settings = load_here(tmp_path, by_variable, flags={("ship", "heartbeat_s"): 5.0, ("run", "grace_s"): None})
    assert (settings.ship.heartbeat_s, settings.run.grace_s) == (5.0, 2.0)


def test_the_short_variables_name_the_collector_and_the_token(tmp_path: Path) -> None:
    settings = load_here(tmp_path, {"RUNYARD_COLLECTOR_URL": "http://c:1", "RUNYARD_TOKEN": SECRET})
    assert (settings.client.collector_url, settings.token) == ("http://c:1", SECRET)
    settings = load_here(tmp_path, flags={("client", "collector_url"): "http://d:2"})
    assert source_of(settings, "client", "collector_url") == ("flag", "--collector")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[colector]\nport = 1", ["[colector]", "'collector'"]),
        ("[collector]\nprot = 1", ["collector.prot", "'port'"]),
        ("port = 1", ["port"]),
        ("collector = 1", ["[collector]"]),
        ("[collector]\nport = '87x'", ["port", "'87x'", "a whole number"]),
        ("[collector]\nport = true", ["True", "a whole number"]),
        ("[collector]\nport = 1.5", ["1.5", "a whole number"]),
        ("[collector]\nport = 65536", ["65536", "at most 65535"]),
        ("[collector]\nport = -1", ["-1", "at least 0"]),
        ("[collector]\nhost = 1", ["host", "a text"]),
        ("[collector]\nlog_level = 'loud'", ["'loud'", "debug, info, warning, error"]),
        ("[client]\ntimeout_s = inf", ["inf", "at most"]),
        ("[client]\ntimeout_s = nan", ["nan", "at least"]),
        ("[client]\ntimeout_s = [1]", ["[1]", "a number"]),
        ("[client]\ntimeout_s = 2026-01-01", ["a number"]),
        ("[collector", ["TOML"]),
    ],
)
def test_a_mistake_in_a_file_is_one_sentence_that_names_file_and_word(tmp_path: Path, text: str, words: list[str]) -> None:
    path = write(tmp_path / "bad.toml", text)
    with pytest.raises(ConfigError) as caught:
        load_here(tmp_path, config_file=str(path))
    message = str(caught.value)
    assert str(path) in message
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runyard.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_here(tmp_path)


def test_a_named_file_that_is_missing_is_an_error_and_the_usual_places_may_be_empty(tmp_path: Path) -> None:
    assert load_here(tmp_path).collector.port == 8750
    with pytest.raises(ConfigError, match="does not exist"):
        load_here(tmp_path, config_file="missing.toml")


@pytest.mark.parametrize(
    ("variable", "word"),
    [("RUNYARD_SPOL__DIR", "'spool'"), ("RUNYARD_SPOOL__DRI", "'dir'"), ("RUNYARD_SPOOL__QUOTA_BYTES", "a whole number")],
)
def test_a_mistake_in_a_variable_names_it(tmp_path: Path, variable: str, word: str) -> None:
    with pytest.raises(ConfigError, match=variable) as caught:
        load_here(tmp_path, {variable: "text"})
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "right"),
    [("RUNYARD_COLLECTOR_PORT", "RUNYARD_COLLECTOR__PORT"), ("RUNYARD_RUN_GRACE_S", "RUNYARD_RUN__GRACE_S")],
)
def test_a_variable_that_lacks_an_underscore_is_refused_and_the_right_one_named(
    tmp_path: Path, variable: str, right: str
) -> None:
    with pytest.raises(ConfigError, match=rf"{variable} .* {right}, "):
        load_here(tmp_path, {variable: "abc"})


def test_what_kubernetes_sets_for_a_service_of_our_name_is_passed_over(tmp_path: Path) -> None:
    environ = {"RUNYARD_COLLECTOR_PORT": "tcp://10.0.0.1:8750", "RUNYARD_COLLECTOR_SERVICE_HOST": "10.0.0.1"}
    assert load_here(tmp_path, environ).collector.port == 8750


def test_what_the_driver_is_given_can_be_read_by_commands_that_it_starts(tmp_path: Path) -> None:
    names = ["RUN_ID", "EXPERIMENT", "OUTPUT_DIR", "LOG_DIR", "RANK", "TOKEN", "COLLECTOR_URL"]
    assert load_here(tmp_path, {f"RUNYARD_{name}": "1" for name in names}).token == "1"


def test_the_spool_lies_under_xdg_state_home_by_default(tmp_path: Path) -> None:
    assert load_here(tmp_path).spool.dir == "~/.local/state/runyard/spool"
    assert load_here(tmp_path, {"XDG_STATE_HOME": ""}).spool.dir == "~/.local/state/runyard/spool"
    assert load_here(tmp_path, {"XDG_STATE_HOME": "relative"}).spool.dir == "~/.local/state/runyard/spool"
    settings = load_here(tmp_path, {"XDG_STATE_HOME": "/var/state"})
    assert settings.spool.dir == "/var/state/runyard/spool"
    assert source_of(settings, "spool", "dir") == ("default", "under $XDG_STATE_HOME")
    assert load_here(tmp_path, {"XDG_STATE_HOME": "/var/state", "RUNYARD_SPOOL__DIR": "/s"}).spool.dir == "/s"


@pytest.mark.parametrize("setting", ["spool.dir", "collector.data_dir"])
def test_an_empty_folder_is_refused(tmp_path: Path, setting: str) -> None:
    variable = f"RUNYARD_{setting.replace('.', '__').upper()}"
    with pytest.raises(ConfigError, match=rf"{variable}: {setting} is empty"):
        load_here(tmp_path, {variable: ""})
    section, key = setting.split(".")
    with pytest.raises(ConfigError, match="is empty"):
        load_here(tmp_path, flags={(section, key): ""})


def test_variables_of_others_are_passed_over(tmp_path: Path) -> None:
    settings = load_here(tmp_path, {"RUNYARD_RUN_ID": "x", "OTHER__KEY": "y", "runyard_spool__dir": "z"})
    assert {item.origin for item in settings.sources} == {"default"}


def test_the_token_is_read_from_its_file(tmp_path: Path) -> None:
    write(tmp_path / "token", f"{SECRET}\n")
    environ = {"RUNYARD_CLIENT__TOKEN_FILE": str(tmp_path / "token")}
    assert load_here(tmp_path, environ).token == SECRET
    assert load_here(tmp_path, environ | {"RUNYARD_TOKEN": "other"}).token == "other"
    assert load_here(tmp_path).token == ""


@pytest.mark.parametrize("content", [None, b"", b"\n", "schlüssel".encode()])
def test_a_token_file_that_holds_no_token_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    settings = load_here(tmp_path, {"RUNYARD_CLIENT__TOKEN_FILE": str(tmp_path / "token")})
    with pytest.raises(ConfigError, match="token_file") as caught:
        _ = settings.token
    assert "schl" not in str(caught.value)


def test_no_secret_shows_in_the_text_of_settings_or_of_an_error(tmp_path: Path) -> None:
    settings = load_here(tmp_path, {"RUNYARD_TOKEN": SECRET, "RUNYARD_COLLECTOR__DATABASE_URL": f"postgresql://u:{SECRET}@h/d"})
    assert settings.token == SECRET
    assert SECRET not in repr(settings)
    write(tmp_path / "runyard.toml", "[client]\ntoken = 31337\n")
    with pytest.raises(ConfigError, match=r"token.*a text") as caught:
        load_here(tmp_path)
    assert "31337" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
def test_a_folder_that_may_not_be_entered_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "xdg").mkdir(mode=0)
    assert load_here(tmp_path).collector.port == 8750


@given(st.dictionaries(st.sampled_from(["RUNYARD_SHIP__BATCH_BYTES", "RUNYARD_CLIENT__TIMEOUT_S"]), st.text(max_size=30)))
def test_any_text_in_a_number_is_a_number_or_one_sentence(environ: dict[str, str]) -> None:
    try:
        settings = load(environ={"XDG_CONFIG_HOME": "/nonexistent"} | environ)
    except ConfigError as error:
        if "has to be" not in str(error):
            raise
        return
    assert settings.ship.batch_bytes >= 1 << 16
    assert 0.1 <= settings.client.timeout_s < 2**31
