"""The codec: every density over levels is a code of its own length in bits, which gives back what went in."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ar_lightning import load
from ar_lightning.density.density import Density
from ar_lightning.density.tables import level_probs
from ar_lightning.inference.codec import codec, coding
from ar_lightning.inference.codec.codec import check_codable, decode, encode
from ar_lightning.inference.codec.file import Compressed, compress, decompress
from ar_lightning.nn.kernels.elu import concat_elu
from ar_lightning.nn.rounding import FORM, form, rounding_of
from tests.support.cases import CASES, REAL_CASES, Case, every_value, random_values
from tests.support.commands import QUICK, run_apart, run_here

TEXT = "do re mi fa sol la ti do\n"
QUICK_CASES = [c for c in CASES if c.model != "pixelcnnpp" or (c.spec.shape[0] == 3 and not c.conditional)]
# Each model with each likelihood, and each model with labels or with several members.
CODED = {(c.model, "" if set(c.options) - {"order"} else c.likelihood, *c.options): c for c in QUICK_CASES}
BY_LIKELIHOOD = {(c.likelihood, c.spec.shape[0]): c for c in QUICK_CASES}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two steps: each kind of likelihood, grey and colour, with and without labels, text, and no code."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    (folder / "song.txt").write_text(TEXT * 60)
    np.savez(folder / "colours.npz", train=rng.integers(0, 256, (60, 4, 4, 3), np.uint8))
    text = [f"data.path={folder / 'song.txt'}", "data.length=16"]
    options = {
        "nade": ["model=nade", "model.hidden=8"],
        "pixelcnn": ["model=pixelcnn", "model.hidden=8", "model.layers=2", "model.head=8"],
        "binary": ["model=nade", "model.hidden=8", "data=digits", "data.levels=2"],
        "colour": ["model=pixelcnnpp", "model.filters=6", "model.resnets=1", "model.downsamplings=2", "data=npz",
                   f"data.path={folder / 'colours.npz'}"],
        "labels": ["model=nade", "model.hidden=8", "model.conditional=true"],
        "members": ["model=made", "model.hidden=16", "model.masks=3", "model.vary_order=true"],
        "text": ["model=rnn", "model.hidden=8", "data=text", *text],
        "bytes": ["model=rnn", "model.hidden=8", "data=text", "data.unit=bytes", *text],
        "real": ["model=rnade", "model.hidden=8", "data=wine"],
        "noisy": ["model=nade", "model.hidden=8", "data.dequantise=true"],
        "melody": ["model=wavenet", "model.channels=4", "model.layers=3", "model.stacks=1", "data=tones",
                   "data.melody=true", "model.local=true"],
    }  # fmt: skip
    for name, given in options.items():
        assert run_here(*given, *QUICK, "data.batch_size=10", f"run_dir={folder / name}") == 0
    return folder


@pytest.fixture(autouse=True)
def a_setting_to_keep() -> Iterator[None]:
    """Coding leaves no trace in PyTorch's settings."""
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2 and not torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)


def bound(density: Density, x: Tensor, labels: Tensor | None = None) -> float:
    """Return 1 % more than the bytes of -log p(x), and of the labels and members that have to be told."""
    with torch.no_grad():
        nats = -float(density.log_prob(x, labels).double().sum())
    side = len(x) * (math.log(density.model.members) + (0.0 if labels is None else math.log(density.model.classes)))
    return 1.01 * (nats + side) / math.log(2) / 8


@pytest.mark.parametrize("case", CODED.values(), ids=str)
def test_every_density_is_a_code_of_its_own_length(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_size", lambda *args: 20)
    density, n = case.build(torch.float32), 50  # two batches and a half
    x, labels = random_values(case.spec, n), case.labels(n)
    data = encode(density, x, labels)
    assert len(data) <= bound(density, x, labels) + 8
    back = decode(density, data, n)
    assert torch.equal(back.x, x)
    assert back.labels is None if labels is None else torch.equal(back.labels, labels)  # type: ignore[arg-type]
    assert not any(t.is_inference() for t in back if t is not None), "a training may read them"


@pytest.mark.parametrize("case", BY_LIKELIHOOD.values(), ids=str)
def test_tables_of_probabilities_are_those_of_the_score(case: Case) -> None:
    density, spec = case.build(), case.spec
    likelihood = density.likelihood
    channels = spec.shape[0] if likelihood.joint else 1
    x = every_value(spec)[:50].view(-1, spec.shape[0], spec.dims // spec.shape[0])[:, :channels, :1]
    params = torch.randn(len(x), likelihood.params, dtype=torch.float64)
    expected = likelihood.log_prob(params[..., None], x).exp()
    for c in range(channels):
        table = level_probs(density, params, x[:, :c, 0] if c else None)
        assert torch.allclose(table.sum(1), torch.ones(len(x), dtype=torch.float64))
        assert torch.allclose(table.gather(1, x[:, c]), expected[:, c])


def test_a_mixture_is_coded_under_the_member_that_suits_each_example() -> None:
    """Nothing else keeps the promise of `log K` nats more, where the members differ much."""
    density = next(c for c in CASES if c.model == "made" and c.options.get("masks", 1) > 1).build()
    with torch.no_grad():
        for parameter in density.parameters():
            parameter *= 4  # the members of the case differ too little
    x = density.sample(100, generator=torch.Generator().manual_seed(0))
    scores = torch.stack([density.terms(x, None, k).flatten(1).sum(1) for k in range(density.model.members)])
    allowed = 64 - density.log_prob(x).sum() / math.log(2) + len(x) * math.log2(density.model.members)  # bits
    assert -scores.amin(0).sum() / math.log(2) > allowed, "the worst members take too many"
    assert 8 * len(encode(density, x)) <= allowed


def test_padding_takes_no_bits() -> None:
    case = next(c for c in CASES if c.model == "rnn" and not c.conditional)
    density, x = case.build(torch.float32), random_values(case.spec, 200)
    length = case.spec.dims - 1
    x.flatten()[length:] = 0
    data = encode(density, x, length=length)
    assert len(data) <= 8 and torch.equal(decode(density, data, 200, length).x, x)


@pytest.mark.parametrize("case", REAL_CASES[:1], ids=str)
def test_real_values_are_no_code(case: Case) -> None:
    with pytest.raises(ValueError, match="infinitely many bits"):
        check_codable(case.build())


def test_a_density_that_diverged_is_no_code() -> None:
    density = CASES[0].build()
    for p in density.parameters():
        p.data.fill_(math.nan)
    with pytest.raises(ValueError, match="diverged"):
        encode(density, random_values(density.spec, 3), CASES[0].labels(3))


def fits(outcome: Compressed, density: Density) -> bool:
    """Whether the file is as small as the density promised."""
    nats = outcome.nats + outcome.label_nats + outcome.examples * math.log(density.model.members)
    return outcome.path.stat().st_size == outcome.size <= 1.01 * nats / math.log(2) / 8 + 64


@pytest.mark.parametrize("run", ["nade", "pixelcnn", "binary", "colour", "labels", "members", "text"])
def test_test_examples_come_back_and_take_what_the_test_said(run: str, runs: Path) -> None:
    outcome, density = compress(str(runs / run), "data:test"), load(runs / run)
    assert fits(outcome, density)
    path = decompress(str(runs / run), str(outcome.path))
    with np.load(path) as arrays:
        assert arrays["test"].dtype == np.uint8 and ("test_labels" in arrays) == density.conditional
        x = torch.from_numpy(arrays["test"].astype(np.int64)).view(-1, *density.spec.shape)
        labels = torch.from_numpy(arrays["test_labels"]) if density.conditional else None
    with torch.no_grad():
        assert -float(density.log_prob(x, labels).double().sum()) == pytest.approx(outcome.nats, rel=1e-6)


@pytest.mark.parametrize("run", ["colour"])
def test_a_process_of_its_own_decodes(run: str, runs: Path) -> None:
    packed = runs / "apart.arl"
    outcome = compress(str(runs / run), "data:test[:5]", str(packed))
    assert outcome.examples == 5 and fits(outcome, load(runs / run))
    run_apart("decompress", str(runs / run), str(packed), "--out", str(runs / "apart.npz"))
    assert decompress(str(runs / run), str(packed), str(runs / "here.npz")).is_file()
    with np.load(runs / "apart.npz") as apart, np.load(runs / "here.npz") as here:
        assert apart["test"].shape[0] == 5 and (apart["test"] == here["test"]).all()


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("u1", (7, 8, 8)), ("<i8", (7, 8, 8)), (">i2", (7, 1, 8, 8)), ("<f8", (7, 8, 8, 1)), ("<f2", (7, 8, 8)),
    ],
    ids=str,
)  # fmt: skip
def test_arrays_come_back_bit_for_bit(kind: str, shape: tuple[int, ...], runs: Path, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 17, shape).astype(kind)
    np.savez(tmp_path / "a.npz", **{"my\tname": array})  # type: ignore[arg-type]
    outcome = compress(str(runs / "nade"), str(tmp_path / "a.npz"))
    assert outcome.path == tmp_path / "a.npz.arl"
    path = decompress(str(runs / "nade"), str(outcome.path))
    assert path == tmp_path / "a-decoded.npz"
    with np.load(path) as arrays:
        back = arrays["my\tname"]
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, shape, array.tobytes())


def test_colours_last_come_back_as_they_were(runs: Path, tmp_path: Path) -> None:
    array = np.random.default_rng(1).integers(0, 256, (3, 4, 4, 3), np.uint8)
    np.savez(tmp_path / "a.npz", test=array, other=array)
    path = decompress(str(runs / "colour"), str(compress(str(runs / "colour"), str(tmp_path / "a.npz")).path))
    with np.load(path) as arrays:
        assert np.array_equal(arrays["test"], array)


@pytest.mark.parametrize(("run", "mode"), [("nade", "L"), ("nade", "RGB"), ("binary", "1"), ("colour", "RGB")])
def test_pictures_come_back(run: str, mode: str, runs: Path, tmp_path: Path) -> None:
    levels, size = {"nade": (17, 8), "binary": (2, 8), "colour": (256, 4)}[run]
    grey = np.random.default_rng(2).integers(0, levels, (size, size, 3 if run == "colour" else 1))
    picture = Image.fromarray(np.broadcast_to((grey * 255 / (levels - 1)).round().astype(np.uint8), (size, size, 3)))
    picture.convert(mode).save(tmp_path / "p.png")
    outcome = compress(str(runs / run), str(tmp_path / "p.png"))
    assert fits(outcome, load(runs / run))
    with Image.open(decompress(str(runs / run), str(outcome.path))) as back:
        assert np.array_equal(np.asarray(back.convert("RGB")), np.asarray(picture))


@pytest.mark.parametrize(
    ("run", "text"), [("text", TEXT * 3 + "fa"), ("text", "d"), ("bytes", "ré\r\n"), ("bytes", b"\xff\x00")]
)
def test_texts_of_any_length_come_back(run: str, text: str | bytes, runs: Path, tmp_path: Path) -> None:
    content = text.encode() if isinstance(text, str) else text
    (tmp_path / "t.txt").write_bytes(content)
    outcome = compress(str(runs / run), str(tmp_path / "t.txt"))
    assert fits(outcome, load(runs / run))
    assert decompress(str(runs / run), str(outcome.path)).read_bytes() == content


def test_another_rounding_is_noticed(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = str(tmp_path / "t.arl")
    assert run_here("compress", str(runs / "nade"), "data:test[:20]", "--out", packed) == 0
    exact = coding.level_probs
    monkeypatch.setattr(coding, "level_probs", lambda *args: exact(*args) + 1e-3)
    before = sorted(tmp_path.iterdir())
    assert run_here("decompress", str(runs / "nade"), packed) == 2
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("command", "run", "file", "message"),
    [
        ("compress", "real", "data:test", "infinitely many bits"),
        ("compress", "noisy", "data:test", "without data.dequantise"),
        ("compress", "melody", "data:test", "features"),
        ("compress", "nade", "data:tests", "data:test"),
        ("compress", "nade", "data:test[:0]", "data:test"),
        ("compress", "nade", "good.npy", "did you mean 'good.npz'"),
        ("compress", "nade", "wrong.npz", "9)"),
        ("compress", "nade", "high.npz", "0..16"),
        ("compress", "nade", "halves.npz", "whole numbers"),
        ("compress", "nade", "nan.npz", "whole numbers"),
        ("compress", "nade", "minus.npz", "-0"),
        ("compress", "nade", "two.npz", "no array 'test'"),
        ("compress", "nade", "song.txt", "cannot be read as"),
        ("compress", "labels", "good.npz", "good_labels"),
        ("compress", "labels", "odd.npz", "0..9"),
        ("compress", "nade", "large.png", "9 x 9 pixels"),
        ("compress", "nade", "fine.png", "255 k / 16"),
        ("compress", "nade", "clear.png", "mode RGBA"),
        ("compress", "nade", "red.png", "in colour"),
        ("compress", "nade", "fake.png", "not an image"),
        ("compress", "text", "strange.txt", "'é'"),
        ("compress", "text", "empty.txt", "empty"),
        ("compress", "nada", "good.npz", "did you mean 'nade'"),
        ("decompress", "pixelcnn", "good.arl", "another density"),
        ("decompress", "binary", "good.arl", "another density"),
        ("decompress", "nade", "cut.arl", "truncated"),
        ("decompress", "nade", "flipped.arl", "damaged"),
        ("decompress", "nade", "short.arl", "not a file that"),
        ("decompress", "nade", "good.npz", "not a file that"),
        ("decompress", "nade", "newer.arl", f"version {FORM + 1}"),
        ("decompress", "nade", "god.arl", "cannot be read (No such file or directory); did you mean 'good.arl'?"),
        ("decompress", "nade", ".", "cannot be read (Is a directory)"),
        ("compress", "nade", ".", "is a folder"),
        ("decompress", "nade", "", "the following arguments"),
    ],
)
def test_what_cannot_be_coded_is_one_line(
    command: str, run: str, file: str, message: str, runs: Path, bad: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted((*runs.rglob("*"), *bad.rglob("*")))
    where = file if file.startswith("data:") else str(bad / file)
    assert run_here(command, str(runs / run), *([where] if file else [])) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and error.startswith("error: ")
    assert sorted((*runs.rglob("*"), *bad.rglob("*"))) == before


@pytest.fixture(scope="module")
def bad(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that a density cannot take, and a good one."""
    folder, good = tmp_path_factory.mktemp("bad"), np.zeros((3, 8, 8), np.uint8)
    arrays = {
        "good": {"good": good},
        "wrong": {"test": np.zeros((3, 9), np.uint8)},
        "high": {"test": good + 17},
        "halves": {"test": good + 0.5},
        "nan": {"test": good + math.nan},
        "minus": {"test": good * -0.0},
        "two": {"a": good, "b": good},
        "odd": {"test": good, "test_labels": np.full(3, 10)},
    }
    for name, content in arrays.items():
        np.savez(folder / f"{name}.npz", **content)  # type: ignore[arg-type]
    Image.new("L", (9, 9)).save(folder / "large.png")
    Image.new("L", (8, 8), 3).save(folder / "fine.png")
    Image.new("RGBA", (8, 8)).save(folder / "clear.png")
    Image.new("RGB", (8, 8), (255, 0, 0)).save(folder / "red.png")
    for name, text in {"fake.png": "x", "song.txt": TEXT, "strange.txt": "do ré", "empty.txt": ""}.items():
        (folder / name).write_text(text, encoding="utf-8")
    packed = compress(str(runs / "nade"), str(folder / "good.npz"), str(folder / "good.arl")).path.read_bytes()
    (folder / "cut.arl").write_bytes(packed[:-3])
    (folder / "flipped.arl").write_bytes(packed[:-3] + bytes([packed[-3] ^ 1]) + packed[-2:])
    (folder / "short.arl").write_bytes(packed[:9])
    (folder / "newer.arl").write_bytes(packed[:3] + bytes([FORM + 1]) + packed[4:])
    return folder


@pytest.mark.parametrize("case", [c for c in QUICK_CASES if c.model in ("diagonal_bilstm", "pixelcnnpp")], ids=str)
def test_the_arithmetic_of_each_form_is_of_the_same_density(case: Case) -> None:
    density = case.build()
    samples = []
    for older in range(1, FORM + 1):
        with rounding_of(older):
            samples.append(density.sample(16, case.labels(16), generator=torch.Generator().manual_seed(0)))
    assert all(torch.equal(s, samples[0]) for s in samples)


def test_codes_of_form_1_round_as_version_0_2_did() -> None:
    x = torch.tensor([[0.1, -3.0]])
    sums = torch.tensor([[0.1, 0.0]]) + torch.tensor([[0.0, -3.0]]).exp() - 1
    with rounding_of(1):
        assert torch.equal(concat_elu(x)[:, :2], sums)
    assert concat_elu(x)[0, 0] == x[0, 0] != sums[0, 0]


@pytest.mark.parametrize("older", range(1, FORM + 1))
def test_a_code_is_read_by_the_arithmetic_of_its_form(older: int, monkeypatch: pytest.MonkeyPatch) -> None:
    case = next(c for c in QUICK_CASES if c.model == "diagonal_bilstm")
    density, x = case.build(), random_values(case.spec, 3)
    code, seen = encode(density, x, case.labels(3)), set()
    pixel = density.model.pixel
    monkeypatch.setattr(density.model, "pixel", lambda *args: seen.add(form()) or pixel(*args))
    assert torch.equal(decode(density, code, 3, form=older).x, x)  # in float64 all forms round alike
    assert seen == {older}
    assert form() == FORM
