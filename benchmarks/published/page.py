"""`RESULTS.md`: what is published, what is reproduced, and by how much it differs, as Markdown."""

from collections.abc import Sequence
from pathlib import Path

from ar_lightning.core.reading import read_json
from ar_lightning.inference.compare.published import PUBLISHED, published_like
from benchmarks.published.rows import Reproduction

__all__ = ["results_page"]

HEAD = """# Published numbers, reproduced

Made by `python run.py reproduce --page` from the configs in `conf/published/` and the results in `benchmarks/results/`;
`python run.py reproduce NAME` trains, tests and compares a row. Values are mean -log p of test data: lower is better.
A row with a zoo name has its weights here: `python run.py test zoo:NAME` measures its number again.
"""
OVERVIEW = ("row", "published", "ours", "difference", "parameters", "minutes", "in the zoo")
COLUMNS = (
    "name", "model", "published", "ours", "difference", "data and test examples", "epochs", "training", "machine",
    "files",
)  # fmt: skip


def results_page(rows: Sequence[Reproduction], root: Path) -> str:
    """Return the page.

    Args:
        rows: of all configs, with their results.
        root: the folder that the page's links start from.
    """
    order = list(dict.fromkeys(row.data for row in PUBLISHED))
    names = {row.config["data.name"] for row in rows}
    datasets = sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))
    sections = [_section(data, _ordered(rows, data), root) for data in datasets]
    return "\n".join([HEAD, _overview([row for data in datasets for row in _ordered(rows, data)], root), *sections])


def _ordered(rows: Sequence[Reproduction], data: str) -> list[Reproduction]:
    """Return the rows of a dataset, from the worst published value to the best."""
    of_data = [row for row in rows if row.config["data.name"] == data]
    return sorted(of_data, key=lambda row: (-row.published.value if row.published else 0.0, row.name))


def _overview(rows: Sequence[Reproduction], root: Path) -> str:
    """Return a table of all rows that fits on a screen."""
    listed = root / "ar_lightning" / "training" / "zoo.json"
    there = read_json(listed)["models"] if listed.exists() else {}
    lines = [f"| {' | '.join(OVERVIEW)} |", f"|{'---|' * len(OVERVIEW)}"]
    for row in rows:
        known = f"{row.published.value:.2f} {row.published.unit}" if row.published else ""
        cells = [f"[{row.name}]({_link(row.file, root)})", known, "not run yet", "", "", "", ""]
        if row.result is not None:
            trained = f"{row.result['seconds_training'] / 60:,.0f}"
            difference = f"{row.difference:+.2f}" if row.comparable and row.difference is not None else ""
            zoo = f"`zoo:{row.name}`" if row.name in there else ""
            cells[2:] = [row.ours, difference, f"{row.result['parameters']:,}", trained, zoo]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _section(data: str, ordered: Sequence[Reproduction], root: Path) -> str:
    """Return a dataset's table and its pictures of samples."""
    head = [f"## {data}", "", f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    table = [f"| {' | '.join(_cells(row, root))} |" for row in ordered]
    shown = [(row.name, row.folder / "samples.png") for row in ordered if row.result]
    pictures = [f"\n{name}:\n\n![samples of {name}]({_link(path, root)})" for name, path in shown if path.exists()]
    mixtures = [_mixtures(row) for row in ordered if row.result and row.result.get("test/nll_by_members")]
    return "\n".join([*head, *table, *mixtures, *pictures, ""])


def _mixtures(row: Reproduction) -> str:
    """Return a table of the averages of the first members of a row's network, beside those of a published one."""
    assert row.result is not None
    lines = [
        f"\n{row.name}, averages of the first of its orders or masks:\n",
        "| of the first | published | ours |",
        "|---|---|---|",
    ]
    for n, nll in row.result["test/nll_by_members"].items():
        published = published_like(row.config | {"model.ensemble": int(n)}) if "model.ensemble" in row.stated else None
        known = f"{published.value:.2f} {published.unit}" if published else ""
        lines.append(f"| {n} | {known} | {nll:.2f} nats |")
    return "\n".join(lines)


def _cells(row: Reproduction, root: Path) -> list[str]:
    sizes = {key.removeprefix("model."): value for key, value in row.stated.items() if key.startswith("model.")}
    model = f"`{sizes.pop('name')}`: " + ", ".join(f"{key} {_plain(value)}" for key, value in sizes.items())
    published = row.published
    known = f"{published.value:.2f} {published.unit}, {published.setting} ({published.source})" if published else "none"
    name = f"[{row.name}]({_link(row.file, root)})"
    if row.result is None:
        needs = f": needs a GPU, `benchmarks/gpu.sh reproduce {row.name}`" if "GPU" in row.verdict else ""
        return [name, model.removesuffix(": "), known, f"not run yet{needs}", *[""] * (len(COLUMNS) - 4)]
    result = row.result
    difference = "" if row.difference is None else f"{row.difference:+.2f}"
    tested = f"{result['regime']}; {result['test_examples']:,} test examples{' in all folds' if row.folded else ''}"
    return [
        name,
        f"{model.removesuffix(': ')}; {result['parameters']:,} parameters",
        known,
        f"{row.ours}; {row.spread}" if row.spread else row.ours,
        difference if row.comparable or not difference else f"{difference}, on other test examples",
        tested,
        str(result["epochs"]),
        f"{result['seconds_training']:,.0f} s",
        result.get("machine", f"{result.get('device', 'cpu')}, not recorded"),
        ", ".join(_files(row, root)),
    ]


def _files(row: Reproduction, root: Path) -> list[str]:
    names = {"curve": "curves.png", "samples": "samples.png", "sampled text": "samples.txt", "result": "result.json"}
    return [
        f"[{kind}]({_link(row.folder / name, root)})" for kind, name in names.items() if (row.folder / name).exists()
    ]


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _link(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
