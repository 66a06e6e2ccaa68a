"""`anomaly`: measure how well the likelihood, and scores derived from it, detect data of another kind."""

from ar_lightning.commands.parser import number, print_files, run_parser
from ar_lightning.core.fields import Count
from ar_lightning.tracking.console import console

__all__ = ["run"]


def run(args: list[str]) -> int:
    parser = run_parser("anomaly", overrides=True)
    parser.add_argument(
        "--against", metavar="WHAT", required=True, help="noise, constant, the name of a dataset, or a file or "
        "folder as for score --data",
    )  # fmt: skip
    parser.add_argument(
        "--background", metavar="RUN2", help="run of another density of the same data, for the likelihood ratio "
        "(default: how often each value occurs at each site of the training data)",
    )  # fmt: skip
    parser.add_argument("--n", type=number(Count), default=1000, help="examples on each side (default 1000)")
    parser.add_argument("--out", metavar="DIR", help="folder of the files (default: RUN/anomaly/WHAT)")
    parsed = parser.parse_intermixed_args(args)

    from rich.table import Table

    from ar_lightning.inference.anomaly.anomaly import anomaly

    found = anomaly(**vars(parsed))
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
    return 0
