"""`vidrive gap compare`: what became better, and a sentence for what is no report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clients.cli import main


def write_report(path: Path, value: float, *, width: float = 0.01, **more: object) -> Path:
    measure = {"name": "class frequency", "unit": "bits", "value": value, "low": value - width, "high": value + width}
    path.write_text(json.dumps({"measures": [{**measure, "floor": 0.01}], "sections": [], **more}))
    return path


def compare(old: Path, new: Path) -> int:
    return main(["gap", "compare", str(old), str(new)])


@pytest.mark.parametrize(("now", "said"), [(0.05, "better"), (0.2, "worse"), (0.105, "")])
def test_a_change_is_one_beyond_both_intervals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], now: float, said: str
) -> None:
    assert compare(write_report(tmp_path / "a.json", 0.1), write_report(tmp_path / "b.json", now)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith(said)
    counted = {word: int(word == said) for word in ("better", "worse")}
    assert lines[-1] == f"{counted['better']} better, {counted['worse']} worse, of 1 measures"


WHOLE = json.dumps({"measures": [{"name": "class frequency", "value": 0.1}]})


@pytest.mark.parametrize(
    ("text", "sentence"),
    {
        "truncated": (WHOLE[:-9], "is no report of a gap"),
        "empty": ("", "is no report of a gap"),
        "foreign": (json.dumps({"hello": [1, 2]}), "is no report of a gap"),
        "a list": ("[]", "is no report of a gap"),
        "no measures": (json.dumps({"measures": []}), "is no report of a gap"),
        "NaN": (WHOLE.replace("0.1", "NaN"), "is no report of a gap"),
        "infinite": (WHOLE.replace("0.1", "1e999"), "is no report of a gap"),
        "a text for a number": (WHOLE.replace("0.1", '"much"'), "is no report of a gap"),
        "other measures": (WHOLE.replace("class frequency", "taste"), "share no measure"),
        "no value": (WHOLE.replace("0.1", "null"), "share no measure"),
    }.values(),
)
@pytest.mark.parametrize("swapped", [False, True])
def test_a_damaged_report_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str, swapped: bool
) -> None:
    whole, damaged = write_report(tmp_path / "whole.json", 0.1), tmp_path / "damaged.json"
    damaged.write_text(text)
    assert compare(*((damaged, whole) if swapped else (whole, damaged))) == 2
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert sentence in lines[0]


def test_bytes_that_are_no_text_and_a_folder_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, binary = write_report(tmp_path / "whole.json", 0.1), tmp_path / "binary.json"
    binary.write_bytes(b'{"measures": [{"name": "\xff\xfe"}]}')
    assert compare(whole, binary) == 2
    assert "is no report of a gap" in capsys.readouterr().err
    assert compare(whole, tmp_path) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert compare(whole, tmp_path / "nowhere.json") == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["compare"], "error: compare takes two reports, not 0. Say compare OLD.json NEW.json"),
        (["compare", "a", "b", "c"], "error: compare takes two reports, not 3. Say compare OLD.json NEW.json"),
        (["drive/"], "error: drive/ is nothing that gap can do. Say --synthetic PATH for label maps or a recording"),
    ],
)
def test_other_words_are_one_sentence(capsys: pytest.CaptureFixture[str], words: list[str], sentence: str) -> None:
    assert main(["gap", *words]) == 2
    assert capsys.readouterr().err.startswith(sentence)
