"""Every command and every piece of code in the README and on the pages of docs runs."""

import os
import pickle
import re
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import soundfile
from PIL import Image

from ar_lightning.commands import COMMANDS as KNOWN
from ar_lightning.config.resolve import load_config
from ar_lightning.sweep.file import read_sweep
from tests.support.commands import QUICK, ROOT, run_here
from tests.support.pages import PAGES, blocks, commands, shell_lines

WITH_COMMANDS = [page for page in PAGES if commands(page)]
OF_RUNS = set(KNOWN) - {"fit"}  # these train nothing, and take no key of a training
QUICK_ANYWHERE = [option for option in QUICK if not option.startswith("trainer.max_epochs")]
TINY_SWEEP = [
    *(o for o in QUICK if not o.startswith("trainer.devices")), "trials=1", "workers=1", "trainer.max_epochs=6",
]  # fmt: skip
NEEDS_DATA = re.compile("mnist|cifar|speech|shakespeare")
LONG = re.compile("cifar|wavenet")  # thousands of values an example, which take seconds to complete
RECORDED = re.compile("audio_folder|speech")
NEEDS_SERVER = "storage=postgresql"  # tests/sweep/test_postgres.py has one
FILES = (
    "runs/",
    "my.npz",
    "digits.npz",
    "photos",
    "recordings",
    "book.txt",
    "names.txt",
    "rolls.npz",
    "measured.csv",
    "checked.csv",
    "customers.csv",
)  # what a reader has or makes


def test_the_readme_starts_with_three_commands() -> None:
    run, train, test = shell_lines("README")[:3]
    zoo = "zoo:gated_pixelcnn_binarized_mnist"
    assert run == f"pip install -c constraints.txt -e . && python run.py sample {zoo} --n 64"
    assert train == "python run.py --config conf/pixelrnn.yaml"
    assert test == 'pip install -c constraints.txt -e ".[dev]" && pytest'
    assert test in (ROOT / ".ci" / "run").read_text() or "README.md" in (ROOT / ".ci" / "run").read_text()
    pinned = (ROOT / "constraints.txt").read_text()
    assert "torch==" in pinned and "://" not in pinned


def test_every_command_is_in_the_readme() -> None:
    shown = {args[0] for args in commands("README")}
    assert [c for c in OF_RUNS - shown if f"`ar-lightning {c}" not in PAGES["README"]] == []


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_every_command_means_something(page: str) -> None:
    """The quick half of the test below: names, files and keys are there."""
    for args in commands(page):
        if "--help" in args or "--resume" in args or any("runs/" in a for a in args if a.endswith(".yaml")):
            continue
        name = args[0] if args[0] in OF_RUNS else "fit"
        if name == "sweep":
            assert read_sweep(ROOT / args[2], [a for a in args[3:] if NEEDS_SERVER not in a])
        elif name == "fit":
            assert args[0] == "--config", args
            assert load_config(args[1] if "/" not in args[1] else ROOT / args[1], args[2:])


CHORALES = [[(60, 64, 67), (), (59,)], [(48, 60)]] * 8  # MIDI numbers of the keys of each frame
JSB = [*QUICK_ANYWHERE, "trainer.max_epochs=1", "trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages say a reader may have, and what their commands leave there."""
    tmp_path = tmp_path_factory.mktemp("reader")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "my.npz", train=rng.integers(0, 4, (60, 12)))
    (makes_digits,) = [block for block in blocks("your-data", "python") if "digits.npz" in block]
    exec(makes_digits.replace("digits.npz", f"{tmp_path}/digits.npz"), {})
    (tmp_path / "book.txt").write_text("It was the best of times, it was the worst of times. " * 100)
    np.savez(tmp_path / "rolls.npz", train=rng.random((60, 9, 12)) < 0.3, train_lengths=np.arange(60) % 9)
    (tmp_path / "JSB Chorales.pickle").write_bytes(pickle.dumps(dict.fromkeys(("train", "valid", "test"), CHORALES)))
    (tmp_path / "names.txt").write_text("anna\nbert\ncharlotte\n" * 20)
    table = [",".join(map(str, row)) for row in rng.normal(size=(100, 3)).round(4).tolist()]
    (tmp_path / "measured.csv").write_text("\n".join(["length,width,height", *table]) + "\n")
    checked = [f"{row},{'yes' if i % 20 == 0 else 'no'}" for i, row in enumerate(table)]
    (tmp_path / "checked.csv").write_text("\n".join(["length,width,height,faulty", *checked]) + "\n")
    bought = [f"{row.split(',')[0]},{('', 'tea', 'oil')[i % 3]},{i % 70}" for i, row in enumerate(table)]
    (tmp_path / "customers.csv").write_text("\n".join(["spent,last,age", *bought]) + "\n")
    for name in ("photos", "recordings"):
        (tmp_path / name).mkdir()
    for i in range(20):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(tmp_path / "photos" / f"{i}.png")
        soundfile.write(tmp_path / "recordings" / f"{i}.wav", rng.uniform(-1, 1, 9000), 8000)
    return tmp_path


def quick(args: list[str], folder: Path) -> list[str]:
    """Return a command that does in a scratch folder, with two batches or trials, what the page's does in full."""
    there = [re.sub(rf"(^|=)({'|'.join(map(re.escape, FILES))})", rf"\1{folder}/\2", arg) for arg in args]
    args = [path for arg in there for path in (sorted(map(str, ROOT.glob(arg))) if "*" in arg else [arg])]
    if "--help" in args:
        return args
    if args[0] == "sweep":
        study = next((a for a in args if a.startswith("study=")), f"study={Path(args[2]).stem}").partition("=")[2]
        return [*args, *TINY_SWEEP, f"sweep_dir={folder}/runs/sweeps/{study}"]
    if args[0] == "sample" and "--out" not in args and args[1].startswith("zoo:"):
        return [*args, "--out", f"{folder}/drawn"]
    if args[0] in OF_RUNS:
        return args
    epochs = [] if "--resume" in args else ["trainer.max_epochs=1"]
    drawn = ["samples.completions=false"] if any(map(LONG.search, args)) else []
    few = ["data.batch_size=4", "data.eval_batch_size=4"] if any(map(NEEDS_DATA.search, args)) else []
    few += ["data.length=512"] if any(map(RECORDED.search, args)) else []
    chosen = any(a.startswith(("run_dir=", "--resume")) for a in args)
    return [*args, *QUICK_ANYWHERE, *epochs, *drawn, *few, *([] if chosen else [f"run_dir={folder}/runs/{uuid4()}"])]


@pytest.fixture(scope="module")
def done() -> set[str]:
    """Commands that have run: what an earlier page asked for is there."""
    return set()


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_every_command_and_the_python_of_a_page_run(
    page: str, scratch: Path, done: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """In order: later ones use what earlier ones made."""
    for args in commands(page):
        line = " ".join(args)
        needs_data = NEEDS_DATA.search(line) and not os.environ.get("AR_LIGHTNING_DATA")
        if line in done or NEEDS_SERVER in line or needs_data:
            continue
        assert run_here(*quick(args, scratch)) == 0, (args, capsys.readouterr().err)
        done.add(line)
    scope: dict[str, object] = {}
    for block in blocks(page, "python"):
        here = re.sub(r"(runs/|digits\.npz|jsb\.npz|JSB Chorales\.pickle)", rf"{scratch}/\1", block)
        exec(here, scope)
    if page == "your-data":
        assert (
            run_here(
                "--config",
                "conf/published/rnn_nade_jsb.yaml",
                *JSB,
                f"data.path={scratch}/jsb.npz",
                f"run_dir={scratch}/runs/jsb",
            )
            == 0
        )
    if page in ("README", "python"):
        assert scope["completed"].shape == (16, 1, 8, 8)  # type: ignore[attr-defined]
        assert scope["nats"].shape == (16,)  # type: ignore[attr-defined]
    if page == "python":
        assert (scope["north"]["region"] == "north").all()  # type: ignore[index]


def test_the_sweep_file_on_its_page_is_one(tmp_path: Path) -> None:
    (block,) = blocks("sweeps", "yaml")
    file = tmp_path / "sweep.yaml"
    file.write_text(block.replace("../conf", str(ROOT / "conf")))
    assert read_sweep(file).trials == 40
