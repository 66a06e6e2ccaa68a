"""`features`: hidden representations of a trained density, and what linear probes find in them."""

from ar_lightning.commands.parser import number, print_files, run_parser
from ar_lightning.core.fields import PositiveInt
from ar_lightning.tracking.console import console

__all__ = ["run"]


def run(args: list[str]) -> int:
    parser = run_parser("features", overrides=True)
    parser.add_argument("--data", metavar="NAME", help="a dataset of the same shape (default: the run's own)")
    parser.add_argument("--layer", metavar="NAME", help="default: what the output layer reads; list: print all")
    parser.add_argument(
        "--pool", default="mean", choices=("mean", "max", "last", "none"), help="over the sites (default mean)"
    )
    parser.add_argument("--split", default="test", help="that is written and drawn: train, valid, test (default test)")
    parser.add_argument(
        "--n", type=number(PositiveInt), default=10_000, help="examples of each split, at most (default 10,000)"
    )
    parser.add_argument("--out", metavar="DIR", help="folder of the files (default: RUN/features)")
    options = parser.parse_intermixed_args(args)

    from rich.table import Table

    from ar_lightning.inference.features.features import features
    from ar_lightning.inference.features.hidden import layer_of, layers
    from ar_lightning.inference.open import open_run

    if options.layer == "list":
        density = open_run(options.run, options.overrides).density
        default = layer_of(density)
        for name, layer in layers(density).items():
            mark = ", the default" if layer == default else ""
            print(f"{name}: {layer.features} features at {layer.sites} sites{mark}")
        return 0
    found = features(**vars(options))
    print(f"layer {found.layer.name}, {found.pool} over {found.layer.sites} sites: {found.features} features")
    if found.probe is None:
        print(f"no probe: {found.reason}")
    else:
        train, valid, test = found.probe.examples
        print(f"linear probes for the class: {train:,} training, {valid:,} validation, {test:,} test examples")
        table = Table("", "features", "test accuracy", "C")
        for name, probe in (("hidden representation", found.probe.hidden), ("raw values", found.probe.raw)):
            table.add_row(
                name, f"{probe.features:,}", f"{probe.accuracy:.4f} ± {probe.accuracy_stderr:.4f}", f"{probe.C:g}"
            )
        table.add_row("the commonest class", "", f"{found.probe.commonest:.4f}", "")
        console().print(table)
        print(found.probe.verdict)
    if found.conditional:
        print("The training of this density was told the labels: what it represents is not learned without them.")
    print_files(found.files)
    return 0
