"""`anomaly`: measure how well the likelihood, and scores derived from it, detect data of another kind."""

import argparse

from ar_lightning.commands.parser import number, print_files, run_parser
from ar_lightning.core.errors import UserError
from ar_lightning.core.fields import Count
from ar_lightning.tracking.console import console

__all__ = ["run"]

N = 1000


def run(args: list[str]) -> int:
    parser = run_parser("anomaly", overrides=True)
    parser.add_argument(
        "--against", metavar="WHAT", required=True, help="noise, constant, the name of a dataset, or a file or "
        "folder as for score --data",
    )  # fmt: skip
    parser.add_argument(
        "--labels", metavar="COLUMN", help="of a table file WHAT: it says which rows are known rare cases; "
        "scikit-learn's detectors are set beside the density",
    )  # fmt: skip
    parser.add_argument("--rare", metavar="VALUE", help="label of a rare case (default: the rarer one of two)")
    parser.add_argument(
        "--background", metavar="RUN2", help="run of another density of the same data, for the likelihood ratio "
        "(default: how often each value occurs at each site of the training data; with --labels no ratio)",
    )  # fmt: skip
    parser.add_argument("--n", type=number(Count), help=f"examples on each side (default {N}; with --labels all rows)")
    parser.add_argument("--out", metavar="DIR", help="folder of the files (default: RUN/anomaly/WHAT)")
    parsed = parser.parse_intermixed_args(args)
    if parsed.labels is not None and parsed.n is not None:
        raise UserError("--n: with --labels every row is scored", "command line", "leave --n out")
    if parsed.labels is None and parsed.rare is not None:
        raise UserError(f"--rare {parsed.rare}: names a label of a column", "command line", "give --labels COLUMN")
    _against_kind(parsed) if parsed.labels is None else _against_known(parsed)
    return 0


def _against_kind(parsed: argparse.Namespace) -> None:
    """Tell examples of the density's own data from others."""
    from rich.table import Table

    from ar_lightning.inference.anomaly.anomaly import anomaly

    found = anomaly(parsed.run, parsed.against, parsed.background, parsed.n or N, parsed.out, parsed.overrides)
    print(f"{found.data} against {found.against}, {found.examples:,} examples each; scores are higher for outliers")
    table = Table("score")
    for heading in ("own, mean", "outliers, mean", "AUROC", "AUPR", "FPR@95"):
        table.add_column(heading, justify="right")
    for d in found.detectors:
        values = f"{d.own:.2f}", f"{d.outliers:.2f}", *(f"{value:.4f}" for value in d.metrics)
        table.add_row(d.score.replace("_", " "), *values)
    console().print(table)
    for line in (*found.notes, f"likelihood ratio against: {found.background}"):
        print(line)
    print_files(found.files)


def _against_known(parsed: argparse.Namespace) -> None:
    """Find the known rare cases of a file."""
    from rich.table import Table

    from ar_lightning.inference.anomaly.labelled import labelled

    found = labelled(
        parsed.run, parsed.against, parsed.labels, parsed.rare, parsed.background, parsed.out, parsed.overrides
    )
    table = Table("detector")
    for heading in ("AUROC", "average precision", f"precision at {found.rare_rows:,}"):
        table.add_column(heading, justify="right")
    for f in found.found:
        table.add_row(f.detector, *(f"{value:.4f}" for value in f.worth))
    console().print(table)
    for line in (*found.notes, *(f"{f.detector}: {f.settings}." for f in found.found)):
        print(line)
    print_files(found.files)
