"""Settings of models somewhere else: what is refused at start, and what the addresses become."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.models.perhops import self_signed

from perhop.config import ConfigError, UpstreamSettings, load_settings
from perhop.models.azure import azure_endpoint
from perhop.models.openai import openai_endpoint
from perhop.models.remote_endpoint import trust
from perhop.models.upstreams import upstream_kind
from perhop.realtime.session import SessionConfig


def loaded(folder: Path, text: str) -> object:
    file = folder / "perhop.toml"
    file.write_text(text)
    return load_settings(file)


def test_a_key_comes_from_the_environment_and_is_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERHOP_MODELS__OPENAI__KEY", "sk-canary")
    settings = loaded(tmp_path, '[models.openai]\nmodel = "gpt-realtime"\nheaders = { X-Team = "canary" }')
    model = settings.models["openai"]
    assert model.key.get_secret_value() == "sk-canary"
    assert "canary" not in repr(settings) + repr(openai_endpoint(model))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[models.local]\nmodel = "x"', "'local' is built in"),
        ('[server]\ndefault_model = "gpt"', r"server.default_model: there is no model 'gpt'; there are: local, echo"),
        ('[[agents]]\nname = "a"\nmodel = "gpt"', "agent a: there is no model 'gpt'"),
        ('[[agents]]\nname = "a"\nfallback_models = ["gpt"]', "agent a: there is no model 'gpt'"),
        ('[models.m]\nurl = "model.test"', "absolute"),
        ('[models.m]\nurl = "https://user:canary@model.test"', "no user"),
        ('[models.m]\nurl = "https://model.test/v1?key=canary"', "no user, query"),
        ('[models.m]\nkind = "azure"', "needs its url"),
        ('[models.m]\ndeployment = "x"', "for kind = 'azure'"),
        ('[models.m]\nurl = "ws://model.test/v1"\nkey = "canary"', "unencrypted"),
        ('[models.m]\nheaders = { "Bad Name" = "canary" }', "models.m.headers"),
    ],
)
def test_what_cannot_work_is_refused_at_start(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        loaded(tmp_path, text)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v1", "ws://localhost/v1", "ws://[::1]:1/v1"])
def test_this_machine_may_be_spoken_to_in_the_clear(url: str) -> None:
    assert UpstreamSettings(url=url, key="sk-1").url == url


def test_another_machine_only_when_allowed() -> None:
    with pytest.raises(ValidationError):
        UpstreamSettings(url="http://10.0.0.7/v1", key="sk-1")
    assert UpstreamSettings(url="http://10.0.0.7/v1", key="sk-1", allow_cleartext=True)
    assert UpstreamSettings(url="http://10.0.0.7/v1")


def test_the_model_of_a_session_without_a_configured_one_is_what_it_names() -> None:
    endpoint = openai_endpoint(UpstreamSettings())
    url = endpoint.socket_url(SessionConfig.default(model="gpt realtime&x"))
    assert url == "wss://api.openai.com/v1/realtime?model=gpt%20realtime%26x"
    assert endpoint.rest_url("calls") == "https://api.openai.com/v1/realtime/calls"


def test_a_transcription_session_has_an_intent_and_no_model() -> None:
    url = openai_endpoint(UpstreamSettings(model="m")).socket_url(SessionConfig.default(kind="transcription"))
    assert url == "wss://api.openai.com/v1/realtime?intent=transcription"


@pytest.mark.parametrize("url", ["https://n.openai.azure.com", "https://n.openai.azure.com/openai/v1/"])
def test_azure_may_be_named_with_or_without_its_path(url: str) -> None:
    endpoint = azure_endpoint(UpstreamSettings(kind="azure", url=url, model="gpt"))
    assert endpoint.socket_url(SessionConfig.default()) == "wss://n.openai.azure.com/openai/v1/realtime?model=gpt"


def test_a_wrong_certificate_file_is_an_error_at_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nonsense")
    for name in ("ca.pem", "absent.pem"):
        with pytest.raises(ConfigError, match=name):
            upstream_kind("m", UpstreamSettings(ca_file=Path(name)), base_dir=tmp_path)
    cert, _ = self_signed(tmp_path)
    assert trust(cert)


def test_a_kind_says_what_a_call_must_know_of_its_model(tmp_path: Path) -> None:
    kind = upstream_kind("m", UpstreamSettings(session_cap_s=120), base_dir=tmp_path)
    known = (kind.name, kind.remote, kind.session_cap_s, kind.extensions)
    assert known == ("m", True, 120, False)
