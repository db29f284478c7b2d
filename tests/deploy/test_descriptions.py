"""What deploy/ describes: whole, alike, and made of commands that exist."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from perhop.cli.root import app
from perhop.config import load_settings
from perhop.workers.hosting import REFERENCE

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
IMAGES = {"nats", "postgres", "python", "perhop"}
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
K8S: list[dict[str, Any]] = [
    document for file in sorted((DEPLOY / "k8s").glob("*.yaml")) for document in yaml.safe_load_all(file.read_text())
]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def containers() -> list[dict[str, Any]]:
    pods = [one["spec"]["template"]["spec"] for one in K8S if one["kind"] in ("Deployment", "StatefulSet")]
    return [container for pod in pods for container in (*pod.get("initContainers", ()), *pod["containers"])]


def commands() -> list[list[str]]:
    """Of Perhop's own containers."""
    found = [one["command"] for one in COMPOSE["services"].values() if one["image"].startswith("perhop:")]
    found += [one["command"] for one in containers() if one["image"].startswith("perhop:")]
    found += [re.findall(r'"([^"]+)"', line) for line in DOCKERFILE.splitlines() if line.startswith("CMD")]
    return found


def understood(command: list[str]) -> bool:
    """Whether the command line knows the command and its options; nothing is run."""
    return CliRunner().invoke(app, [*command[1:], "--help"]).exit_code == 0


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_exists(command: list[str]) -> None:
    assert command[0] == "perhop"
    assert understood(command)


@pytest.mark.parametrize("wrong", [["worker", "runn", "sms"], ["serve", "--hots", "x"], ["database"]], ids=" ".join)
def test_a_command_that_does_not_exist_is_noticed(wrong: list[str]) -> None:
    assert not understood(["perhop", *wrong])


def test_both_run_the_gateway_and_all_six_workers() -> None:
    workers = {("perhop", "worker", "run", name) for name in REFERENCE}
    wanted = {*workers, ("perhop", "serve", "--host", "0.0.0.0"), ("perhop", "db", "upgrade")}
    compose = {tuple(one["command"]) for one in COMPOSE["services"].values() if one["image"].startswith("perhop:")}
    k8s = {tuple(one["command"]) for one in containers() if one["image"].startswith("perhop:")}
    assert compose == k8s == wanted


def test_images_are_plain_names_with_a_version() -> None:
    images = [one["image"] for one in (*COMPOSE["services"].values(), *containers())]
    images += re.findall(r"^FROM (\S+)", DOCKERFILE, flags=re.MULTILINE)
    assert {image.partition(":")[0] for image in images} <= IMAGES
    assert all(re.fullmatch(r"[a-z]+:[0-9][\w.-]*", image) for image in images)


def test_settings_given_by_environment_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An unknown name would be refused."""
    [shared] = [one["data"] for one in K8S if one["kind"] == "ConfigMap"]
    named = {entry["name"] for one in containers() for entry in one.get("env", ())}
    given = {**COMPOSE["services"]["sms"]["environment"], **shared}
    given |= dict(re.findall(r"(PERHOP_\w+)=(\S+)", DOCKERFILE))
    assert {name for name in named if name.startswith("PERHOP_")} <= set(given)
    for name in [name for name in os.environ if name.startswith("PERHOP_")]:
        monkeypatch.delenv(name)
    for name, value in given.items():
        if name.startswith("PERHOP_") and name != "PERHOP_CONFIG":
            monkeypatch.setenv(name, re.sub(r"\$\{.*?\}", "secret", value))
    (tmp_path / "perhop.toml").write_text("")
    settings = load_settings(tmp_path / "perhop.toml")
    assert settings.bus.url == "nats://nats:4222"
    assert settings.worker.port == 9090
    assert settings.store.url is not None


def test_what_depends_on_something_finds_it() -> None:
    services = COMPOSE["services"]
    for one in services.values():
        assert set(one.get("depends_on", ())) <= set(services)
    known = {(one["kind"], one["metadata"]["name"]) for one in K8S}
    for container in containers():
        for source in container.get("envFrom", ()):
            assert ("ConfigMap", source["configMapRef"]["name"]) in known
    for one in K8S:
        assert one["metadata"].get("namespace", "perhop") == "perhop"
        if one["kind"] in ("Deployment", "StatefulSet"):
            labels = one["spec"]["template"]["metadata"]["labels"]
            assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_a_worker_may_finish_its_calls_before_it_is_killed() -> None:
    drain_s = load_settings(ROOT / "perhop.toml").worker.drain_s
    for name in REFERENCE:
        assert seconds(COMPOSE["services"][name]["stop_grace_period"]) > drain_s
    pods = [
        one["spec"]["template"]["spec"]
        for one in K8S
        if one["metadata"]["name"] in REFERENCE and one["kind"] == "Deployment"
    ]
    assert len(pods) == len(REFERENCE)
    assert all(pod["terminationGracePeriodSeconds"] > drain_s for pod in pods)


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_a_gateway_may_let_its_calls_end_before_it_is_killed() -> None:
    """docs/operations.md: drain_s, then up to 15 s for telling everybody."""
    wanted = load_settings(ROOT / "perhop.toml").server.drain_s + 15
    assert seconds(COMPOSE["services"]["gateway"]["stop_grace_period"]) >= wanted
    [pod] = [
        one["spec"]["template"]["spec"]
        for one in K8S
        if one["metadata"]["name"] == "gateway" and "template" in one["spec"]
    ]
    assert pod["terminationGracePeriodSeconds"] >= wanted


@pytest.mark.parametrize(
    ("name", "port", "host"),
    [
        ("sms", 8090, "PERHOP_WORKERS__SMS__CALLBACK_HOST"),
        ("calendar", 8091, "PERHOP_WORKERS__CALENDAR__FEED_HOST"),
    ],
)
def test_what_is_asked_from_outside_can_be_reached(name: str, port: int, host: str) -> None:
    service = COMPOSE["services"][name]
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert service["environment"][host] == "0.0.0.0"
    [shared] = [one["data"] for one in K8S if one["kind"] == "ConfigMap"]
    assert shared[host] == "0.0.0.0"
    [reached] = [one["spec"] for one in K8S if one["kind"] == "Service" and one["metadata"]["name"] == name]
    assert [one["port"] for one in reached["ports"]] == [port]
    [pod] = [one["spec"]["template"] for one in K8S if one["kind"] == "Deployment" and one["metadata"]["name"] == name]
    assert reached["selector"].items() <= pod["metadata"]["labels"].items()
    assert port in [one["containerPort"] for one in pod["spec"]["containers"][0]["ports"]]
    assert f"{port}" in (DEPLOY / "README.md").read_text()


def test_no_password_is_written_down() -> None:
    for file in (*DEPLOY.rglob("*.yaml"), DEPLOY / "Dockerfile"):
        text = re.sub(r"\$\{[^}]*\}", "$", file.read_text())
        for value in re.findall(r"(?i)password\w*[\"']?[ ]*[:=][ ]*(\S+)", text):
            assert value == "$", f"{file}: {value}"


def test_the_image_gets_what_the_package_needs() -> None:
    copied = {
        name for line in re.findall(r"^COPY (?!--)(.+)", DOCKERFILE, flags=re.MULTILINE) for name in line.split()[:-1]
    }
    assert all((ROOT / name).exists() for name in copied)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert allowed == copied
