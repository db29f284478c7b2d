"""Settings: what is read, what wins, and what an error says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perhop.config import ConfigError, Settings, load_settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of this machine get into a test."""
    for name in os.environ:
        if name.startswith("PERHOP_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    return str(caught.value)


def test_without_any_source_the_defaults_hold() -> None:
    settings = load_settings()
    assert settings == Settings()
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
    assert settings.keys == ()


def test_the_file_in_the_current_folder_is_found(tmp_path: Path) -> None:
    write(tmp_path / "perhop.toml", "[server]\nport = 9001\n")
    settings = load_settings()
    assert settings.server.port == 9001
    assert settings.base_dir == tmp_path


def test_the_environment_names_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    file = write(tmp_path / "elsewhere" / "other.toml", "[server]\nport = 9002\n")
    monkeypatch.setenv("PERHOP_CONFIG", str(file))
    settings = load_settings()
    assert settings.server.port == 9002
    assert settings.base_dir == tmp_path / "elsewhere"


def test_environment_wins_over_file_and_command_line_over_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "perhop.toml", '[server]\nhost = "127.0.0.2"\nport = 1\ndrain_s = 9\n')
    monkeypatch.setenv("PERHOP_SERVER__HOST", "127.0.0.3")
    monkeypatch.setenv("PERHOP_PORT", "2")
    settings = load_settings(overrides={"server": {"port": 3, "host": None}})
    assert (settings.server.host, settings.server.port, settings.server.drain_s) == ("127.0.0.3", 3, 9)


@pytest.mark.parametrize(
    ("variable", "value", "read"),
    [
        ("PERHOP_HOST", "::1", lambda s: s.server.host == "::1"),
        ("PERHOP_DATA", "/tmp/x", lambda s: s.server.data == Path("/tmp/x")),
        ("PERHOP_ECHO", "true", lambda s: s.echo is True),
        ("PERHOP_WEBRTC__ANNOUNCE", '["203.0.113.7"]', lambda s: s.webrtc.announce == ("203.0.113.7",)),
        ("PERHOP_BRAIN__LLM_KEY", "[not json", lambda s: s.brain.llm_key.get_secret_value() == "[not json"),
        (
            "PERHOP_AGENTS",
            '[{"name": "a", "tools": ["shop.tools:find"]}]',
            lambda s: s.agents[0].tools == ("shop.tools:find",),
        ),
    ],
)
def test_the_environment_sets_anything(
    variable: str, value: str, read: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert callable(read)
    assert read(load_settings())


def test_what_kubernetes_injects_for_a_service_called_perhop_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERHOP_PORT", "tcp://10.0.0.7:8080")
    monkeypatch.setenv("PERHOP_SERVICE_HOST", "10.0.0.7")
    monkeypatch.setenv("PERHOP_SERVICE_PORT", "8080")
    monkeypatch.setenv("PERHOP_PORT_8080_TCP_ADDR", "10.0.0.7")
    assert load_settings() == Settings()


def test_an_unknown_key_is_named_with_file_and_nearest_known_key(tmp_path: Path) -> None:
    file = write(tmp_path / "perhop.toml", '[server]\nhots = "x"\n')
    assert refusal(file) == f"{file}: unknown key 'server.hots'; did you mean 'host'?"


def test_an_unknown_key_in_a_list_of_tables_says_which_entry(tmp_path: Path) -> None:
    file = write(tmp_path / "perhop.toml", '[[agents]]\nname = "a"\n[[agents]]\nname = "b"\ninstrutions = "x"\n')
    assert refusal(file) == f"{file}: unknown key 'agents[1].instrutions'; did you mean 'instructions'?"


def test_an_unknown_key_that_resembles_nothing_gets_the_list(tmp_path: Path) -> None:
    file = write(tmp_path / "perhop.toml", "[tokens]\nxyzzy = 1\n")
    assert "known: ttl_s, single_use" in refusal(file)


def test_an_unknown_table_is_an_error_too(tmp_path: Path) -> None:
    file = write(tmp_path / "perhop.toml", "[sever]\nport = 1\n")
    assert refusal(file) == f"{file}: unknown key 'sever'; did you mean 'server'?"


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("PERHOP_PROT", "unknown variable PERHOP_PROT; did you mean PERHOP_PORT?"),
        ("PERHOP_SERVR__PORT", "unknown variable PERHOP_SERVR__PORT"),
        ("PERHOP_SERVER__HOTS", "unknown key 'server.hots'; did you mean 'host'?"),
    ],
)
def test_a_misspelt_variable_is_an_error(variable: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    assert refusal() == f"environment: {says}"


def test_each_wrong_value_names_its_own_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "perhop.toml", '[tokens]\nttl_s = 5\n[server]\nhost = "x"\n')
    monkeypatch.setenv("PERHOP_SERVER__PORT", "many")
    with pytest.raises(ConfigError) as caught:
        load_settings(file, overrides={"server": {"drain_s": -1}})
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["environment", "server.port"],
        ["command line", "server.drain_s"],
        [str(file), "tokens.ttl_s"],
    ]


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.toml")


def test_what_is_not_toml_says_where(tmp_path: Path) -> None:
    assert "line 2" in refusal(write(tmp_path / "bad.toml", "[server]\nport = = 1\n"))


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "perhop.toml", '[server]\ntls_cert = "cert.pem"\n')
    assert "tls_cert and tls_key must be given together" in refusal(file)


def test_two_agents_of_one_name_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "perhop.toml", '[[agents]]\nname = "a"\n[[agents]]\nname = "a"\n')
    assert "agents: the name 'a' is used twice" in refusal(file)


def test_secrets_are_shown_neither_by_repr_nor_by_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERHOP_BRAIN__LLM_KEY", "canary-1")
    assert "canary-1" not in repr(load_settings())
    monkeypatch.setenv("PERHOP_KEYS", '[{"name": "a", "hash": "canary-2"}]')
    assert "canary-2" not in refusal()
    file = write(tmp_path / "perhop.toml", '[brain]\nllm_key = ["canary-3"]\n')
    monkeypatch.delenv("PERHOP_KEYS")
    monkeypatch.delenv("PERHOP_BRAIN__LLM_KEY")
    assert "canary-3" not in refusal(file)


def test_settings_do_not_change_after_start() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().server.port = 1  # type: ignore[misc]


def test_webhooks_tell_everything_unless_told_otherwise(tmp_path: Path) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    table = f'[[webhooks]]\nurl = "https://hooks.example/perhop"\nsecret = "{secret}"\n'
    settings = load_settings(write(tmp_path / "some.toml", table))
    [webhook] = settings.webhooks
    assert webhook.secret.get_secret_value() == secret
    assert webhook.tenant is None
    assert set(webhook.events) == {"realtime.call.incoming", "perhop.call.started", "perhop.call.ended"}
    assert secret not in repr(settings)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_tooshort", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"])
def test_a_webhook_secret_that_cannot_sign_is_refused(tmp_path: Path, secret: str) -> None:
    file = write(tmp_path / "some.toml", f'[[webhooks]]\nurl = "https://hooks.example"\nsecret = "{secret}"\n')
    says = refusal(file)
    assert "webhooks[0].secret" in says
    assert "openssl rand" in says
    assert len(secret) < 10 or secret not in says


def test_a_webhook_event_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    table = f'[[webhooks]]\nurl = "https://hooks.example"\nsecret = "{secret}"\nevents = ["call.started"]\n'
    assert "webhooks[0].events[0]" in refusal(write(tmp_path / "some.toml", table))


# -- MCP --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("Tools.Example", "tools.example"),
        ("tools.example:8443", "tools.example:8443"),
        ("*.tools.example", "*.tools.example"),
        ("127.0.0.1:9000", "127.0.0.1:9000"),
        ("[::1]:9000", "[::1]:9000"),
        ("*", "*"),
    ],
)
def test_hosts_of_mcp_servers_are_listed_by_name_and_port(written: str, means: str, tmp_path: Path) -> None:
    file = write(tmp_path / "perhop.toml", f'[mcp]\nallowed_hosts = ["{written}"]')
    assert load_settings(file).mcp.allowed_hosts == (means,)


@pytest.mark.parametrize(
    "written", ["https://tools.example", "tools.example/mcp", "a*b.example", "", "user@host", "**"]
)
def test_what_is_no_host_is_refused(written: str, tmp_path: Path) -> None:
    file = write(tmp_path / "perhop.toml", f'[mcp]\nallowed_hosts = ["{written}"]')
    assert "mcp.allowed_hosts[0]" in refusal(file)
