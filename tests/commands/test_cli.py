"""The command line: few options, frozen; a user's mistakes are reported in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from commands.quality.group import quality
from commands.root import cli

OPTIONS = {
    "check-log": {
        "--classes", "--dim", "--length", "--loss", "--margin", "--rate", "--rows", "--scale",
        "--variant", "logged",
    },
    "compare": {
        "--across-machines", "--base", "--candidate", "--contender", "--out", "--process-sd",
        "--smallest-effect", "files",
    },
    "doctor": {"--json"},
    "history": {"--out", "folders"},
    "gate": {
        "--base", "--suite", "--case", "--exact", "--timed", "--pin", "--device", "--threads",
        "--smallest-effect", "--seconds", "--apart", "--seed", "--out", "--show", "--all", "--loss",
    },
    "gate-trust": {"--smoke", "--quiet-only", "--seed", "--out", "--page-only"},
    "list": {"--json"},
    "publish": {"--out", "--records"},
    "quality": set(),
    "report": {"--pdf", "run_dir"},
    "run": {
        "--case", "--contender", "--device", "--fast", "--loss", "--out", "--resume",
        "--rigorous", "--seed", "--suite",
    },
    "sanitize": {"--only", "--sample"},
    "static": {"--all", "--kernel", "--loss", "--pin", "--target"},
    "verify": {"folders"},
    "which": {"--json", "--margin", "--module", "--scale", "name"},
}  # fmt: skip

QUALITY_OPTIONS = {
    "again": {"name", "records"},
    "export": {"--models", "--store", "run_dir", "target"},
    "import": {"--store", "source"},
    "list": {"--json"},
    "publish": {"--store", "run_dir", "target"},
    "recipe": {
        "--backbone", "--dataset", "--device", "--epochs", "--no-mlflow", "--out", "--seed", "name",
    },
    "report": {"run_dir"},
    "run": {
        "--claim", "--contender", "--dataset", "--device", "--division", "--full", "--loss",
        "--no-mlflow", "--only", "--out", "--resume", "--seed", "--seeds", "--workers",
    },
    "sync": {"--store", "run_dir"},
    "ui": {"--port", "run_dir"},
}  # fmt: skip


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_the_options_are_frozen():
    """A new option is a promise: change this set knowingly, in the same commit."""
    found = {
        name: {parameter.opts[-1] for parameter in command.params}
        for name, command in cli.commands.items()
    }
    assert found == OPTIONS
    found = {
        name: {parameter.opts[-1] for parameter in command.params}
        for name, command in quality.commands.items()
    }
    assert found == QUALITY_OPTIONS


@pytest.mark.parametrize(
    "command",
    [(), *((name,) for name in OPTIONS), *(("quality", name) for name in QUALITY_OPTIONS)],
)
def test_help_teaches(command: tuple[str, ...]):
    result = call(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output and len(result.output.splitlines()) > 5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "--loss", "tripplet"), "did you mean 'triplet'?"),
        (("run", "--suite", "sped"), "did you mean 'speed'?"),
        (("run", "--contender", "tritn"), "did you mean 'triton'?"),
        (("run", "--case", "speed/nothing"), "--case"),
        (("run", "--case", "speed/softmax/linear/B0-D1-C1/float32/cpu/drawn/s0"), "--case"),
        (("run", "--fast", "--rigorous"), "--rigorous"),
        (("run", "--suite", "training", "--contender", "triton"), "--contender"),
        (("run", "--seed", "-1"), "--seed"),
        (("run", "--device", "tpu"), "--device"),
        (("run", "--frobnicate"), "--frobnicate"),
        (("measure",), "measure"),
        (("quality", "run", "--division", "half"), "--division"),
        (("quality", "run", "--seeds", "0"), "--seeds"),
        (("quality", "run", "--resume", "/nowhere"), "--resume"),
        (("quality", "again", "/nowhere", "a"), "RECORDS"),
    ],
)
def test_bad_usage_is_2_and_names_the_option(arguments: tuple[str, ...], says: str):
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert says in result.output
    assert "Traceback" not in result.output


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path: Path):
    (tmp_path / "records.jsonl").write_text("")
    result = call("run", "--fast", "--out", str(tmp_path))
    assert result.exit_code == 2
    assert "--resume" in result.output


@pytest.mark.parametrize("content", [None, "", '{"kind": "result", "schema', "[1, 2]\n", "hello\n"])
def test_report_of_a_missing_or_damaged_file_is_3_without_traceback(
    tmp_path: Path, content: str | None
):
    if content is not None:
        (tmp_path / "records.jsonl").write_text(content)
    result = call("report", str(tmp_path))
    assert result.exit_code == 3, result.output
    assert result.output.startswith("error: ") and "expected" in result.output
    assert isinstance(result.exception, SystemExit)


def test_a_folder_that_cannot_be_made_is_3_without_traceback(tmp_path: Path):
    (tmp_path / "file").write_text("")
    case = "agreement/softmax/linear/B2-D2-C2/float32/cpu/drawn/s0"
    result = call("run", "--case", case, "--out", str(tmp_path / "file" / "run"))
    assert result.exit_code == 3, result.output
    assert f"error: {tmp_path / 'file' / 'run'}: Not a directory" in result.output
    assert isinstance(result.exception, SystemExit)


def test_resume_of_a_missing_run_is_2(tmp_path: Path):
    result = call("run", "--resume", str(tmp_path / "nothing"))
    assert result.exit_code == 2
    assert "--resume" in result.output


def test_list_as_json_has_every_loss_variant_contender_and_suite():
    listing = json.loads(call("list", "--json").output)
    assert {"losses", "failed", "suites", "data", "presets"} == set(listing)
    for loss in listing["losses"]:
        for variant in loss["variants"]:
            assert {"reference", "eager"} <= set(variant["contenders"])


def test_doctor_as_json_says_what_is_missing_and_why():
    facts = json.loads(call("doctor", "--json").output)
    assert facts
    text = json.dumps(facts)
    assert "cuda" in text.lower() and "torch" in text


@pytest.mark.parametrize("words", [["run"], ["quality", "run"]])
@pytest.mark.parametrize("option", ["--out", "--resume"])
def test_a_folder_with_two_records_is_refused_in_a_sentence(
    tmp_path: Path, words: list[str], option: str
):
    """Before anything is measured, and whatever the command has imported by then."""
    for name in ("records.jsonl", "records.jsonl.xz"):
        (tmp_path / name).write_bytes(b"")
    result = CliRunner().invoke(cli, [*words, option, str(tmp_path)])
    assert result.exit_code == 3 and "Traceback" not in result.output
    assert "expected one record file" in result.output and "keep one" in result.output
    assert isinstance(result.exception, SystemExit)
