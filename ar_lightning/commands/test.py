"""`test`: evaluate the exact likelihood of a trained density on its test data, or on other data."""

from pathlib import Path
from typing import Any

from ar_lightning.commands.parser import BOUND, print_columns, print_facts, print_members, run_parser
from ar_lightning.tracking.console import console

__all__ = ["run"]


def run(args: list[str]) -> int:
    parser = run_parser("test", overrides=True)
    parser.add_argument("--out", metavar="FILE", help="the JSON that is written (default: RUN/test.json)")
    parsed = parser.parse_intermixed_args(args)

    from dataclasses import asdict

    from rich.table import Table

    from ar_lightning.config.overlay import flat
    from ar_lightning.core.files import write_json
    from ar_lightning.inference.evaluate import evaluate
    from ar_lightning.inference.open import open_run
    from ar_lightning.training.marks import marks

    opened = open_run(parsed.run, parsed.overrides, resize=True)
    with opened.computing():
        found = evaluate(opened.density, opened.data(), limit=opened.config["trainer"]["limit_test"])
    names = {"model": opened.config["model"]["name"], "data": opened.config["data"]["name"]}
    path = Path(parsed.out).expanduser() if parsed.out else opened.folder / "test.json"
    epoch, step = opened.written_at
    write_json({**names, "tested_epoch": epoch, "tested_step": step, **asdict(found)}, path)
    each = "a row" if found.columns else "per example"
    facts = {
        "test nll": f"{_with_error(found.nll, found.nll_stderr)} nats {each}",
        **({} if found.bpd is None else {"test bits/dim": _with_error(found.bpd, found.bpd_stderr)}),
    }
    if found.bits_per_character is not None:
        facts["test bits/character"] = f"{found.bits_per_character:.4f}, at most: {BOUND}"
    if found.accuracy is not None:
        facts["test accuracy"] = f"{_with_error(found.accuracy, found.accuracy_stderr)}, of argmax_y p(x | y) p(y)"
    if noted := marks(flat("", opened.config)):
        facts["note"] = "; ".join(noted)
    facts |= {"weights": f"of epoch {epoch}, step {step}", "examples": f"{found.examples:,}"}
    if not found.independent:
        facts[""] = "windows of one text are not independent: the errors may be too small"
    print_facts(f"{names['model']} on {names['data']}", facts | {"regime": found.regime, "written": str(path)})
    print_members(found.nll_by_members, each)
    if found.columns:
        print_columns([asdict(share) for share in found.columns], found.examples, opened.density.model.members)
    if found.classes:
        by_class = Table("class", "examples", "nats per example", *([] if found.bpd is None else ["bits/dim"]))
        if found.accuracy is not None:
            by_class.add_column("accuracy")
        for c in found.classes:
            likelihoods = [_with_error(c.nll, c.nll_stderr)]
            likelihoods += [] if c.bpd is None else [_with_error(c.bpd, c.bpd_stderr)]
            row: list[Any] = [str(c.label), str(c.examples), *likelihoods]
            by_class.add_row(*row, *([] if c.accuracy is None else [f"{c.accuracy:.4f}"]))
        console().print(by_class)
    return 0


def _with_error(value: float, error: float | None) -> str:
    return f"{value:.4f}" if error is None else f"{value:.4f} ± {error:.4f}"
