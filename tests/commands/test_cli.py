"""The command line: nonsense is answered in one line, at once, before any work; help and list teach."""

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ar_lightning.cli import main
from ar_lightning.config import checks, devices
from ar_lightning.config.registry import REGISTRIES
from ar_lightning.config.sections import SECTIONS, TOP_LEVEL, section_schema

FILES: dict[str, str | bytes] = {
    "ok.yaml": "model: nade",
    "list.yaml": "- 1",
    "lone.yaml": "3",
    "empty.yaml": "",
    "duplicate.yaml": "model: nade\nmodel: nade",
    "tab.yaml": "model:\n\tname: nade",
    "latin.yaml": "experiment: é".encode("latin1"),
    "code.yaml": "model: !!python/object/apply:os.system [ls]",
    "circle_a.yaml": "base: circle_b.yaml",
    "circle_b.yaml": "base: circle_a.yaml",
    "orphan.yaml": "base: ko.yaml",
    "base_number.yaml": "base: 3",
    "based.yaml": "base: below.yaml\nmodel: nade",
    "below.yaml": "seed: -1",
    "null_section.yaml": "model: nade\ntrainer:",
    "list_section.yaml": "model: nade\ntrainer: [cpu]",
    "unclosed.yaml": "model: nade\nexperiment: ${",
    "circular.yaml": "model: nade\nrun_dir: ${experiment}\nexperiment: ${run_dir}",
    "used/notes.txt": "",
    "broken_run/config.yaml": "model: {name: nade, hiden: 3}",
    "run/config.yaml": "model: {name: nade}",
}
# Arguments that follow `--config ok.yaml`, and what the answer must say.
OVERRIDES = [
    ("foo", "'foo' should look like key=value"),
    ("=3", "should look like key=value"),
    ("model..hidden=3", "should look like key=value"),
    ("model.hiden=3", "command line: model.hiden: no key of nade; did you mean 'hidden'?"),
    ("model.lr=1", "did you mean 'optimizer.lr'?"),
    ("hidden=3", "did you mean 'model.hidden'?"),
    ("modle=nade", "no key 'modle'; did you mean 'model'?"),
    ("data.path=x.npz", "no key of digits, but of npz"),
    ("model.hidden.x=3", "model.hidden: expected int >= 1, got {x: 3}"),
    ("model.name=3", "unknown model '3'; choose from"),
    ("model.name=", "unknown model 'null'"),
    ("model=naed", "did you mean 'nade'?"),
    ("model=[nade]", "model: expected keys, such as model.name"),
    ("trainer=cpu", "trainer: expected keys, such as trainer.max_epochs, got cpu"),
    ("optimizer.lr=abc", "optimizer.lr: expected float > 0, got abc"),
    ("optimizer.lr=nan", "expected float > 0, got nan"),
    ("optimizer.lr=0", "expected float > 0, got 0"),
    ("optimizer.lr=-1e-3", "expected float > 0, got -0.001"),
    ("trainer.max_epochs=0", "expected int >= 1, got 0"),
    ("trainer.max_epochs=true", "expected int >= 1, got true"),
    ("seed=99999999999999999999", "seed: expected int >= 0, got 9"),
    ("model.hidden=null", "expected int >= 1, got null"),
    ("model.hidden='3'", "expected int >= 1, got '3'"),
    ("model.conditional=1", "expected bool, got 1"),
    ("model.order=Random", "expected raster | random, got Random; did you mean 'random'?"),
    ("data.levels=3", "data.levels: expected 17 | 2, got 3"),
    ("optimizer.betas=[0.9,1.5]", "got [0.9, 1.5]"),
    ("optimizer.betas=[0.9", "not valid YAML"),
    ("model={", "not valid YAML"),
    ("model.hidden=!!int x", "not valid YAML"),
    ("model.hidden=3\nfoo", "got '3 foo'"),
    ("model.order=${nope}", "command line: model.order: Interpolation key 'nope' not found"),
    ("model.order=${model.order}", "Recursive interpolation"),
    ("model.hidden=${seed}", "command line: model.hidden: expected int >= 1, got 0"),
    ("tracking.tags=[a,'${nope}']", "command line: tracking.tags: "),
    ("data.name=npz", "give data.path=my.npz"),
    ("data={name: npz, path: tabel.npz}", "no file tabel.npz; did you mean 'table.npz'?"),
    ("likelihood=gaussian_mixture", "or data.dequantise=true"),
    ("data.stream=true", "do not follow each other"),
    ("data={name: text, path: ok.yml}", "did you mean 'ok.yaml'"),
    ("data={name: audio_folder, path: nowhere}", "nowhere"),
    ("data={name: table, drop: [a]}", "data.path"),
    ("data={name: table, path: reel.csv}", "reel.csv"),
    ("trainer.accelerator=gpu", "trainer.accelerator=gpu: there is none on this machine"),
    ("trainer.accelerator=tpu", "trainer.accelerator=tpu: there is none on this machine"),
    ("trainer.accelerator=gpuu", "did you mean 'gpu'?"),
    ("trainer.devices=-3", "trainer.devices=-3: expected a number of devices"),
    ("trainer.devices=0,0", "trainer.devices=0,0: expected a number of devices"),
    ("trainer={devices: '0,1', accelerator: cpu}", "CPUs have no device numbers"),
    ("trainer={devices: -1, accelerator: cpu}", "CPUs have no device numbers"),
    ("run_dir=used", "run_dir=used: is in use; please name a new directory"),
    ("run_dir=run", "continue it with --resume run, or name a new directory"),
    ("run_dir=ok.yaml", "is a file; name a new directory"),
    ("run_dir=ok.yaml/inside", "is a file; name a new directory"),
    (f"run_dir={'x' * 999}", "File name too long"),
    ("experiment=../../x", "experiment=../../x: leads out of runs/"),
    ("experiment=/tmp/x", "experiment=/tmp/x: leads out of runs/"),
    ('experiment="a\\0b"', "null"),
    ("experiment=no", "no, on, off, true, false, null stand in quotes, such as \"experiment='no'\""),
    ("tracking.tags=[No]", "stand in quotes, such as \"tracking.tags=['no']\""),
    ("run_dir=[baseline]-1", "text stands in quotes, such as \"run_dir='[baseline]-1'\""),
    ("experiment=a #5", "what follows # would be left out"),
    ("experiment=#5", "what follows # would be left out"),
    ("trainer.max_hours=1:30", "expected float > 0"),
]
REAL = "data={name: npz, path: real.npz}"
COMMANDS = [
    (["--config", "list.yaml"], "list.yaml: expected 'key: value' lines"),
    (["--config", "lone.yaml"], "lone.yaml: expected 'key: value' lines"),
    (["--config", "empty.yaml"], "empty.yaml: model.name is missing; choose from"),
    (["--config", "duplicate.yaml"], "duplicate.yaml:2: not valid YAML"),
    (["--config", "tab.yaml"], "tab.yaml:2: not valid YAML"),
    (["--config", "latin.yaml"], "latin.yaml: not a text file in UTF-8"),
    (["--config", "code.yaml"], "code.yaml:1: not valid YAML"),
    (["--config", "used"], "cannot read the config file used: Is a directory"),
    (["--config", "ko.yaml"], "no config file ko.yaml; did you mean 'ok.yaml'?"),
    (["--config", "pixelrn"], "no config 'pixelrn'; did you mean 'pixelrnn'?"),
    (["--config", "conf/nade.yaml"], "no config file conf/nade.yaml; did you mean '--config nade'?"),
    (["sweep", "--config", "nade_gird"], "no sweep 'nade_gird'; did you mean 'nade_grid'?"),
    (["init", "used"], "init: used is not empty; name a new directory"),
    (["init", "ok.yaml"], "init: ok.yaml cannot be written (Not a directory)"),
    (["--config", "circle_a.yaml"], "circle_b.yaml: base: circle_a.yaml is based on itself"),
    (["--config", "orphan.yaml"], "orphan.yaml: base: no config file ko.yaml"),
    (["--config", "base_number.yaml"], "base: expected a file name or a list of them, got 3"),
    (["--config", "based.yaml"], "below.yaml: seed: expected int >= 0, got -1"),
    (["--config", "null_section.yaml"], "trainer: expected keys, such as trainer.max_epochs, got null"),
    (["--config", "list_section.yaml"], "trainer: expected keys, such as trainer.max_epochs, got [cpu]"),
    (["--config", "unclosed.yaml"], "unclosed.yaml: experiment: "),
    (["--config", "circular.yaml"], "circular.yaml: "),
    (["--config"], "--config: expected one argument"),
    (["--confg", "ok.yaml"], "no option '--confg'; did you mean '--config'?"),
    (["fitt"], "no command 'fitt'; did you mean 'fit'?"),
    (["fi\nt"], "no command 'fi t'"),
    (["ok.yaml"], "did you mean '--config ok.yaml'?"),
    (["list", "foo"], "unexpected 'foo'"),
    (["compress", "run", "file", "--engine", "compield"], "--engine: no 'compield'; did you mean 'compiled'?"),
    (["compress", "run", "file", "--engine", "x"], "--engine: no 'x'; choose from auto, compiled, eager"),
    ([], "nothing to do: give a config"),
    (["seed=1"], "command line: model.name is missing"),
    (["model=row_lstm", "data={name: npz, path: table.npz}"], "model.name=row_lstm reads images (C, H, W), not"),
    (["model=nade", "model.conditional=true", "data={name: npz, path: table.npz}"], "needs labels"),
    (["model=nade", "data={name: npz, path: table.npz, levels: 1}"], "levels"),
    (["model=pixelcnnpp", "likelihood=categorical", "data={name: npz, path: colour.npz}"], "leaves the 3 channels of"),
    (
        ["model=table", "likelihood=discretized_logistic_mixture", "data={size: 4, levels: 2}"],
        "looks values up by their",
    ),
    (["model=markov", REAL], "looks values up by their level"),
    (["model=nade", REAL, "data.dequantise=true"], "has no levels to add to"),
    (["model=nade", REAL, "likelihood=categorical"], "choose gaussian_mixture or laplace_mixture"),
    (["model=nade", "likelihood={name: categorical, encoding: index}"], "for models that embed levels"),
    (["model=wavenet", "data=text", "data.stream=true"], "choose rnn"),
    (["model=rnn", "model.position=true", "data=text", "data.stream=true"], "model.position=true"),
    (["model=wavenet", "model.local=true"], "needs features"),
    (["--resume"], "--resume: expected one argument"),
    (["--resume", "used"], "no config.yaml there, so it is no run directory"),
    (["--resume", "rum"], "--resume rum: no such directory; did you mean 'run'?"),
    (["--resume", "ok.yaml"], "is a file; give the directory of the run"),
    (["--resume", "broken_run"], "config.yaml: model.hiden: no key of nade; did you mean 'hidden'?"),
    (["--resume", "run", "--config", "ok.yaml"], "leave out --config"),
    (["--resume", "run", "optimizer.lr=1"], "optimizer.lr cannot change on --resume"),
    (["--resume", "run", "trainer.max_epochs=0"], "command line: trainer.max_epochs: expected int >= 1, got 0"),
]
MALFORMED = [*COMMANDS, *((["--config", "ok.yaml", override], answer) for override, answer in OVERRIDES)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with every file that the malformed command lines name, on a machine without a GPU."""
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    np.savez(tmp_path / "table.npz", train=np.arange(60).reshape(20, 3) % 2)
    np.savez(tmp_path / "colour.npz", train=np.arange(20 * 4 * 4 * 3).reshape(20, 4, 4, 3) % 5)
    np.savez(tmp_path / "real.npz", train=np.arange(60).reshape(20, 3) / 7)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AR_LIGHTNING_RUN_DIR", "")  # set by main: restored after the test
    monkeypatch.setattr(devices, "may_have", lambda accelerator: accelerator in ("auto", "cpu"))
    return tmp_path


def contents(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


@pytest.mark.parametrize(("args", "answer"), MALFORMED, ids=[" ".join(args)[:60] for args, _ in MALFORMED])
def test_nonsense_is_answered_in_one_line(
    args: list[str], answer: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(folder)
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: ") and err.count("\n") == 1 and err.endswith("\n")
    assert answer in err
    assert out == ""
    assert contents(folder) == before


def apart(args: list[str], then: str, **streams: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line, then a statement, in a process of its own."""
    program = f"import sys; from ar_lightning.cli import main; status = main(sys.argv[1:]); {then}; sys.exit(status)"
    command = [sys.executable, "-c", program, *args]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60, check=False, **streams)


@pytest.mark.parametrize(
    "line",
    [
        "fitt", "sample zoo:gated_pixelcn", "--config circle_a.yaml", "--resume broken_run", "model=nade model.hiden=3",
        "model=nade trainer.devices=x", "model=nade likelihood=bernoulli", "model=markov data=npz data.path=real.npz",
    ],
)  # fmt: skip
def test_nonsense_is_answered_at_once(line: str, folder: Path) -> None:
    heavy = ("torch", "lightning", "sklearn", "wandb", "matplotlib", "optuna", "PIL")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = apart(line.split(), f"print([m for m in {heavy} if m in sys.modules])", stdout=subprocess.PIPE)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "[]\n", 1), done.stderr
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2.0  # also on a slow processor


def test_no_accelerator_that_is_there_is_refused() -> None:
    assert all(devices.may_have(name) for name in ("auto", "cpu"))
    assert devices.may_have("gpu") or not torch.cuda.is_available()


@pytest.mark.parametrize("args", [["--help"], ["fit", "--help"], ["-h"]], ids=" ".join)
def test_help_teaches_every_name_and_key(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 0
    words = capsys.readouterr().out
    for example in ("--config conf/nade.yaml", "--resume runs/", "\n  fit ", "\n  sample ", "\n  list "):
        assert example in words
    assert words.count("\n  python run.py ") == 4
    assert all(f"\n  {key} " in words for key in TOP_LEVEL)
    for section in SECTIONS:
        assert all(f"\n  {section}.{key} " in words for key in section_schema(section).fields)
    for section, names in REGISTRIES.items():
        for name in names:
            keys = section_schema(section, name).fields
            chapter = words.partition(f"\n{section}.name={name}: ")[2].partition("\n\n")[0]
            assert chapter.startswith(section_schema(section, name).summary)
            assert all(f"\n  {section}.{key} " in chapter and f.doc in chapter for key, f in keys.items())


def test_help_writes_defaults_as_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "seed int >= 0; default 0" in lines
    assert "trainer.compile bool; default false" in lines
    assert "trainer.ema float >= 0 and < 1 or null; default null" in lines
    assert "optimizer.betas [float >= 0 and < 1, float >= 0 and < 1]; default [0.9, 0.999]" in lines


def test_list_has_one_line_for_each_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out, _ = capsys.readouterr()
    for section, names in REGISTRIES.items():
        table = out.partition(f"{section}.name\n")[2].partition("\n\n")[0].splitlines()
        for name in names:
            summary = section_schema(section, name).summary
            assert [line.split(maxsplit=1) for line in table if line.split()[0] == name] == [[name, summary]]


@pytest.mark.parametrize("command", ["list", "--help"])
def test_a_reader_that_leaves_is_no_error(command: str) -> None:
    read, write = os.pipe()
    os.close(read)
    done = apart([command], "pass", stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.fixture
def trained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], Path, Path | None]]:
    """What training was called with; nothing is trained."""
    calls: list[tuple[dict[str, Any], Path, Path | None]] = []

    def run(config: dict[str, Any], dataset: object, run_dir: Path, resume: Path | None, trial: object) -> None:
        calls.append((config, run_dir, resume))
        raise KeyboardInterrupt

    monkeypatch.setattr("ar_lightning.training.fit.run", run)
    return calls


def test_the_default_command_is_fit(trained: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "ok.yaml", "run_dir=new/run", "seed=3"]) == 130
    assert main(["fit", "seed=3", "run_dir=new/run", "--config", "ok.yaml"]) == 130
    assert trained[0] == trained[1]
    config, run_dir, resume = trained[0]
    assert (config["seed"], config["run_dir"], run_dir, resume) == (3, "new/run", Path("new/run"), None)
    assert "continue with: python run.py --resume new/run" in capsys.readouterr().err


def test_the_run_directory_is_named_after_experiment_and_seed(trained: list[Any]) -> None:
    main(["--config", "ok.yaml", "seed=3"])
    run_dir = trained[0][1]
    assert run_dir.parts[:2] == ("runs", "ok") and run_dir.name.endswith("-3")


def test_an_empty_run_directory_may_be_used(trained: list[Any], folder: Path) -> None:
    (folder / "new").mkdir()
    assert main(["--config", "ok.yaml", "run_dir=new"]) == 130


def test_resume_takes_the_config_of_the_run(trained: list[Any]) -> None:
    assert main(["--resume", "run", "trainer.max_epochs=7", "tracking.mode=disabled"]) == 130
    config, run_dir, resume = trained[0]
    assert (config["trainer"]["max_epochs"], run_dir, resume) == (7, Path("run"), Path("run/checkpoints/last.ckpt"))


def test_processes_of_one_training_share_its_directory(trained: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    main(["--config", "ok.yaml"])
    monkeypatch.setenv("LOCAL_RANK", "1")
    trained[0][1].mkdir(parents=True, exist_ok=True)
    main(["--config", "ok.yaml"])
    assert trained[0][1] == trained[1][1]


def test_interrupted_before_training(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(config: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checks, "check_config", interrupted)
    assert main(["--config", "ok.yaml"]) == 130
