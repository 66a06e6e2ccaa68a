"""What is fuzzed: each target makes a damaged input of its kind, and returns the command that reads it.

A target gets a generator, the folder of valid inputs that `prepare` has made, and an empty folder to write to.
"""

import io
import json
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.mutations import EXTREMES, mutated, with_another_value

__all__ = ["TARGETS", "prepare"]

TINY = [
    "trainer.max_epochs=1", "trainer.limit_train=1", "trainer.limit_val=1", "trainer.limit_test=1",
    "trainer.accelerator=cpu", "trainer.devices=1", "trainer.threads=1", "samples.n=1", "tracking.mode=disabled",
]  # fmt: skip
RELEASED = Path(__file__).parents[1] / "compatibility" / "released_0_1"
TEXT = "do re mi fa sol la ti do\n" * 40
CONFIG = """\
model: {name: nade, hidden: 4}
data:
  name: digits
  levels: 2
  batch_size: 16
optimizer: {name: adam, lr: 1.0e-2}
schedule: cosine
trainer:
  max_epochs: 1
  gradient_clip: 1.0
samples: {n: 4}
seed: 3
"""
SWEEP = """\
config: nade.yaml
overrides: [trainer.max_epochs=2]
study: fuzzed
objective: {metric: val/bpd, direction: minimize}
trials: 4
workers: 1
sampler: {name: tpe, seed: 0}
pruner: {name: median, min_epochs: 1}
space:
  model.hidden: {type: int, low: 2, high: 16, log: true}
  optimizer.lr: {type: float, low: 1.0e-3, high: 1.0e-1, log: true}
  data.batch_size: {type: categorical, choices: [8, 16]}
"""

Target = Callable[[Random, Path, Path], list[str]]
TARGETS: dict[str, tuple[Target, int]] = {}  # by name, with the number of inputs


def target(inputs: int) -> Callable[[Target], Target]:
    def add(function: Target) -> Target:
        TARGETS[function.__name__] = function, inputs
        return function

    return add


def prepare(folder: Path) -> Iterator[list[str]]:
    """Write valid inputs; yield the commands that make the runs, and what is made of runs."""
    import numpy as np
    import pandas as pd
    import soundfile
    from PIL import Image

    from ar_lightning.sweep.file import read_sweep

    rng = np.random.default_rng(0)
    (folder / "nade.yaml").write_text(CONFIG)
    (folder / "sweep.yaml").write_text(SWEEP)
    (folder / "song.txt").write_text(TEXT)
    table = pd.DataFrame(rng.normal(size=(60, 3)), columns=["a", "b", "c"])
    table.to_csv(folder / "table.csv", index=False)
    table.to_parquet(folder / "table.parquet")
    np.savez(folder / "table.npz", data=table.to_numpy())
    images = rng.integers(0, 17, (60, 8, 8), np.uint8)
    np.savez(folder / "images.npz", train=images, test=images[:9], train_labels=np.arange(60) % 10)
    np.save(folder / "mask.npy", rng.random((8, 8)) < 0.5)
    Image.fromarray(images[0] * 15).save(folder / "picture.png")
    soundfile.write(folder / "tone.wav", np.sin(np.arange(4000) / 9).astype(np.float32), 8000)
    np.savez(folder / "six.npz", test=images[:6])
    runs = {
        "images": ["model=nade", "model.hidden=4"],
        "table": ["model=rnade", "model.hidden=4", "data=table", f"data.path={folder / 'table.csv'}"],
        "text": ["model=rnn", "model.hidden=4", "data=text", "data.length=16", f"data.path={folder / 'song.txt'}"],
        "sound": ["model=wavenet", "model.channels=4", "model.layers=3", "model.stacks=1", "data=tones"],
    }
    for name, given in runs.items():
        yield [*given, *TINY, f"run_dir={folder / name}"]
    yield ["--config", str(folder / "nade.yaml"), *TINY, f"run_dir={folder / 'configured'}"]
    read_sweep(folder / "sweep.yaml")
    yield ["compress", f"{folder / 'images'}", f"{folder / 'six.npz'}", "--out", f"{folder / 'images.arl'}"]
    yield ["compress", f"{folder / 'text'}", f"{folder / 'song.txt'}", "--out", f"{folder / 'text.arl'}"]
    for name in ("images", "table", "text"):
        yield ["export", f"{folder / name}", "--out", f"{folder / f'exported-{name}'}"]


def put(rng: Random, source: Path, folder: Path, damage: Callable[[bytes, Random], bytes] = mutated) -> Path:
    """Write a damaged copy of a file."""
    file = folder / source.name
    file.write_bytes(damage(source.read_bytes(), rng))
    return file


@target(50)
def config(rng: Random, given: Path, here: Path) -> list[str]:
    file = put(rng, given / "nade.yaml", here, rng.choice((mutated, with_another_value)))
    return ["--config", str(file), *TINY, f"run_dir={here / 'run'}"]


@target(50)
def overrides(rng: Random, given: Path, here: Path) -> list[str]:
    """Keys of a resolved config with values of other keys, or extreme ones."""
    from ar_lightning.config.overlay import flat, read_yaml

    run = rng.choice(("images", "table", "text", "sound"))
    settings = flat("", read_yaml(given / run / "config.yaml"))
    fixed = {setting.partition("=")[0] for setting in TINY} | {"run_dir", "trainer.num_nodes"}
    own = [f"{k}={v}" for k, v in settings.items() if k.startswith(("model.", "data.")) and v is not None]
    free = sorted(settings.keys() - fixed)
    more = []
    for _ in range(rng.choice((1, 1, 2))):
        values = [*EXTREMES, *(str(v).encode() for v in settings.values())]
        text = f"{rng.choice(free)}=".encode() + rng.choice(values)
        more.append((text if rng.random() < 0.9 else mutated(text, rng)).decode("utf-8", "replace").replace("\x00", ""))
    names = {override.partition("=")[0] for override in more}
    kept = [override for override in own if override.partition("=")[0] not in names]
    return [*kept, *TINY, f"run_dir={here / 'run'}", *(o for o in more if not o.startswith("-"))]


@target(40)
def sweep(rng: Random, given: Path, here: Path) -> list[str]:
    """No trial is run: the file is read, and its points are checked."""
    from ar_lightning.sweep import launch

    launch.launch = lambda read: 0
    shutil.copy(given / "nade.yaml", here)
    file = put(rng, given / "sweep.yaml", here, rng.choice((mutated, with_another_value)))
    return ["sweep", "--config", str(file), f"sweep_dir={here / 'sweep'}"]


def score_or_train(rng: Random, given: Path, here: Path, file: Path, run: str, data: str) -> list[str]:
    """Return a command that reads data: most score it, some train on it."""
    if rng.random() < 0.3:
        model = ["model=rnade", "model.hidden=4"] if data == "table" else ["model=nade", "model.hidden=4"]
        return [*model, f"data={data}", f"data.path={file}", *TINY, f"run_dir={here / 'run'}"]
    return ["score", str(given / run), "--data", str(file), "--out", str(here / "scores.csv")]


@target(35)
def table(rng: Random, given: Path, here: Path) -> list[str]:
    return score_or_train(rng, given, here, put(rng, given / "table.csv", here), "table", "table")


@target(20)
def parquet(rng: Random, given: Path, here: Path) -> list[str]:
    return score_or_train(rng, given, here, put(rng, given / "table.parquet", here), "table", "table")


@target(40)
def npz(rng: Random, given: Path, here: Path) -> list[str]:
    name, run, data = rng.choice((("table.npz", "table", "table"), ("images.npz", "images", "npz")))
    damage = rng.choice((mutated, in_a_member))
    return score_or_train(rng, given, here, put(rng, given / name, here, damage), run, data)


def in_a_member(data: bytes, rng: Random) -> bytes:
    """Damage a file of a zip archive, which gets a checksum that is right."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w") as written:
        names = archive.namelist()
        hit = rng.choice(names)
        for name in names:
            content = archive.read(name)
            if name == hit:
                # An array's header is what its size is read from.
                content = mutated(content[:128], rng) + content[128:] if rng.random() < 0.7 else mutated(content, rng)
            written.writestr(name, content)
    return out.getvalue()


@target(30)
def picture(rng: Random, given: Path, here: Path) -> list[str]:
    damage = rng.choice((mutated, in_a_chunk))
    file, run = put(rng, given / "picture.png", here, damage), str(given / "images")
    return rng.choice((
        ["score", run, "--data", str(file), "--out", str(here / "scores.csv")],
        ["complete", run, "--input", str(file), "--n", "1", "--out", str(here / "out.png")],
        ["sample", run, "--prompt", str(file), "--n", "1", "--out", str(here / "out.png")],
        ["compress", run, str(file)],
    ))  # fmt: skip


def in_a_chunk(data: bytes, rng: Random) -> bytes:
    """Damage a chunk of a PNG, which gets a length and a checksum that are right."""
    at, chunks = 8, []
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    i = rng.randrange(len(chunks))
    chunks[i] = chunks[i][0], mutated(chunks[i][1], rng)
    return data[:8] + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


@target(25)
def sound(rng: Random, given: Path, here: Path) -> list[str]:
    damage = rng.choice((mutated, in_the_head))
    file, run = put(rng, given / "tone.wav", here, damage), str(given / "sound")
    return rng.choice((
        ["score", run, "--data", str(file), "--out", str(here / "scores.csv")],
        ["sample", run, "--prompt", str(file), "--n", "1", "--length", "64", "--out", str(here / "out")],
    ))  # fmt: skip


def in_the_head(data: bytes, rng: Random) -> bytes:
    return mutated(data[:64], rng) + data[64:]


@target(25)
def text(rng: Random, given: Path, here: Path) -> list[str]:
    file, run = put(rng, given / "song.txt", here), str(given / "text")
    model = ["model=rnn", "model.hidden=4", "data=text", "data.length=16", f"data.path={file}"]
    return rng.choice((
        ["score", run, "--data", str(file), "--out", str(here / "scores.csv")],
        ["compress", run, str(file)],
        [*model, *TINY, f"run_dir={here / 'run'}"],
        [*model, "data.unit=bytes", *TINY, f"run_dir={here / 'run'}"],
    ))  # fmt: skip


@target(20)
def mask(rng: Random, given: Path, here: Path) -> list[str]:
    if rng.random() < 0.3:
        known = with_another_value(rng.choice((b"random:0.5", b"top-half", b"first-half")), rng).decode(
            "utf-8", "replace"
        )
    else:
        known = str(put(rng, given / "mask.npy", here, rng.choice((mutated, in_the_head))))
    return ["complete", str(given / "images"), "--input", "data:test:0", f"--mask={known}", "--n", "1",
            "--out", str(here / "out.png")]  # fmt: skip


@target(20)
def prompt(rng: Random, given: Path, here: Path) -> list[str]:
    start = mutated(TEXT[:40].encode(), rng).decode("utf-8", "surrogateescape").replace("\x00", "")[:100_000]
    if rng.random() < 0.5:
        start = str(put(rng, given / "song.txt", here))
    keep = rng.choice(["--keep=0.5", f"--keep={rng.choice(EXTREMES).decode('utf-8', 'replace')}"])
    return ["sample", str(given / "text"), f"--prompt={start}", "--n=1", keep.replace("\x00", ""),
            "--out", str(here / "out.txt")]  # fmt: skip


@target(50)
def code(rng: Random, given: Path, here: Path) -> list[str]:
    run = rng.choice(("images", "text"))
    file = put(rng, given / f"{run}.arl", here, rng.choice((mutated, sealed, sealed, sealed)))
    return ["decompress", str(given / run), str(file), "--out", str(here / "out")]


def sealed(data: bytes, rng: Random) -> bytes:
    """Damage the line of text of a compressed file, or what follows it; the checksum is right again."""
    head, line, code = data[8:20], *data[20:].split(b"\n", 1)
    if rng.random() < 0.7:
        fields = line.split(b"\t")
        i = rng.randrange(len(fields))
        fields[i] = rng.choice((with_another_value, mutated))(fields[i], rng)
        line = b"\t".join(fields)
    else:
        code = mutated(code, rng)
    body = head + line + b"\n" + code
    return data[:4] + struct.pack("<I", zlib.crc32(body)) + body


@target(40)
def checkpoint(rng: Random, given: Path, here: Path) -> list[str]:
    run = rng.choice(("images", "table", "text"))
    if rng.random() < 0.3:
        copy = here / run
        shutil.copytree(given / run, copy)
        put(
            rng,
            given / run / "checkpoints" / "last.ckpt",
            copy / "checkpoints",
            rng.choice((mutated, with_other_content)),
        )
        return ["--resume", str(copy), "trainer.max_epochs=2"]
    file = put(rng, given / run / "checkpoints" / "last.ckpt", here, rng.choice((mutated, with_other_content)))
    return read_by_any_command(rng, file, here)


@target(40)
def exported(rng: Random, given: Path, here: Path) -> list[str]:
    """Weights alone; half of the damage is in their header."""
    source = given / f"exported-{rng.choice(('images', 'table', 'text'))}" / "model.safetensors"
    return read_by_any_command(rng, put(rng, source, here, rng.choice((mutated, with_another_header))), here)


def with_another_header(data: bytes, rng: Random) -> bytes:
    """Damage the header of weights, whose length is right again."""
    end = 8 + struct.unpack("<Q", data[:8])[0]
    header = rng.choice((mutated, with_another_value))(data[8:end], rng)
    return struct.pack("<Q", len(header)) + header + data[end:]


def read_by_any_command(rng: Random, file: Path, here: Path) -> list[str]:
    command = rng.choice(
        (["sample", "--n", "1", "--out", str(here / "out")], ["score", "--out", str(here / "scores.csv")])
    )
    return [command[0], str(file), *command[1:]]


def with_other_content(data: bytes, rng: Random) -> bytes:
    """Change one value within a checkpoint, which is whole."""
    import torch

    content = torch.load(io.BytesIO(data), weights_only=True)
    place: Any = content if rng.random() < 0.3 else content["ar_lightning"]
    while isinstance(place, (dict, list)) and place:
        key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
        if isinstance(place[key], (dict, list)) and place[key] and rng.random() < 0.85:
            place = place[key]
            continue
        if rng.random() < 0.2 and isinstance(place, dict):
            del place[key]
        else:
            place[key] = rng.choice((None, 0, -1, 2**40, 1e39, float("nan"), "", "x", [], {}, [1, 2], torch.zeros(3)))
        break
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


@target(35)
def run_files(rng: Random, given: Path, here: Path) -> list[str]:
    """The files beside a checkpoint, read by compare and by resume."""
    copy = here / "images"
    shutil.copytree(given / "images", copy)
    name = rng.choice(("metrics.csv", "metrics.csv", "result.json", "config.yaml", "test.json"))
    if name == "test.json":
        found = json.loads((copy / "result.json").read_text())
        kept = {key: found[key] for key in ("data", "regime", "model")}
        test = {
            **kept,
            "split": "test",
            "examples": found["test_examples"],
            "nll": found["test/nll"],
            "nll_stderr": 0.1,
        }
        (copy / name).write_text(json.dumps(test))
    put(rng, copy / name, copy)
    if name in ("metrics.csv", "config.yaml") and rng.random() < 0.5:
        return ["--resume", str(copy), "trainer.max_epochs=2"]
    return ["compare", str(copy), str(given / "images"), "--out", str(here / "comparison")]


def in_a_line(data: bytes, rng: Random) -> bytes:
    """Change one value in one line, often the first: the rest is whole."""
    lines = data.splitlines(keepends=True)
    i = rng.choice((0, 1, 2, rng.randrange(len(lines))))
    lines[i] = with_another_value(lines[i].rstrip(b"\n"), rng) + b"\n"
    return b"".join(lines)


@target(25)
def journal(rng: Random, given: Path, here: Path) -> list[str]:
    folder = here / "sweep"
    shutil.copytree(RELEASED / "sweep", folder)
    put(
        rng, folder / rng.choice(("journal.log", "journal.log", "sweep.yaml")), folder, rng.choice((mutated, in_a_line))
    )
    return ["sweep-report", str(folder)]
