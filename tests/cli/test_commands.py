"""The command line as a person meets it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from perhop import __version__
from perhop.api.auth import hash_key
from perhop.cli.root import app
from perhop.config import load_settings

runner = CliRunner()


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("PERHOP_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERMINAL_WIDTH", "200")


def perhop(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The console script in a process of its own."""
    command = [sys.executable, "-c", "from perhop.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("command", [[], ["serve"], ["talk"], ["agents"], ["keys", "new"], ["version"]])
def test_every_command_explains_itself(command: list[str]) -> None:
    result = runner.invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


@pytest.mark.parametrize("command", ["serve", "talk", "agents"])
def test_help_teaches_by_examples(command: str) -> None:
    assert f"perhop {command}" in runner.invoke(app, [command, "--help"]).output.split("Example", 1)[1]


def test_help_loads_no_server_and_no_media() -> None:
    script = (
        "import sys; sys.argv = ['perhop', 'serve', '--help']\n"
        "from perhop.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'fastapi', 'uvicorn', 'av', 'numpy', 'aiortc', 'websockets', 'perhop.config'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stderr


def test_help_is_instant() -> None:
    def cpu_seconds() -> float:
        """Of one run, waiting for other work on this machine not counted."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert perhop("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(cpu_seconds() for _ in range(4)) < 0.3


def test_the_version_is_the_packages() -> None:
    assert f"perhop {__version__}" in perhop("version").stdout


def test_a_new_key_is_printed_once_and_its_stanza_holds_the_hash(tmp_path: Path) -> None:
    result = perhop("keys", "new", "shop", "--scope", "calls", "--scope", "stats", "--tenant", "acme", "--agent", "a")
    key, _, stanza = result.stdout.partition("\n")
    assert result.returncode == 0
    assert key not in stanza
    (entry,) = tomllib.loads(stanza)["keys"]
    assert entry == {
        "name": "shop",
        "tenant": "acme",
        "scopes": ["calls", "stats"],
        "agent": "a",
        "hash": hash_key(key),
    }
    (tmp_path / "perhop.toml").write_text(stanza, encoding="utf-8")
    assert load_settings().keys[0].name == "shop"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["x", "--scope", "everything"], "scopes"), (["two words"], "name"), (["x", "--tenant", "a/b"], "tenant")],
)
def test_a_key_that_cannot_be_is_refused(arguments: list[str], says: str) -> None:
    result = runner.invoke(app, ["keys", "new", *arguments])
    assert result.exit_code == 2
    assert says in result.output


def test_agents_are_listed_with_their_tools_and_phrases(tmp_path: Path) -> None:
    (tmp_path / "perhop.toml").write_text(
        '[[agents]]\nname = "oneroof"\ntitle = "One Roof"\ntools = ["homes.tools:find"]\nsamples = ["a flat"]\n',
        encoding="utf-8",
    )
    result = perhop("agents")
    assert result.returncode == 0
    for word in ("oneroof", "One Roof", "find", "a flat", "local"):
        assert word in result.stdout


def test_without_agents_it_says_where_it_looked(tmp_path: Path) -> None:
    (tmp_path / "perhop.toml").write_text("echo = true\n", encoding="utf-8")
    result = perhop("agents")
    assert result.returncode == 0
    assert "No agents in perhop.toml" in result.stderr


def test_a_wrong_setting_is_one_message_and_no_stack(tmp_path: Path) -> None:
    (tmp_path / "perhop.toml").write_text("[server]\nhots = 1\n", encoding="utf-8")
    result = perhop("serve")
    assert result.returncode == 2
    assert "unknown key 'server.hots'; did you mean 'host'?" in result.stderr
    assert "Traceback" not in result.stderr


def test_without_keys_it_refuses_to_be_reachable() -> None:
    result = perhop("serve", "--host", "0.0.0.0")
    assert result.returncode == 2
    assert "no API keys are configured" in result.stderr
    assert "perhop keys new" in result.stderr


def test_a_certificate_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    result = perhop("serve", "--port", "0", "--tls-cert", "no.pem", "--tls-key", "no.key")
    assert result.returncode == 2
    assert "tls_cert" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [[], ["x.wav", "--text", "hi"]])
def test_talk_wants_a_recording_or_a_text(arguments: list[str]) -> None:
    result = runner.invoke(app, ["talk", *arguments])
    assert result.exit_code == 2
    assert "recording or --text" in result.output


def test_talk_says_what_is_wrong_with_a_recording(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_text("not audio", encoding="utf-8")
    for name, says in (("x.wav", "audio file"), ("none.wav", "No such file")):
        result = perhop("talk", name, "--url", "ws://127.0.0.1:1")
        assert result.returncode == 2
        assert says in result.stderr


def test_talk_says_when_nobody_answers() -> None:
    result = perhop("talk", "--text", "hi", "--url", "ws://127.0.0.1:1")
    assert result.returncode == 2
    assert "no connection to ws://127.0.0.1:1/v1/realtime" in result.stderr


def test_the_version_is_an_option_too() -> None:
    result = runner.invoke(app, ["--version"])
    assert (result.exit_code, result.output.split()[:2]) == (0, ["perhop", __version__])


@pytest.mark.parametrize("place", ["missing/answer.wav", "."])
def test_a_place_where_no_answer_can_be_written_is_refused_before_anybody_talks(place: str) -> None:
    result = perhop("talk", "--text", "hello", "--url", "http://127.0.0.1:1", "--out", place)
    assert result.returncode == 2
    assert f"--out {place}" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_without_agents_is_not_imported_in_silence(tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("[server]\nport = 9000\n", encoding="utf-8")
    result = perhop("agents", "import", "empty.toml")
    assert result.returncode == 2
    assert "empty.toml: nothing to import" in result.stderr


def test_a_schema_that_is_none_is_not_asked_about() -> None:
    result = perhop("db", "downgrade", "nope", "--to", "0001")
    assert result.returncode == 2
    assert "there is no schema 'nope'" in result.stderr
    assert "Go on?" not in result.stderr


@pytest.mark.parametrize("option", ["--tls-cert", "--tls-key"])
def test_a_missing_certificate_is_named(tmp_path: Path, option: str) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    files = {"--tls-cert": "cert.pem", "--tls-key": "key.pem", option: "nowhere.pem"}
    result = perhop("serve", "--port", "0", *(word for pair in files.items() for word in pair))
    assert result.returncode == 2
    assert f"server.{option[2:].replace('-', '_')}: there is no file nowhere.pem" in result.stderr


@pytest.mark.parametrize("group", ["worker", "workers"])
def test_a_bus_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, group: str) -> None:
    monkeypatch.setenv("PERHOP_BUS__URL", "nats://127.0.0.1:1")
    result = perhop(group, "list")
    assert result.returncode == 2
    assert result.stderr.split("\n")[0].startswith("error: no NATS server answers at nats://127.0.0.1:1 (bus.url)")


def test_a_server_that_cannot_start_says_why_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = perhop("serve", "--port", "0", "--data", "file/below")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
