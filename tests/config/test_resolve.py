"""Layers, names, interpolation and what is written: a config says the same wherever it is read."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from ar_lightning.config.registry import REGISTRIES
from ar_lightning.config.resolve import explicit_settings, load_config, save_config
from ar_lightning.config.sections import SECTIONS, section_schema
from ar_lightning.core.errors import UserError

CONFIGS = sorted((Path(__file__).parents[2] / "conf").rglob("*.yaml"))


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str, name: str = "this.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def complete(config: dict[str, Any]) -> bool:
    """Whether every section has every key of its chosen name, and no other."""
    named = {s: {"name", *section_schema(s, config[s]["name"]).fields} for s in REGISTRIES}
    fixed = {s: set(section_schema(s).fields) for s in SECTIONS}
    return {s: set(config[s]) for s in named | fixed} == named | fixed


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_loads(path: Path) -> None:
    config = load_config(path)
    assert complete(config)
    named = explicit_settings(path).get("experiment", path.stem)
    assert config["experiment"] == named
    assert named == path.stem or path.parent.name == "published", "only a row may share the result of another config"


@pytest.mark.parametrize("section", REGISTRIES)
def test_every_name_gives_a_complete_config(section: str) -> None:
    for name in REGISTRIES[section]:
        config = load_config(None, ["model=nade", f"{section}={name}"])
        assert complete(config)
        assert config[section]["name"] == name


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_saved_config_reads_back_unchanged(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config
    assert [p.name for p in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    "text",
    [
        "3", "1e3", "null", "on", "0123", "~", "", " x ", "a: b", "#x", "[1", "???", "a\nb", "é\u2028x", "1:30",
        "2024_01_15", "007", "0x10", "08_9", "1.5e3", ".5", "-.inf",
        "${seed}", r"\${x}", r"a\\${",
    ],
)  # fmt: skip
def test_saved_text_reads_back_unchanged(text: str, tmp_path: Path) -> None:
    config = load_config(None, ["model=nade"])
    config["tracking"] |= {"name": text, "tags": [text, text]}
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config


NUMBERS = ["2024_01_15", "007", "1e3", "12:30", "12:30:00", "0x10", "0b11", "1_000", ".5", "+1", "1.", "-.inf", ".nan"]


@pytest.mark.parametrize("text", [*NUMBERS, "2024-01-15"])
def test_what_is_declared_as_text_stays_as_written(text: str, write: Any) -> None:
    path = write(f"model: nade\nexperiment: {text}\nrun_dir: {text}\ntracking: {{name: {text}, tags: [{text}, a]}}")
    given = [f"{key}={text}" for key in ("experiment", "run_dir", "tracking.name")] + [f"tracking.tags=[{text}, a]"]
    for config in (load_config(path), load_config(None, ["model=nade", *given])):
        assert (config["experiment"], config["run_dir"]) == (text, text)
        assert (config["tracking"]["name"], config["tracking"]["tags"]) == (text, [text, "a"])


@pytest.mark.parametrize(("text", "number"), [("010", 10), ("08", 8), ("0x10", 16), ("1_000", 1000), ("+7", 7)])
def test_what_is_declared_as_a_number_is_one(text: str, number: int) -> None:
    config = load_config(None, ["model=nade", f"seed={text}", f"optimizer.lr={text}"])
    assert (config["seed"], config["optimizer"]["lr"]) == (number, number)
    assert (type(config["seed"]), type(config["optimizer"]["lr"])) == (int, float)


def test_command_line_over_file_over_base(write: Any) -> None:
    write("model: {name: nade, hidden: 1, block: 1}\noptimizer: {lr: 1}\nseed: 1", "base.yaml")
    path = write("base: base.yaml\nmodel: {block: 2, order_seed: 2}\noptimizer: {lr: 2}\nseed: 2")
    config = load_config(path, ["optimizer.lr=3", "model.order_seed=3"])
    assert [config["model"][k] for k in ("hidden", "block", "order_seed")] == [1, 2, 3]
    assert (config["optimizer"]["lr"], config["seed"], config["experiment"]) == (3.0, 2, "this")


def test_bases_stack_in_order_and_are_found_beside_their_file(write: Any) -> None:
    write("seed: 1\nmodel: nade\ndata: {batch_size: 1}", "one.yaml")
    write("base: two/inner.yaml\ndata: {batch_size: 2}", "two.yaml")
    write("base: ../one.yaml\nseed: 3", "two/inner.yaml")
    config = load_config(write("base: [one.yaml, two.yaml]\n"))
    assert (config["seed"], config["data"]["batch_size"]) == (3, 2)


def test_another_name_drops_its_own_keys_and_keeps_shared_ones(write: Any) -> None:
    path = write("model: nade\ndata: {name: digits, size: 4, batch_size: 7}\noptimizer: {betas: [0.5, 0.5], lr: 0.1}")
    config = load_config(path, ["data.name=binarized_mnist", "optimizer=sgd", "optimizer.momentum=0"])
    assert config["data"] == {
        "name": "binarized_mnist", "flip": False, "data_dir": None, "batch_size": 7, "eval_batch_size": None,
        "dequantise": False, "stream": False, "mutate": 0.0,
    }  # fmt: skip
    assert (config["optimizer"]["lr"], config["optimizer"]["momentum"]) == (0.1, 0.0)
    assert "betas" not in config["optimizer"]


def test_a_dropped_key_does_not_come_back(write: Any) -> None:
    write("model: {name: nade, hidden: 3}", "base.yaml")
    path = write("base: base.yaml\nmodel: table")
    assert load_config(path, ["model=nade"])["model"]["hidden"] == 500


def test_a_layer_is_checked_against_its_own_name(write: Any) -> None:
    path = write("model: {name: nade, memory: 3}")
    with pytest.raises(UserError, match=r"this\.yaml: model\.memory: no key of nade, but of markov"):
        load_config(path, ["model=markov"])
    with pytest.raises(UserError, match=r"command line: model\.hidden: no key of markov"):
        load_config(write("model: nade"), ["model=markov", "model.hidden=3"])


def test_a_file_may_leave_the_model_to_the_command_line(write: Any) -> None:
    assert load_config(write("model: {hidden: 3}"), ["model=nade"])["model"]["hidden"] == 3


def test_order_of_overrides_matters_for_one_key_only() -> None:
    one = load_config(None, ["optimizer.momentum=0.5", "optimizer=sgd", "model=nade", "seed=1", "seed=2"])
    two = load_config(None, ["model=nade", "optimizer=sgd", "optimizer.momentum=0.5", "seed=2"])
    assert one == two


def test_a_section_in_one_override() -> None:
    config = load_config(None, ["model={name: nade, hidden: 3}", "tracking.tags=[a,b]"])
    assert (config["model"]["hidden"], config["tracking"]["tags"]) == (3, ["a", "b"])


def test_interpolation(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH", "9")
    path = write(
        "model: {name: nade, hidden: '${data.batch_size}'}\ndata: {batch_size: 5}\n"
        "optimizer: {betas: ['${..eps}', 0.5]}\ntracking: {name: '${experiment}-${seed}'}"
    )
    config = load_config(path, ["seed=3", "data.eval_batch_size=${oc.decode:${oc.env:BATCH}}"])
    assert config["model"]["hidden"] == 5
    assert config["data"]["eval_batch_size"] == 9
    assert config["optimizer"]["betas"] == (config["optimizer"]["eps"], 0.5)
    assert config["tracking"]["name"] == "this-3"


def test_values_are_the_types_of_the_signature() -> None:
    config = load_config(None, ["model=nade", "optimizer.lr=1", "optimizer.betas=[0,0.5]", "experiment=7"])
    assert [type(v) for v in (config["optimizer"]["lr"], config["optimizer"]["betas"])] == [float, tuple]
    assert config["experiment"] == "7"
    assert load_config(None, ["model=nade", "trainer.devices=0,1"])["trainer"]["devices"] == "0,1"
    assert load_config(None, ["model=nade", "trainer.devices=2"])["trainer"]["devices"] == 2


def test_defaults_are_copied() -> None:
    load_config(None, ["model=nade"])["tracking"]["tags"].append("changed")
    assert load_config(None, ["model=nade"])["tracking"]["tags"] == []


def test_config_is_plain(tmp_path: Path) -> None:
    config = load_config(None, ["model=nade"])
    assert not any(OmegaConf.is_config(v) for v in (config, *config.values()))


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 60, "- " * 60, "[" * 60 + "]" * 60], ids=str.__len__)
def test_what_is_nested_too_deeply_is_one_line(text: str, tmp_path: Path) -> None:
    """In a process of C, it would end in a crash."""
    file = tmp_path / "deep.yaml"
    file.write_text(f"seed: {text}" if "{" in text else text)
    with pytest.raises(UserError, match="levels"):
        load_config(file)
    with pytest.raises(UserError, match="levels"):
        load_config(None, ["model=nade", f"model.hidden={text}"])


def test_aliases_that_multiply_are_one_line(tmp_path: Path) -> None:
    lists = [f"    - &a{i} [{', '.join([f'*a{i - 1}' if i else 'x'] * 10)}]" for i in range(9)]
    (tmp_path / "many.yaml").write_text("\n".join(["model:", "  name: nade", "  hidden:", *lists]))
    with pytest.raises(UserError, match="100,000 values"):
        load_config(tmp_path / "many.yaml")
    (tmp_path / "few.yaml").write_text("model: &m {name: nade, hidden: &h 7}\ndata: {batch_size: *h}\n")
    assert load_config(tmp_path / "few.yaml")["data"]["batch_size"] == 7
