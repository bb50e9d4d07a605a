"""What keeps the collector from starting is said in one sentence, with exit code 2."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from runyard import configuration, settings
from tests.collector.node import Node, call
from tests.collector_process import CollectorProcess, running_collector


def refused(*arguments: str, environ: dict[str, str] | None = None) -> str:
    """Starts a collector that cannot start; what it says, without the log."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RUNYARD_")} | (environ or {})
    command = [sys.executable, "-m", "runyard", "collector", *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_a_data_dir_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be used as a folder" in refused("--port", "0", "--data-dir", str(tmp_path / "file"))


def test_a_data_dir_that_is_in_use(collector: CollectorProcess) -> None:
    assert "is in use by another collector" in refused("--port", "0", "--data-dir", str(collector.data_dir))


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = refused("--port", str(server.getsockname()[1]), "--data-dir", str(tmp_path))
    assert "another process listens there" in said


@pytest.mark.parametrize("port", ["-1", "65536", "99999999999"])
def test_a_port_that_is_none(tmp_path: Path, port: str) -> None:
    assert "port" in refused("--port", port, "--data-dir", str(tmp_path))


def test_a_host_that_is_none(tmp_path: Path) -> None:
    for host in ("192.0.2.1", "no such host", "a" * 300):
        assert "collector." in refused("--host", host, "--port", "0", "--data-dir", str(tmp_path))


def test_a_database_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "collector.sqlite3").write_bytes(b"this is no database, whatever its name says" * 100)
    assert "file is not a database" in refused("--port", "0", "--data-dir", str(tmp_path))
    for url in ("nonsense", "sqlite:////nowhere/at/all/x.sqlite3", "postgresql+nodriver://u:secret@127.0.0.1:1/x"):
        said = refused("--port", "0", "--data-dir", str(tmp_path), environ={"RUNYARD_COLLECTOR__DATABASE_URL": url})
        assert "collector.database_url" in said
        assert "secret" not in said


def test_a_database_of_a_newer_version(tmp_path: Path) -> None:
    with running_collector(tmp_path) as collector:
        collector.stop()
    database = sqlite3.connect(tmp_path / "collector" / "collector.sqlite3")
    with database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    assert "newer version" in refused("--port", "0", "--data-dir", str(tmp_path / "collector"))


def test_settings_that_are_wrong(tmp_path: Path) -> None:
    assert "log_level" in refused("--log-level", "loud", "--data-dir", str(tmp_path))
    file = tmp_path / "wrong.toml"
    file.write_text("[collector]\nprot = 1\n")
    assert "did you mean 'port'" in refused("--config", str(file), "--data-dir", str(tmp_path))


def test_a_token_file_that_holds_no_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short\n")
    environ = {"RUNYARD_COLLECTOR__TOKEN_FILE": str(tmp_path / "token")}
    assert "administrator's token" in refused("--port", "0", "--data-dir", str(tmp_path / "d"), environ=environ)


def test_a_token_file_is_taken(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token-of-my-own-choice\n")
    with running_collector(tmp_path, environ={"RUNYARD_COLLECTOR__TOKEN_FILE": str(tmp_path / "token")}) as collector:
        assert collector.token == "a-token-of-my-own-choice"
        assert call(collector, "GET", "/api/v1/runs").status == 200
        assert not (collector.data_dir / "admin.token").exists()


def test_the_sample_configuration_starts_a_collector(tmp_path: Path) -> None:
    sample = Path(__file__).parents[2] / "configs" / "collector.toml"
    assert configuration.load(config_file=str(sample), environ={}).collector == settings.Collector()
    with running_collector(tmp_path, arguments=("--config", str(sample))) as collector:
        assert Node(collector).run()["status"] == "NotStarted"
