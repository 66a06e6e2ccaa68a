"""Recurrent networks: what starts them, and reading a long stream as one, window after window."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ar_lightning.config.build import build_density
from ar_lightning.config.resolve import load_config
from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.data.samplers import LaneSampler
from ar_lightning.data.user.text import TextFile
from ar_lightning.density.density import Density
from ar_lightning.density.stream import Memory, carried
from ar_lightning.nn.recurrent import Recurrent
from ar_lightning.nn.streaming import streaming
from ar_lightning.training.checkpoints import load
from ar_lightning.training.lit import LitDensity
from tests.support.cases import seeded
from tests.support.commands import QUICK, ROOT, result, run_apart, run_here

CELLS = ("rnn", "gru", "lstm")
TEXT = "".join(chr(97 + int(i)) for i in torch.randint(7, (1500,), generator=seeded(4)))


def built(length: int, seed: int = 0, levels: int = 7, **options: Any) -> Density:
    """A density whose weights are the same for every length."""
    torch.manual_seed(seed)
    model = {"name": "rnn", "hidden": 12, "layers": 2, "embedding": 5, **options}
    density = build_density({"model": model, "likelihood": {"name": "auto"}}, DataSpec((1, length), levels))
    for p in density.parameters():
        p.data += 0.3 * torch.randn_like(p)
    return density.double()


def read_in_windows(density: Density, x: Tensor, memory: Memory, window: int) -> Tensor:
    """Return log p of `x` (B, 1, T), the state carried from window to window."""
    total = torch.zeros(len(x), dtype=torch.float64)
    for part in x.split(window, -1):
        with carried(density.model, memory, len(x)):
            total = total + density.log_prob(part)
    return total


def test_an_lstm_starts_with_open_forget_gates_and_orthogonal_states() -> None:
    layers = Recurrent("lstm", 5, 4, 2).layers
    for k in (0, 1):
        bias = getattr(layers, f"bias_ih_l{k}") + getattr(layers, f"bias_hh_l{k}")
        assert bias.tolist() == [0] * 4 + [1] * 4 + [0] * 8
        for gate in getattr(layers, f"weight_hh_l{k}").split(4):
            assert torch.allclose(gate @ gate.T, torch.eye(4), atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("position", [False, True])
@torch.no_grad()
def test_streaming_reads_several_tokens_at_a_time_too(cell: str, position: bool) -> None:
    model = built(12, cell=cell, position=position).eval().model
    past = torch.randint(8, (3, 12, 1), generator=seeded()).double()
    for steps in (1, 5, 12):
        with streaming(model):
            parts = [model.scan(part) for part in past.split(steps, 1)]
        assert torch.allclose(torch.cat(parts, 1), model.scan(past), atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
@torch.no_grad()
def test_windows_of_a_stream_score_as_the_whole(cell: str) -> None:
    window, whole = (built(length, cell=cell).eval() for length in (10, 40))
    x = torch.randint(7, (3, 1, 40), generator=seeded())
    expected = whole.log_prob(x)
    assert torch.allclose(read_in_windows(window, x, {}, 10), expected, atol=1e-10)
    assert (read_in_windows(window, x[..., :10], {}, 10) - window.log_prob(x[..., :10])).abs().max() == 0
    memory: Memory = {}
    read_in_windows(window, x[..., :20], memory, 10)
    shrunk = read_in_windows(window, x[:2, :, 20:], memory, 10)  # the last lane has ended
    first = built(20, cell=cell).eval().log_prob(x[:2, :, :20])
    assert torch.allclose(shrunk, expected[:2] - first, atol=1e-10)


@torch.no_grad()
def test_dequantised_and_coloured_windows_are_carried_on_too() -> None:
    for levels, shape in ((None, (1, 6)), (3, (2, 6))):
        long = (shape[0], 12)
        densities = []
        for s in (shape, long):
            torch.manual_seed(0)
            config = {"model": {"name": "rnn", "hidden": 8}, "likelihood": {"name": "auto"}}
            densities.append(build_density(config, DataSpec(s, levels)).double().eval())
        x = torch.randn(4, *long).double() if levels is None else torch.randint(3, (4, *long))
        assert torch.allclose(read_in_windows(densities[0], x, {}, 6), densities[1].log_prob(x), atol=1e-10)


def test_the_gradient_ends_at_the_start_of_a_window_and_the_model_forgets_outside() -> None:
    density, memory = built(10), {}
    x = torch.randint(7, (3, 1, 20), generator=seeded())
    read_in_windows(density, x[..., :10], memory, 10)
    assert all(not t.requires_grad for past in memory.values() for ts in past.values() for t in ts)
    read_in_windows(density, x[..., 10:], memory, 10).sum().backward()  # would fail where the graph reached back
    assert density.model.before is None and density.model.recurrent.past is None
    with pytest.raises(ZeroDivisionError), carried(density.model, memory, 3):
        raise ZeroDivisionError
    assert density.model.before is None and density.model.recurrent.past is None


@pytest.mark.parametrize(
    ("size", "lanes", "world"),
    [(size, lanes, w) for size, lanes in [(12, 4), (13, 4), (31, 5), (3, 3), (7, 1)] for w in (1, 2, 3) if w <= lanes],
)
def test_lanes_are_parts_of_the_stream_that_are_read_side_by_side(size: int, lanes: int, world: int) -> None:
    together = list(LaneSampler(size, lanes))
    assert [len(batch) for batch in together] == [lanes] * (size // lanes) + [size % lanes] * (size % lanes > 0)
    for before, after in pairwise(together):
        assert after == [i + 1 for i in before[: len(after)]]
    assert sorted(i for batch in together for i in batch) == list(range(size))
    shares = [list(LaneSampler(size, lanes, rank, world)) for rank in range(world)]
    for t, batch in enumerate(together):
        assert sorted(i for share in shares for i in (share[t] if t < len(share) else [])) == sorted(batch)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text(TEXT)
    return path


def test_batches_of_a_stream_follow_each_other(book: Path) -> None:
    data = ArrayDataModule(TextFile(path=str(book), length=10), batch_size=16, eval_batch_size=4, stream=True)
    train = [x for x, _ in data.train_dataloader()]
    assert [len(x) for x in train] == [16] * 7  # 120 windows: 8 do not fill 16 lanes
    lanes = torch.cat(train, 2)[:, 0].flatten()
    assert torch.equal(lanes, data.split("train")[0][:112].flatten())
    assert [len(x) for x, _ in data.test_dataloader()] == [4, 4, 4, 3]
    assert "in 4 lanes" in data.regime


def test_what_is_reported_is_the_score_of_the_whole_lanes(book: Path, tmp_path: Path) -> None:
    """Validation, test and the training loss at a learning rate of almost zero, counted by hand."""
    run = tmp_path / "run"
    options = [
        "model=rnn", "model.hidden=8", "model.embedding=4", "data=text", f"data.path={book}", "data.length=10",
        "data.batch_size=16", "data.eval_batch_size=4", "data.stream=true", "optimizer=sgd", "optimizer.lr=1e-12",
        "trainer.max_epochs=2", "tracking.mode=disabled", "samples.n=2", "trainer.accelerator=cpu", "trainer.devices=1",
    ]  # fmt: skip
    assert run_here(*options, f"run_dir={run}") == 0
    data = TextFile(path=str(book), length=10)
    for split, key in (("valid", "val/nll"), ("test", "test/nll")):
        windows = torch.from_numpy(data.load()[split].x).long()
        lanes = [part.view(1, 1, -1) for part in windows.split([4, 4, 4, 3])]
        nats = -sum(load(run, length=lane.shape[-1]).log_prob(lane).item() for lane in lanes)
        assert result(run)[key] == pytest.approx(nats / len(windows), rel=1e-5)
    first = torch.from_numpy(data.load()["train"].x[:112]).long().view(16, 1, 70)
    rows = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    trained = [float(row[rows[0].index("train/nll")]) for row in rows[1:] if row[rows[0].index("train/nll")]]
    expected = -load(run, length=70).log_prob(first).mean().item() / 7
    assert trained == [pytest.approx(expected, rel=1e-4)] * 2  # both epochs start without a past


STREAM = [
    "model=rnn", "model.hidden=8", "model.embedding=4", "model.layers=2", "data=text", "data.length=10",
    "data.batch_size=6", "data.eval_batch_size=5", "data.stream=true", "optimizer=sgd", "optimizer.lr=0.01",
    "trainer.max_epochs=3", "tracking.mode=disabled", "samples.n=3", "trainer.accelerator=cpu",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.ddp
def test_a_stream_on_two_processes_equals_one(book: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert run_here(*STREAM, f"data.path={book}", "trainer.devices=1", f"run_dir={one}") == 0
    run_apart(*STREAM, f"data.path={book}", "trainer.devices=2", "trainer.strategy=ddp", f"run_dir={two}")
    assert result(two)["world_size"] == 2
    for key in ("test/nll", "val/nll"):
        assert result(two)[key] == pytest.approx(result(one)[key], rel=1e-6)


def test_validating_and_resuming_do_not_change_a_stream(book: Path, tmp_path: Path) -> None:
    base = [*STREAM, f"data.path={book}", "trainer.devices=1", "model.dropout=0.2", "trainer.ema=0.9"]
    assert run_here(*base, f"run_dir={tmp_path / 'often'}") == 0
    assert run_here(*base, "trainer.val_every=3", f"run_dir={tmp_path / 'once'}") == 0
    assert run_here(*base, "trainer.max_epochs=2", f"run_dir={tmp_path / 'cut'}") == 0
    assert run_here("--resume", str(tmp_path / "cut"), "trainer.max_epochs=3") == 0
    states = [
        torch.load(tmp_path / d / "checkpoints" / "last.ckpt", weights_only=True)["current_model_state"]
        for d in ("often", "once", "cut")
    ]
    assert all(torch.equal(states[0][k], other[k]) for other in states[1:] for k in other if "metrics" not in k)


@pytest.mark.parametrize("how", ["compiled", "bf16-mixed", "64-true"])
def test_a_stream_can_be_compiled_and_of_any_precision(
    how: str, book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: original(self, backend="aot_eager"))
    option = "trainer.compile=true" if how == "compiled" else f"trainer.precision={how}"
    base = [*STREAM, f"data.path={book}", "trainer.devices=1", "trainer.max_epochs=1"]
    assert run_here(*base, f"run_dir={tmp_path / 'plain'}") == 0
    assert run_here(*base, option, f"run_dir={tmp_path / 'other'}") == 0
    tolerance = 2e-3 if how == "bf16-mixed" else 1e-5
    assert result(tmp_path / "other")["test/nll"] == pytest.approx(
        result(tmp_path / "plain")["test/nll"], rel=tolerance
    )


def test_a_stage_of_its_own_memory() -> None:
    config = load_config(None, ["model=rnn", "model.hidden=4", "data=text", "data.stream=true"])
    lit = LitDensity(build_density(config, DataSpec((1, 10), 7)), config).eval()
    x = torch.randint(7, (2, 1, 10), generator=seeded())
    with torch.no_grad():
        for stage in ("train", "val"):
            with lit._reading(stage, x, index=1):
                lit.density.log_prob(x)
    assert lit.memories["train"] and lit.memories["val"] and not lit.memories["test"]
    with lit._reading("val", x, index=0):
        assert lit.memories["train"] and not lit.memories["val"].get("before"), "an epoch begins"


REFUSED = {
    "images": ([], "data=digits", "do not follow each other"),
    "another model": (["model=nade"], "data=text", "choose rnn"),
    "random order": (["model.order=random"], "data=text", "model.order=random; set it to raster"),
    "positions": (["model.position=true"], "data=text", "model.position=true; set it to false"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_stream_is_refused_in_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    options, data, expected = REFUSED[case]
    assert run_here("model=rnn", *options, data, "data.stream=true", *QUICK) == 2
    message = capsys.readouterr().err
    assert expected in message and "data.stream" in message and message.count("\n") == 1


def test_too_few_windows_for_the_lanes_are_refused(book: Path) -> None:
    data = ArrayDataModule(TextFile(path=str(book), length=10), batch_size=512, stream=True)
    with pytest.raises(UserError, match="120 train windows do not fill 512 lanes"):
        data.train_dataloader()


def test_a_network_without_positions_reads_any_length(tmp_path: Path) -> None:
    run = tmp_path / "run"
    text = ["model=rnn", "model.hidden=8", "data=text", "data.length=20", *QUICK]
    assert run_here(*text, f"run_dir={run}") == 0
    density = load(run, length=33)
    x = density.sample(2, generator=seeded())
    assert x.shape == (2, 1, 33) and math.isfinite(density.log_prob(x).sum().item())
    assert run_here(*text, "model.position=true", f"run_dir={tmp_path / 'fixed'}") == 0
    with pytest.raises(UserError, match="weights for every site"):
        load(tmp_path / "fixed", length=33)


def test_the_configs_of_text_are_streams() -> None:
    for name in ("char_rnn", "char_rnn_shakespeare"):
        config = load_config(ROOT / "conf" / f"{name}.yaml")
        assert config["data"]["stream"] and config["model"]["name"] == "rnn"
