"""Every number in README and docs is that of a kept result in `benchmarks/results/`."""

import csv
import json
import math
import re
from typing import Any

import numpy as np
import pytest

from ar_lightning.config.resolve import load_config
from benchmarks import engines, init_from
from benchmarks.peers import command as peers
from benchmarks.report import tables
from benchmarks.tables import adult, imputation, scale
from benchmarks.tables.mammography import report
from tests.support.commands import ROOT
from tests.support.pages import PAGES, row

RESULTS = ROOT / "benchmarks" / "results"
FIRST = "pixelrnn"  # the config of the first command is row_lstm by another name
CONFIGS = {p.stem: load_config(p) for p in sorted((ROOT / "conf").glob("*.yaml")) if p.stem != FIRST}
DATA_OF = {name: config["data"]["name"] for name, config in CONFIGS.items()}
MODEL_OF = {name: config["model"]["name"] for name, config in CONFIGS.items()}
ON_DIGITS = [name for name, data in DATA_OF.items() if data == "digits"]
TEXT = {page: " ".join(text.split()) for page, text in PAGES.items()}  # wherever its lines end


def read(path: str) -> Any:
    return json.loads((RESULTS / path).read_text())


def kept(name: str) -> dict[str, Any]:
    return read(f"{name}/result.json")


@pytest.mark.parametrize("config", ON_DIGITS)
def test_every_model_has_its_row(config: str) -> None:
    line = row("models", f"`{MODEL_OF[config]}`")
    assert f"{kept(f'digits/{config}')['test/bpd']:.3f} |" in line
    if (ROOT / "conf" / "conditional" / f"{config}_conditional.yaml").exists():
        by_class = kept(f"digits/{config}_conditional")
        assert f"| {by_class['test/bpd']:.3f} | {100 * by_class['test/accuracy']:.1f} % |" in line


@pytest.mark.parametrize("config", [name for name, data in DATA_OF.items() if data != "digits"])
def test_every_other_config_has_its_row(config: str) -> None:
    data = DATA_OF[config]
    result, line = kept(f"{data}/{config.removesuffix(f'_{data}')}"), row("models", f"`conf/{config}.yaml`")
    assert f"| `{result['model']}`" in line
    assert f" {-result['test/nll']:.2f} nats" in line or f" {result['test/bpd']:.3f} bits/" in line
    for key, text in {"test/true_bpd": "entropy of {:.3f} |", "test/accuracy": "classifier {:.1%} |"}.items():
        assert key not in result or text.format(result[key]).replace("%", " %") in line


@pytest.mark.parametrize("model", sorted({*MODEL_OF.values()}))
def test_every_model_of_the_readme_has_its_number(model: str) -> None:
    line = row("README", f"`{model}`")
    (config,) = re.findall(r"\[\w+\]\(conf/(\w+)\.yaml\)", line)
    assert MODEL_OF[config] == model
    result = kept(f"{DATA_OF[config]}/{config}")
    number = f"{result['test/nll']:.2f} nats" if DATA_OF[config] == "wine" else f"{result['test/bpd']:.3f}"
    assert re.search(rf"(\| |: ){number} \|$", line)


@pytest.mark.parametrize("table", sorted(p.parent.name for p in (RESULTS / "uci").glob("*/result.json")))
def test_the_folds_of_a_table_are_those_of_the_results(table: str) -> None:
    result, line = kept(f"uci/{table}"), row("models", f"`{table}`")
    assert f"| {result['mean']['gaussian']:.2f} |" in line
    assert f"| {result['mean']['test']:.2f} ± {result['standard_error_of_test']:.2f} |" in line
    assert result["mean"]["test"] == pytest.approx(np.mean([fold["test"] for fold in result["per_fold"]]), abs=1e-3)


@pytest.mark.parametrize("config", sorted(p.stem for p in (ROOT / "conf" / "cifar10").glob("*.yaml")))
def test_every_epoch_of_cifar10_has_its_row(config: str) -> None:
    result = kept(f"cifar10/{config}")
    valid = result["val/nll"] / (3072 * math.log(2))
    numbers = f"| {result['parameters']:,} | {valid:.3f} | {result['test/bpd']:.3f} |"
    assert numbers in row("models", f"`conf/cifar10/{config}.yaml`")
    assert (result["epochs"], result["test_examples"]) == (1, 1000)


def test_the_sweep_is_that_of_the_results() -> None:
    folder = RESULTS / "sweeps" / "pixelrnn"
    with (folder / "trials.csv").open() as file:
        trials = [line for line in csv.DictReader(file) if line["state"] == "complete"]
    best, again = min(float(line["val/bpd"]) for line in trials), kept("sweeps/pixelrnn")
    assert again["val/bpd"] == best, "the best config gives the same number again"
    assert f"| {best:.3f} | {again['test/bpd']:.3f} |" in row("sweeps", "the best of 20 trials")
    default = read("sweeps/pixelrnn/default.json")
    assert trials[0]["number"] == "0" and float(trials[0]["val/bpd"]) == default["val/bpd"], "and so does the default"
    assert f"| {default['val/bpd']:.3f} | {default['test/bpd']:.3f} |" in row("sweeps", "`conf/pixelrnn.yaml`")
    measured = read("sweeps.json")
    for storage, phrase in {"journal": "with a journal", "postgresql": "with PostgreSQL"}.items():
        assert f"{measured['outside_the_child'][storage]:.3f} s {phrase}" in TEXT["sweeps"]
    for sampler, seconds in measured["sampler"].items():
        assert f"| {seconds['100']:.3f} | {seconds['1000']:.3f} |" in row("sweeps", f"`{sampler}`")


ROW_OF = {
    "independent": "`independent`, 784 parameters",
    "nade": "`nade`, 500 hidden units, one random order",
    "made": "`made`, one layer of 2000 units, one mask",
    "any_order_transformer": "`any_order_transformer`, 4 layers of 64 features, the mean of 4 orders",
    "gated_pixelcnn": "`gated_pixelcnn`, 12 layers of 16 channels, kernels of 5",
    "row_lstm": "`row_lstm`, 3 layers of 24 units, kernels of 7",
    "row_lstm_7x24": "`row_lstm`, 7 layers of 24 units, kernels of 3",
    "row_lstm_7x24_dropout": "`row_lstm`, the same with dropout",
    "diagonal_bilstm_1x32": "`diagonal_bilstm`, one layer of 32 units",
    "pixelcnn": "`pixelcnn`, 12 layers of 16 channels, kernels of 7",
    "pixelcnn_15x32": "`pixelcnn`, 15 layers of 32 channels, kernels of 3",
}


@pytest.mark.parametrize("name", sorted(p.parent.name for p in (RESULTS / "binarized_mnist").glob("*/result.json")))
def test_every_reproduction_on_binarized_mnist_has_its_row(name: str) -> None:
    assert f" {kept(f'binarized_mnist/{name}')['test/nll']:.2f} |" in row("published-numbers", ROW_OF[name])


def test_the_tables_of_speed_are_those_of_the_results() -> None:
    measured = read("speed.json")
    lines = [line for line in tables(measured).splitlines() if line]
    assert len(lines) > 30
    assert [line for line in lines if line not in PAGES["speed"].splitlines()] == []
    assert measured["machine"] in TEXT["speed"]


def test_the_table_of_engines_is_that_of_the_results() -> None:
    measured = read("engines.json")
    lines = engines.report(measured).splitlines()
    assert len(lines) > 2
    assert [line for line in lines if line not in PAGES["speed"].splitlines()] == []
    assert all(row.get("machine", measured["machine"]) in TEXT["speed"] for row in measured["rows"])


def test_passes_over_a_row_are_those_of_the_results() -> None:
    gated, row_lstm = read("row_blocks.json")["runs"].values()
    assert f"a row takes {gated['mean']:.1f} such passes" in TEXT["speed"]
    assert f"{gated['mean']:.1f}" == f"{row_lstm['mean']:.1f}"
    assert f"and {gated['of_batch']:.1f} and {row_lstm['of_batch']:.1f} of 64 images at once" in TEXT["speed"]


def test_the_table_of_peers_is_that_of_the_results() -> None:
    measured = read("peers.json")
    lines = peers.report(measured).splitlines()
    assert len(lines) > 2
    assert [line for line in lines if line not in PAGES["speed"].splitlines()] == []
    assert measured["machine"] in TEXT["speed"]


def test_anomalies_are_those_of_the_results() -> None:
    scores = ("likelihood", "likelihood_ratio", "complexity", "typicality")
    for own, title, other in (("cifar10", "CIFAR-10", "mnist"), ("mnist", "MNIST", "cifar10")):
        for against in (other, "constant", "noise"):
            found = read(f"anomaly/{own}/{against}/anomaly.json")["detectors"]
            numbers = " | ".join(f"{found[score]['auroc']:.3f}" for score in scores)
            assert row("anomaly-detection", f"{title}, `{against}`").endswith(f" | {numbers} |")


def test_rare_cases_are_those_of_the_results() -> None:
    result = read("tables/mammography.json")
    lines = report(result).splitlines()
    assert len(lines) == 2 + len(result["densities"]) + 3
    assert [line for line in lines if line not in PAGES["anomaly-detection"].splitlines()] == []
    bounded = {name: d["val/nll"] for name, d in result["densities"].items() if "point masses" in name}
    assert result["chosen"] == min(bounded, key=lambda name: bounded[name])


@pytest.mark.parametrize("benchmark", [adult, imputation, scale])
def test_what_tables_are_worth_is_that_of_the_results(benchmark: Any) -> None:
    result = read(f"tables/{benchmark.__name__.rsplit('.', 1)[-1]}.json")
    assert [line for line in benchmark.report(result).splitlines() if line not in PAGES["tables"].splitlines()] == []


def test_the_large_table_is_that_of_the_results() -> None:
    result = read("tables/scale.json")
    table, nats = result["table"], result[f"test/nll/{scale.BIG}"]
    said = f"{table['rows']:,} rows and {table['columns']} columns ({table['gigabytes']:.2f} GB of CSV), one of them a"
    assert f"{said} category of {table['levels']:,} levels" in TEXT["tables"]
    assert f"{nats:.2f} nats, and {table['entropy_of_levels']:.2f} if told by frequencies alone" in TEXT["tables"]
    assert result["scored"] == table["rows"] and all(step["peak_gib"] < 8 for step in result["steps"].values())


def test_features_are_those_of_the_results() -> None:
    for model, probe in read("features.json")["probes"].items():
        cells = [f"{probe[of]['accuracy']:.3f} ± {probe[of]['accuracy_stderr']:.3f}" for of in ("hidden", "raw")]
        assert f"| `{model}` | `{probe['layer']}` | {cells[0]} | {cells[1]} |" == row("features", f"`{model}`")
        assert probe["difference"] < 0, "none helps"


def test_what_a_start_saves_is_that_of_the_results() -> None:
    result = read("init_from.json")
    assert [line for line in init_from.report(result).splitlines() if line not in PAGES["training"].splitlines()] == []
    assert all(row["from_digits"]["steps"] <= row["from_scratch"]["steps"] / 2 for row in result["seeds"])


def test_codes_are_those_of_the_results() -> None:
    for name, code in read("codec.json")["codes"].items():
        assert f"| {code['bytes_of_the_likelihood']:,.0f} | {code['bytes']:,} |" in row("compression", name)
        assert code["equal"] and code["bytes"] <= code["allowed"]
        for times in code["us_a_value"].values():
            assert f"| {times['written']:.2f} and {times['read']:.2f} |" in row("compression", name)


def test_the_headlines_of_the_readme_are_those_of_the_results() -> None:
    nade, row_lstm = (kept(f"binarized_mnist/{name}")["test/nll"] for name in ("nade", "row_lstm"))
    assert f"NADE reaches {nade:.2f} nats (published: 88.33) and Row LSTM {row_lstm:.2f} (80.54)" in TEXT["README"]
    (drawn,) = [r for r in read("speed.json")["sampling"] if r["work"] == "Row LSTM, 7 x 16, 100 samples"]
    times = math.floor(drawn["reference"] / drawn["ours"])
    assert f"take {drawn['ours']:.2f} s, {times} times faster" in TEXT["README"]
    code = read("codec.json")["codes"]["binarized MNIST, PixelCNN"]
    more = code["bytes"] / code["bytes_of_the_likelihood"] - 1
    assert f"{code['bytes']:,} bytes, {100 * more:.1f} % more than" in TEXT["README"]


def test_published_values_are_those_of_the_configs() -> None:
    """What the papers say is written down once, beside the configs that reproduce it."""
    results = (ROOT / "RESULTS.md").read_text()
    for line in (row("published-numbers", first) for first in ROW_OF.values()):
        published = re.findall(r"\d+\.\d\d", line)[0]
        assert f"| {published} nats" in results
    for table in sorted(p.name for p in (RESULTS / "uci").iterdir()):
        published = row("models", f"`{table}`").split("|")[4].strip().removeprefix("-")
        lines = [line for line in results.splitlines() if line.startswith(f"| [rnade_{table}]")]
        assert len(lines) == 2 and all(f"| {published} nats" in line for line in lines)  # overview and section


def test_the_number_of_the_first_command_is_that_of_the_zoo() -> None:
    nll = json.loads((ROOT / "zoo" / "gated_pixelcnn_binarized_mnist" / "result.json").read_text())["test/nll"]
    assert f"{nll:.2f} nats on the test images" in TEXT["README"] and f"of {nll:.2f} nats" in TEXT["python"]
    assert f"gives the number again, {nll:.4f} ± " in TEXT["published-numbers"]
    adult = json.loads((ROOT / "zoo" / "any_order_transformer_adult" / "result.json").read_text())["test/nll"]
    assert f"at {adult:.2f} nats a row" in TEXT["tables"]
