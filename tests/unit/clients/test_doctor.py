from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from clients import cli
from clients.commands import doctor
from clients.commands.doctor import Finding


def test_every_finding_has_a_sentence_and_every_trouble_a_remedy() -> None:
    for name, check in doctor.CHECKS.items():
        finding = check()
        assert finding.name == name
        assert finding.sentence
        assert finding.verdict == "ok" or finding.remedy


def test_another_owner_of_our_import_names_is_a_problem() -> None:
    owners = {"clients": ["vidrive", "clients"], "bridge": ["vidrive"], "renderer": ["renderer"], "numpy": ["numpy"]}
    finding = doctor.check_names(owners)
    assert finding.verdict == "problem"
    assert "renderer also belongs to renderer" in finding.sentence
    assert "clients also belongs to clients" in finding.sentence
    assert "make setup" in finding.remedy


@pytest.mark.parametrize(("version", "verdict"), [((3, 9), "problem"), ((3, 10), "ok"), ((3, 13), "problem")])
def test_python_versions(version: tuple[int, int], verdict: str) -> None:
    assert doctor.check_python(version).verdict == verdict


def test_a_taken_port_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setattr(doctor, "PORTS", {port: "vidrive town"})
        finding = doctor.check_ports()
    assert (finding.verdict, finding.sentence) == ("note", f"taken on this machine: {port} (vidrive town)")
    assert doctor.check_ports().verdict == "ok"


def test_damaged_weights_are_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("renderer.weights_catalogue.shipped_folder", lambda: tmp_path)
    assert doctor.check_weights().verdict == "problem"
    (tmp_path / "look.safetensors").write_bytes(b"weights")
    (tmp_path / "look.json").write_text('{"weights_sha256": "00"}')
    finding = doctor.check_weights()
    assert finding.verdict == "problem"
    assert "are damaged" in finding.sentence


def finding(verdict: doctor.Verdict) -> Callable[[], Finding]:
    return lambda: Finding("thing", verdict, "it is so", "Mend it")


def crash() -> Finding:
    raise ImportError("half installed")


@pytest.mark.parametrize(
    ("check", "code", "line"),
    [
        (finding("ok"), 0, "ok       thing     it is so. Mend it."),
        (finding("note"), 0, "note     thing     it is so. Mend it."),
        (finding("problem"), 2, "PROBLEM  thing     it is so. Mend it."),
        (crash, 2, "PROBLEM  thing     the check failed (ImportError: half installed). Run make setup."),
    ],
)
def test_the_printed_report_and_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    check: Callable[[], Finding],
    code: int,
    line: str,
) -> None:
    monkeypatch.setattr(doctor, "CHECKS", {"thing": check})
    assert cli.main(["doctor"]) == code
    assert capsys.readouterr().out == line + "\n"


def test_json_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "CHECKS", {"thing": finding("note")})
    assert cli.main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "findings": [{"name": "thing", "verdict": "note", "sentence": "it is so", "remedy": "Mend it"}]
    }
