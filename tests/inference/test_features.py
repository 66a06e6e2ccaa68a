"""`run.py features`: representations that are the hidden units, see no label, and probes that tell more from less."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from ar_lightning.config.registry import MODELS
from ar_lightning.core.condition import Condition
from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from ar_lightning.inference.features.embedding import embed, embedding_png
from ar_lightning.inference.features.features import POOLS, features, read_examples, representations
from ar_lightning.inference.features.hidden import layer_of, layer_outputs, layers
from ar_lightning.inference.features.probe import Represented, compare_probes
from ar_lightning.inference.open import open_run
from ar_lightning.models.orders import token_order
from ar_lightning.models.pixelcnnpp import elu
from tests.support.cases import CLASSES, EVERY_CASE, POSSIBLE, Case, random_values
from tests.support.commands import QUICK, run_here

N = 6
SMALLER = {"table": (1, 2, 3), "independent": (1, 2)}


def case_of(model: str, conditional: bool = False) -> Case:
    """One case of a model, on a grey image of 30 pixels where it takes that."""
    cases = [c for c in POSSIBLE if c.model == model and c.conditional == conditional and c.members == 1]
    case = next(c for c in cases if c.spec.levels == 2 and c.spec.shape[0] == 1)
    return case.on(DataSpec(SMALLER.get(model, (1, 5, 6)), 2, CLASSES))


READING = [model for model in MODELS if model != "independent"]
NAMED = [pytest.param(case_of(model, c), id=f"{model}{'-conditional' * c}") for model in READING for c in (False, True)]
COLOURFUL = {
    case.model: pytest.param(case.on(DataSpec((3, 5, 6), case.spec.levels, CLASSES)), id=f"{case.model}-colours")
    for case in EVERY_CASE
    if case.spec.shape[0] == 3 and not case.conditional and case.members == 1 and case.model not in SMALLER
}


@pytest.mark.parametrize("case", [*NAMED, *COLOURFUL.values()])
def test_every_layer_represents_each_example_by_itself(case: Case) -> None:
    density, x = case.build(), random_values(case.spec, N)
    found = layers(density)
    for name in {next(iter(found)), list(found)[len(found) // 2], layer_of(density).name}:
        layer, of_all = found[name], {}
        for pool in POOLS:
            features = of_all[pool] = representations(density, x, None, layer, pool)
            assert features.shape == (N, layer.features * (layer.sites if pool == "none" else 1))
            assert features.isfinite().all()
        assert torch.equal(representations(density, x, None, layer, "none"), of_all["none"])
        torch.testing.assert_close(representations(density, x, None, layer, "none", batch=4), of_all["none"])
        assert len(of_all["none"].unique(dim=0)) > 1
        sites = of_all["none"].view(N, layer.sites, -1)
        torch.testing.assert_close(sites.mean(1), of_all["mean"])
        torch.testing.assert_close(sites[:, -1], of_all["last"])
        if not case.conditional:  # the mean over classes of maxima is not the maximum of means
            assert torch.equal(sites.amax(1), of_all["max"])


@pytest.mark.parametrize("case", NAMED)
def test_the_last_site_has_read_all_but_the_last_value(case: Case) -> None:
    if case.model in ("markov", "pixelcnn", "row_lstm", "wavenet"):  # these see a part of the past, or less of it
        return
    density, x = case.build(), random_values(case.spec, N)
    order = density.model.order
    for place, read in ((0, True), (-1, False)):
        other = x.flatten(1).clone()
        other[:, order[place]] = 1 - other[:, order[place]]
        before, after = (representations(density, v, pool="last") for v in (x, other.view_as(x)))
        assert torch.equal(before, after) != read


def parameters_of(model: Any, name: str, maps: torch.Tensor) -> torch.Tensor:
    """Return the parameters `(B, tokens, P)`, in the order of the model, that its output layer makes of a layer."""
    order = token_order(model.order, model.shapes)
    if name == "nade" or name == "rnade":
        return torch.einsum("bnh,nph->bnp", maps, model.units.V) + model.units.b
    if name == "deep_nade":
        return torch.einsum("bnh,nhp->bnp", maps, model.V[order]) + model.b[order]
    if name == "made":
        out, degrees = model.units.layers[-1], model.unit_degrees()
        masked = out.weight * (degrees[-2] <= degrees[-1][:, None])
        return (maps[:, 0] @ masked.T + out.bias).unflatten(1, (model.shapes.tokens, -1))[:, order]
    if name == "wavenet":
        return model.out(maps.relu())
    if name in ("rnn", "pixel_transformer", "transformer", "any_order_transformer"):
        return model.out(maps)
    if name in ("table", "markov"):
        return maps
    image = maps.transpose(1, 2).unflatten(2, model.shapes.data[1:])
    params = model.head(elu(image)) if name == "pixelcnnpp" else model.head[-1](image)
    return params.flatten(2).transpose(1, 2)


@pytest.mark.parametrize("model", [m for m in READING if m != "rnn_nade"])  # which reads units within a frame too
def test_by_default_it_is_what_the_output_layer_reads(model: str) -> None:
    case = case_of(model)
    density, x = case.build(), random_values(case.spec, N)
    layer = layer_of(density)
    maps = layer_outputs(density, x, Condition(), layer.name)[layer.name]
    params = density.model(density.encode(x)).flatten(2).transpose(1, 2)
    expected = params[:, token_order(density.model.order, density.model.shapes)]
    torch.testing.assert_close(parameters_of(density.model, model, maps), expected)


@pytest.mark.parametrize("model", ["nade", "made", "gated_pixelcnn", "wavenet", "rnn"])
def test_labels_are_not_looked_at(model: str) -> None:
    case = case_of(model, conditional=True)
    density, x = case.build(), random_values(case.spec, N)
    found = representations(density, x)
    for labels in (torch.zeros(N, dtype=torch.long), torch.arange(N) % CLASSES):
        assert torch.equal(representations(density, x, Condition(labels)), found)
    layer = layer_of(density)
    of_each = [
        layer_outputs(density, x, Condition(torch.full((N,), y)), layer.name)[layer.name] for y in range(CLASSES)
    ]
    assert not torch.equal(of_each[0], of_each[1])
    mean = torch.stack([output.mean(1) for output in of_each]).mean(0)
    torch.testing.assert_close(found, mean)


@pytest.mark.parametrize("model", ["nade", "made", "deep_nade", "pixelcnnpp", "rnn"])
def test_nothing_of_the_reading_stays(model: str) -> None:
    case = case_of(model)
    density, x = case.build(), random_values(case.spec, N)
    before = density.log_prob(x)
    density.train()
    representations(density, x)
    assert density.training and torch.equal(density.eval().log_prob(x), before)
    assert not any(m._forward_hooks or getattr(m, "past", None) for m in density.modules())


def test_a_density_that_reads_nothing_represents_nothing() -> None:
    case = case_of("independent")
    with pytest.raises(UserError, match="no layer that depends on the data"):
        representations(case.build(), random_values(case.spec, N))


def examples(hidden: np.ndarray, raw: np.ndarray, labels: np.ndarray) -> Represented:
    return Represented(hidden.astype(np.float32), raw.astype(np.float32), labels)


def test_a_probe_finds_classes_where_they_are() -> None:
    rng = np.random.default_rng(0)
    labels = [rng.integers(4, size=n) for n in (400, 200, 300)]
    noise, told = ([rng.normal(size=(len(y), 9)) + part * np.eye(9)[y] for y in labels] for part in (0, 3))
    found = compare_probes(*map(examples, told, noise, labels))
    assert found.hidden.accuracy > 0.8 and found.raw.accuracy < 0.4 and "Better: the hidden" in found.verdict
    assert compare_probes(*map(examples, noise, told, labels)).verdict.startswith("Better: the raw values")
    same = compare_probes(*map(examples, told, told, labels))
    assert same.difference == 0 and same.difference_stderr == 0 and "No difference" in same.verdict
    p, n = found.hidden.accuracy, 300
    assert found.hidden.accuracy_stderr == pytest.approx((p * (1 - p) / (n - 1)) ** 0.5)
    assert found.examples == (400, 200, 300) and found.commonest < 0.4
    more = [y + 0.3 * rng.normal(size=y.shape) for y in told]  # as good: within the error
    assert "No difference" in compare_probes(*map(examples, told, more, labels)).verdict


@pytest.mark.parametrize("shape", [(2, 1), (5, 4), (40, 1), (60, 200)])
def test_an_embedding_has_two_dimensions_and_is_always_the_same(shape: tuple[int, int], tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    x[:, 0] += 100 * (np.arange(len(x)) % 2)
    places, _ = embed(x)
    assert places.shape == (len(x), 2) and np.isfinite(places).all()
    np.testing.assert_array_equal(places, embed(x)[0])
    for labels in (None, np.arange(len(x)) % 2, np.arange(len(x))):
        embedding_png({"a": x, "b": x}, labels, tmp_path / "e.png", "test")
        assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")


SMALL_WAVENET = ["model=wavenet", "model.channels=4", "model.layers=3", "model.stacks=1", "data=tones"]
RUNS = {
    "nade": ["model=nade", "model.hidden=8"],
    "half": ["model=row_lstm", "model.hidden=4", "model.layers=1", "trainer.precision=bf16-mixed"],
    "conditional": ["model=gated_pixelcnn", "model.hidden=6", "model.layers=1", "model.conditional=true"],
    "melody": [*SMALL_WAVENET, "model.local=true", "data.melody=true"],
    "table": ["model=rnade", "model.hidden=8", "data=wine", "data.batch_size=7"],
    "stream": ["model=rnn", "model.hidden=8", "data=text", "data.stream=true", "data.batch_size=5"],
    "members": ["model=made", "model.hidden=8", "model.masks=3", "model.vary_order=true"],
    "noisy": ["model=nade", "model.hidden=8", "data.dequantise=true"],
    "independent": ["model=independent"],
}
WIDTHS = {"nade": 8, "half": 32, "conditional": 32, "melody": 128, "table": 8, "stream": 8, "members": 8, "noisy": 8}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "song.txt").write_text("do re mi fa sol la ti do\n" * 60)
    np.savez(folder / "digits.npz", train=load_digits().images[:300].astype(np.uint8))
    for name, given in RUNS.items():
        where = [f"data.path={folder / 'song.txt'}", "data.length=16"] if name == "stream" else []
        few = ["samples.completions=false", f"run_dir={folder / name}"]
        assert run_here(*given, *where, *QUICK, *few) == 0
    return folder


@pytest.mark.parametrize("name", ["conditional", "melody", "table", "stream"])
def test_the_files_hold_every_example(name: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("features", str(runs / name), "--out", str(runs / name / "seen")) == 0
    printed, folder = capsys.readouterr().out, runs / name / "seen"
    is_labelled = name not in ("stream", "melody")
    with np.load(folder / "test.npz") as written:
        examples = open_run(runs / name).data().size("test")
        assert written["features"].shape == (examples, WIDTHS[name]) and np.isfinite(written["features"]).all()
        assert ("labels" in written) == is_labelled
    assert (folder / "embedding.png").exists()
    assert (folder / "probe.json").exists() == is_labelled
    assert ("no probe: the train examples of this data have no labels" in printed) != is_labelled
    assert ("was told the labels" in printed) == (name == "conditional")
    if is_labelled:
        told = json.loads((folder / "probe.json").read_text())
        assert ("Better: " in printed) != ("No difference" in printed) and f"{told['raw']['accuracy']:.4f}" in printed
        assert (told["difference"] + told["raw"]["accuracy"]) == pytest.approx(told["hidden"]["accuracy"])
        assert told["raw"]["features"] == (13 if name == "table" else 64)


def test_raw_values_hold_the_features_that_the_density_reads(runs: Path) -> None:
    opened = open_run(runs / "melody")
    found = read_examples(opened, opened.data(), "test", layer_of(opened.density), "mean")
    x, cond = opened.data().split("test")
    np.testing.assert_array_equal(found.raw, np.concatenate([x.flatten(1), cond.features.flatten(1)], 1))
    expected = representations(opened.density, x, cond)
    np.testing.assert_allclose(found.hidden, expected, rtol=1e-4, atol=1e-5)
    other = Condition(None, cond.features.flip(0))
    assert not torch.allclose(representations(opened.density, x, other), expected)


def test_another_dataset_split_layer_and_pooling(runs: Path, tmp_path: Path) -> None:
    run, path = str(runs / "nade"), f"data.path={runs / 'digits.npz'}"
    found = features(run, "npz", layer="units", pool="none", split="valid", out=str(tmp_path), overrides=[path])
    assert (found.examples, found.features) == (30, 64 * 8) and found.probe is None
    assert sorted(f.name for f in tmp_path.iterdir()) == ["embedding.png", "valid.npz"]


def test_a_number_of_examples_limits_every_split_and_is_said(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here("features", str(runs / "nade"), "--n", "30", "--out", str(tmp_path)) == 0
    told = capsys.readouterr()
    assert "test: 30 of 180 examples, spread evenly; --n takes more" in told.err
    assert json.loads((tmp_path / "probe.json").read_text())["examples"] == [30, 30, 30]
    with np.load(tmp_path / "test.npz") as written:
        assert len(written["features"]) == 30


def test_layers_are_listed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("features", str(runs / "half"), "--layer", "list") == 0
    printed = capsys.readouterr().out
    assert "head.4: 32 features at 64 sites, the default" in printed and "class_bias" not in printed


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["half", "--layer", "hed.4"], "did you mean 'head.4'"),
        (["conditional", "--layer", "layers.0.class_bias"], "does not represent an example"),
        (["independent"], "no layer that depends"),
        (["independent", "--layer", "list"], "no layer that depends"),
        (["nade", "--data", "digts"], "did you mean 'digits'"),
        (["nade", "--data", "wine"], "was trained for 1x8x8"),
        (["nade", "--split", "tset"], "did you mean 'test'"),
        (["nade", "--pool", "median"], "--pool"),
        (["nade", "model.hidden=9"], "fixed by the training"),
        (["nad"], "did you mean 'nade'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_represented_is_one_line(
    args: list[str], message: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(runs.rglob("*"))
    assert run_here("features", str(runs / args[0]), *args[1:]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert sorted(runs.rglob("*")) == before
