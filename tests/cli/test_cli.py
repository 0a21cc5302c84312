"""The command line as such: help, start-up without torch, listings, exit codes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import click
import pytest
from click.testing import CliRunner
from PIL import Image

import ganzoo as package
from ganzoo import layout
from ganzoo.cli import COMMANDS, explained, main, output
from ganzoo.cli.plugins import print_by_kind
from ganzoo.loading import as_argument


def test_version_and_help(ganzoo):
    assert ganzoo("--version").stdout == f"ganzoo {package.__version__}\n"
    text = ganzoo("--help").stdout
    for name, (_, summary) in COMMANDS.items():
        assert name in text
        assert summary in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_begins_with_its_summary(ganzoo, name):
    result = ganzoo(name, "--help")
    assert result.exit_code == 0
    command = main.get_command(click.Context(main), name)
    assert command.help.split("\n\n")[0].replace("\n", " ") == COMMANDS[name][1]
    for option in command.params:
        assert isinstance(option, click.Argument) or option.help, option.name


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["models"], ["models", "--json"], ["parts"], ["plugins"], ["info", "tiny.shapes"],
     ["generate", "--help"], ["train", "--help"], ["completion", "zsh"]],
    ids=" ".join,
)  # fmt: skip
def test_start_imports_no_torch(model, arguments):
    code = (
        "import sys; from ganzoo.cli import main\n"
        "try: main(sys.argv[1:], prog_name='ganzoo')\n"
        "finally: print(*sorted({m.partition('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    loaded = set(result.stderr.splitlines()[-1].split())
    assert "ganzoo" in loaded
    assert not loaded & {"torch", "torchvision", "accelerate", "huggingface_hub", "rich"}


def test_unknown_command_and_option_are_wrong_usage(ganzoo):
    result = ganzoo("genrate")
    assert result.exit_code == 2
    assert "did you mean generate?" in result.stderr
    assert ganzoo("models", "--jason").exit_code == 2


def test_models_lists_what_plugins_bundle(ganzoo, model):
    listed = json.loads(ganzoo("models", "--json").stdout)
    (entry,) = [entry for entry in listed if entry["name"] == "tiny.shapes"]
    assert entry["plugin"] == "ganzoo-tiny"
    assert entry["arch"] == "tiny"
    assert entry["dataset"] == "shapes"
    assert entry["resolution"] == 8
    assert entry["bundled"] is True
    line = next(li for li in ganzoo("models").stdout.splitlines() if "tiny.shapes" in li)
    assert line.split("\t")[:4] == ["tiny.shapes", "ganzoo-tiny", "tiny", "shapes"]


def test_models_tells_what_is_damaged_and_lets_no_name_steer_the_terminal(
    ganzoo, model, tmp_path, monkeypatch
):
    zoo = tmp_path / "zoo"
    for name in ("bad", "odd"):
        shutil.copytree(model, zoo / name)
    (zoo / "bad" / "config.json").write_text("{")
    config = json.loads((zoo / "odd" / "config.json").read_text())
    (zoo / "odd" / "config.json").write_text(json.dumps({**config, "name": "a\x1b]0;b\x07"}))
    layout.write_sums(zoo / "odd")
    monkeypatch.setenv("GANZOO_REGISTRY", str(zoo))
    result = ganzoo("models")
    assert "\x1b" not in result.output and "a\\x1b]0;b\\x07\t" in result.stdout
    (line,) = [line for line in result.stderr.splitlines() if "damaged" in line]
    assert line.startswith("warning: model bad is damaged: ") and "config.json" in line
    listed = json.loads(ganzoo("models", "--json").stdout)
    assert {entry["name"] for entry in listed if entry["problem"]} == {"bad"}


def test_json_steers_no_terminal_and_means_the_same(ganzoo, model, tmp_path):
    summary = "\x9b31mred \u202e \U000e0041 é 中"  # CSI in one character, and others unseen
    folder = shutil.copytree(model, tmp_path / "odd")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "summary": summary}))
    layout.write_sums(folder)
    said = ganzoo("info", str(folder), "--json").stdout
    assert json.loads(said)[0]["summary"] == summary
    assert said.replace("\n", "").isprintable() and "é 中" in said


def test_a_long_list_is_no_table(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    rows = [{"a": str(k), "b": True} for k in range(3000)]
    output.print_rows(rows, ["a", "b"], as_json=False)
    assert capsys.readouterr().out.splitlines()[:2] == ["0\tyes", "1\tyes"]
    output.print_rows(rows[:3], ["a", "b"], as_json=False)
    assert "─" in capsys.readouterr().out


def test_what_was_mirrored_before_another_failed_is_told(ganzoo, model, tmp_path):
    bad = shutil.copytree(model, tmp_path / "bad")
    (bad / "README.md").write_text("changed")
    result = ganzoo("mirror", model, bad, "--to", tmp_path / "zoo")
    assert result.exit_code == 1
    assert result.stdout == f"tiny.shapes\tyes\t{tmp_path / 'zoo' / 'tiny.shapes'}\n"
    assert "bad is not mirrored" in result.stderr


def test_what_is_to_be_typed_next_is_quoted(ganzoo, model, tmp_path):
    zoo = tmp_path / "my zoo"
    said = ganzoo("mirror", model, "--to", zoo).stderr
    assert said == f"to use it: GANZOO_REGISTRY='{zoo}' ganzoo models\n"
    assert as_argument("my runs/1") == "'my runs/1'"
    assert as_argument("mine") == "./mine"


def test_models_can_be_filtered(ganzoo, model):
    def names(*filters):
        return [entry["name"] for entry in json.loads(ganzoo("models", "--json", *filters).stdout)]

    assert names("--arch", "tiny") == ["tiny.shapes"]
    assert names("--arch", "tiny", "--dataset", "shapes") == ["tiny.shapes"]
    assert names("--arch", "tiny", "--dataset", "celeba") == []
    assert ganzoo("models", "--arch", "nothing", "--json").stdout == "[]\n"
    for text in ("tiny", "y.sh", "tiny.*", "*shapes"):
        assert names(text) == ["tiny.shapes"]
    assert names("shapes.*") == names("TINY") == []
    for filters, why in {
        ("--arch", "Tiny"): "no model: none has the arch 'Tiny': did you mean tiny?",
        ("--dataset", "shaeps"): "no model: none has the dataset 'shaeps': did you mean shapes?",
        ("tinny.shapes",): "no model: did you mean tiny.shapes?",
    }.items():
        assert ganzoo("models", *filters).stderr.startswith(why)


def test_info_of_a_name_and_of_a_folder(ganzoo, model):
    for source in ("tiny.shapes", model):
        (facts,) = json.loads(ganzoo("info", source, "--json").stdout)
        assert facts["name"] == "tiny.shapes"
        assert facts["bundled"] is (source == "tiny.shapes")
        assert facts["config"]["classes"] == ["circle", "square", "cross"]
        assert facts["config"]["generator"]["part"] == "tiny"
    text = ganzoo("info", "tiny.shapes").stdout
    assert "config.classes\tcircle, square, cross\n" in text
    assert "aliases" not in text  # what is empty is left out


def test_info_tells_results_audits_and_training_in_short(ganzoo, model):
    settings = {f"setting{k}": k for k in range(30)}
    records = {
        "metrics": {
            "fid/x": {"value": 0.123456, "std": 0.01, "settings": settings},
            "odd": "of another form",
        },
        "audit": {"verdict": "pass", "reasons": ["one"], "copying": settings},
        "training": {"images": 5000, "recipe": settings},
    }
    for name, record in records.items():
        (model / f"{name}.json").write_text(json.dumps(record))
    layout.write_sums(model)
    result = ganzoo("info", "tiny.shapes")
    for line in (
        "metrics.fid/x\t0.1235 ± 0.01",
        "metrics.odd\tof another form",
        "audit.verdict\tpass",
        "training.images\t5000",
    ):
        assert f"{line}\n" in result.stdout
    assert "setting3" not in result.stdout
    (facts,) = json.loads(ganzoo("info", "tiny.shapes", "--json").stdout)
    assert {name: facts[name] for name in records} == records


def test_info_and_models_agree_on_what_both_say(ganzoo, model):
    listed = json.loads(ganzoo("models", "--json").stdout)
    (entry,) = [entry for entry in listed if entry["name"] == "tiny.shapes"]
    assert (entry["dataset"], entry["classes"]) == ("shapes", 3)
    (facts,) = json.loads(ganzoo("info", "tiny.shapes", "--json").stdout)
    assert {key: facts[key] for key in entry} == entry
    (facts,) = json.loads(ganzoo("info", model, "--json").stdout)
    assert {key: facts[key] for key in entry} == {**entry, "bundled": False}


def test_verify_says_ok(ganzoo, model):
    (report,) = json.loads(ganzoo("verify", model, "--json").stdout)
    assert report == {
        "model": str(model),
        "folder": str(model),
        "ok": True,
        "signature": "not signed",
        "revocations": "none configured (set GANZOO_REVOCATIONS and GANZOO_REVOCATIONS_KEY)",
        "problems": [],
        "overrides": {},
    }


def test_verify_says_what_is_wrong_and_exits_with_1(ganzoo, model):
    (model / "README.md").write_text("changed")
    result = ganzoo("verify", model, "--json")
    assert result.exit_code == 1
    assert "README.md" in result.stderr
    (report,) = json.loads(result.stdout)
    assert report["ok"] is False
    assert len(report["problems"]) == 1


def test_plugins_and_parts(ganzoo, model):
    rows = {row["name"]: row for row in json.loads(ganzoo("plugins", "--json").stdout)}
    assert rows["tiny"] == {
        "name": "tiny",
        "distribution": "ganzoo-tiny",
        "version": "1.2",
        "state": "ok",
        "reviewed": False,
        "parts": 2,
        "importers": [],
        "models": 1,
        "hooks": [
            "ganzoo_discriminators",
            "ganzoo_generators",
            "ganzoo_models",
            "ganzoo_recipes",
        ],
        "error": "",
    }
    assert rows["core"]["state"] == "ok"
    losses = json.loads(ganzoo("parts", "--kind", "loss", "--json").stdout)
    assert {"minimax", "non-saturating", "least-squares", "hinge"} <= {
        row["name"] for row in losses
    }
    assert {row["kind"] for row in losses} == {"loss"}
    assert "tiny\tganzoo-tiny\tconditional" in ganzoo("parts").stdout


def test_plugins_by_hook_and_as_requirements(ganzoo, model):
    def named(*options):
        return [row["name"] for row in json.loads(ganzoo("plugins", *options, "--json").stdout)]

    assert named("--hook", "ganzoo_models") == ["tiny"]
    assert named("--hook", "recipes") == ["tiny"]
    assert named("--hook", "losses") == ["core"]
    assert named("--hook", "train_end") == []
    result = ganzoo("plugins", "--hook", "modles")
    assert result.exit_code == 1 and "did you mean ganzoo_models" in result.stderr
    frozen = ganzoo("plugins", "--freeze")
    assert frozen.stdout == f"ganzoo=={package.__version__}\nganzoo-tiny==1.2\n"
    assert ganzoo("plugins", "--freeze", "--hook", "models").stdout == "ganzoo-tiny==1.2\n"
    rows = json.loads(ganzoo("plugins", "--freeze", "--json").stdout)
    assert rows[1] == {"requirement": "ganzoo-tiny==1.2"}


def test_plugins_that_nobody_reviewed_are_marked(ganzoo, model):
    lines = dict(line.split("\t", 1) for line in ganzoo("plugins").stdout.splitlines())
    assert "\tunreviewed\t" in lines["tiny"]
    assert "\treviewed\t" in lines["core"]


def test_parts_come_with_their_papers(ganzoo):
    losses = json.loads(ganzoo("parts", "--kind", "loss", "--json").stdout)
    (row,) = [row for row in losses if row["name"] == "least-squares"]
    assert row["paper"].startswith("Mao et al. 2017") and row["summary"]
    assert f"\t{row['summary']}\t{row['paper']}\n" in ganzoo("parts", "--kind", "loss").stdout


def test_people_get_a_table_of_each_kind_of_part(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    rows = [{"kind": kind, "name": kind[::-1]} for kind in ("generator", "loss", "loss")]
    print_by_kind(rows, ["kind", "name"])
    lines = capsys.readouterr().out.splitlines()
    titles = [line for line in lines if line in ("kind", "generator", "loss")]
    assert titles == ["generator", "loss"]
    assert [line.strip() for line in lines if "ssol" in line] == ["ssol", "ssol"]


def test_a_broken_plugin_is_listed_with_its_cause_and_the_rest_goes_on(ganzoo, model, site):
    site.install(
        "broken",
        {"__init__.py": "import a_module_that_is_nowhere"},
        distribution="ganzoo-broken",
        module="broken_plugin",
    )
    rows = {row["name"]: row for row in json.loads(ganzoo("plugins", "--json").stdout)}
    assert rows["broken"]["state"] == "broken"
    assert "a_module_that_is_nowhere" in rows["broken"]["error"]
    assert rows["tiny"]["state"] == "ok"
    result = ganzoo("models")
    assert "tiny.shapes" in result.stdout
    assert "warning: plugin broken (ganzoo-broken) is broken" in result.stderr


def test_env_names_versions_and_devices(ganzoo, model):
    facts = {row["name"]: row["value"] for row in json.loads(ganzoo("env", "--json").stdout)}
    assert facts["ganzoo"] == package.__version__
    assert facts["torch"][0].isdigit()
    assert facts["plugin tiny"] == "ganzoo-tiny 1.2"
    assert "threads" in facts["cpu"]


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_asks_ganzoo(ganzoo, name):
    assert "_GANZOO_COMPLETE" in ganzoo("completion", name).stdout


def test_completion_offers_commands_and_models(shell, model):
    environment = {**os.environ, "_GANZOO_COMPLETE": "fish_complete", "COMP_WORDS": "ganzoo info t"}
    result = shell(env={**environment, "COMP_CWORD": "t"})
    assert "tiny.shapes" in result.stdout


def test_tables_are_drawn_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    output.print_rows([{"name": "[a]", "size": None}], ["name", "size"], as_json=False)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[-1].split() == ["[a]", "-"]
    assert any("name" in line and "size" in line for line in lines)


def test_json_of_nothing_and_of_several():
    for rows in ([], [{"a": 1}], [{"a": "ä"}, {"a": [1, 2]}]):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            output.print_json(iter(rows))
        assert json.loads(out.getvalue()) == rows


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no terminals of its own")
@pytest.mark.parametrize(("columns", "gone"), [("120", 0), ("50", 3), ("40", 4)])
def test_no_name_is_cut_on_a_narrow_terminal(model, columns, gone):
    header, _, row = on_a_terminal(columns, "models", "tiny").split("\r\n")[1:4]
    assert row.split()[0] == "tiny.shapes" and "…" not in row
    assert len(row) <= int(columns)
    spare = ["plugin", "arch", "bundled", "license"]
    assert set(header.split()) == {"name", "dataset", "resolution", *spare[gone:]}


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no terminals of its own")
@pytest.mark.parametrize("columns", ["0", "3"])
def test_a_terminal_without_a_size_gets_what_a_pipe_gets(model, columns):
    (line,) = on_a_terminal(columns, "models", "tiny").splitlines()
    assert line.split("\t")[0] == "tiny.shapes"


def on_a_terminal(columns, *arguments):
    """What a command answers on a terminal that is so wide."""
    ours, theirs = os.openpty()
    environment = {**os.environ, "COLUMNS": columns, "TERM": "xterm", "GANZOO_PLUGINS": "tiny"}
    command = [sys.executable, "-m", "ganzoo", *arguments]
    subprocess.run(command, stdout=theirs, timeout=300, check=True, env=environment)
    os.close(theirs)
    said = click.unstyle(os.read(ours, 10_000).decode())
    os.close(ours)
    return said


def test_colour_is_left_out_where_that_is_asked_for(ganzoo, model):
    for value, style in (("1", ""), ("", "\x1b[31m\x1b[1m")):
        result = CliRunner(env={"NO_COLOR": value}).invoke(main, ["info", "no.model"], color=True)
        assert result.stderr.startswith(f"{style}error:")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "", "-n", 1], "An argument is empty: give one, or leave it out"),
        (["generate", "tiny.shapes", "-o", ""], "The value of -o is empty"),
        (["generate", "tiny.shapes", "--out="], "The value of --out is empty"),
        (["generate", "tiny.shapes", "-o", "-"], "There is no - here"),
        (["search", ""], "An argument is empty"),
    ],
)
def test_empty_arguments_are_wrong_usage(ganzoo, model, tmp_path, monkeypatch, arguments, message):
    """As a shell gives them where a variable is not set."""
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    result = ganzoo(*arguments)
    assert result.exit_code == 2
    assert f"Error: {message}" in result.stderr
    assert set(tmp_path.iterdir()) == before


def test_completion_of_a_line_with_mistakes_is_quiet(model):
    for line in ("ganzoo modls x", "ganzoo generate tiny.shapes -o '' x"):
        environment = {
            **os.environ,
            "_GANZOO_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split()) - 1),
        }
        command = [sys.executable, "-c", "from ganzoo.cli import main; main(prog_name='ganzoo')"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
        assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "redirection", "code", "error"),
    [
        ("models", ">&-", 0, ""),
        ("models --json", "<&- >&- 2>&-", 0, ""),
        ("generate tiny.shapes -n 2 -o picture.png", "<&- >&- 2>&-", 0, ""),
        ("models", "> /dev/full", 1, "error: No space left on device"),
        ("--help", "> /dev/full", 1, "error: No space left on device"),
        ("models --help", "> /dev/full", 1, "error: No space left on device"),
    ],
)
def test_streams_may_be_closed_or_full(model, tmp_path, arguments, redirection, code, error):
    command = f"GANZOO_PLUGINS=tiny {sys.executable} -m ganzoo {arguments} {redirection}"
    result = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=300, cwd=tmp_path
    )
    assert (result.returncode, result.stderr[: len(error) or None]) == (code, error)
    assert len(result.stderr.splitlines()) == bool(error)
    if "picture" in arguments:
        with Image.open(tmp_path / "picture.png") as picture:
            picture.load()


def test_closed_pipe_is_quiet(model):
    command = f"{sys.executable} -m ganzoo parts --json | head -c 1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=300)
    assert result.stdout == "["
    assert result.stderr == ""


def test_what_a_command_left_open_ends_before_the_line_of_its_error():
    ended = []

    def bar():
        try:
            yield from range(3)
        finally:
            ended.append(True)

    def command():
        steps = bar()
        for _ in steps:
            raise KeyboardInterrupt

    with pytest.raises(click.ClickException, match="half-written"), explained():
        command()
    assert ended == [True]


def test_ctrl_c_is_one_line_and_130(model):
    command = [sys.executable, "-m", "ganzoo", "generate", "tiny.shapes", "-n", "500000",
               "-o", str(model.parent / "out.npz")]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not list(model.parent.glob(".out*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert errors.splitlines() == [
        "interrupted: nothing half-written is left; run it again to start anew"
    ]
    assert not list(model.parent.glob("*out*"))


def test_full_stdout_is_one_line(model):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "ganzoo", "models", "--json"]
        result = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300
        )
    assert result.returncode == 1
    assert "No space left on device" in result.stderr
    assert len(result.stderr.splitlines()) == 1
