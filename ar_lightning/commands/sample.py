"""`run.py sample`: draw from a trained density, or continue a prompt."""

from ar_lightning.commands.parser import Parser, positive

__all__ = ["run"]


def run(args: list[str]) -> int:
    """Draw from a trained density and say which files hold the samples."""
    parser = Parser("sample")
    parser.add_argument("run", metavar="RUN", help="run directory or checkpoint")
    parser.add_argument("--n", type=positive(int), default=16, help="number of samples (default 16)")
    parser.add_argument("--cond", type=int, dest="label", metavar="CLASS", help="class of all (default: all in turn)")
    parser.add_argument("--temperature", type=positive(float), default=1.0, help="below 1 is safer, above 1 wilder")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same samples, in any number (default 0)")
    parser.add_argument("--prompt", help="what they begin with: text, or a text, sound or image file")
    parser.add_argument("--keep", type=float, help="fraction of the prompt to take")
    parser.add_argument("--length", type=positive(int), help="sites of a sequence, where the model has any length")
    parser.add_argument("--out", metavar="STEM", help="path of the files without ending (default: in RUN/samples)")
    parser.add_argument("--device", default="auto", help="cpu, cuda .. (default: a GPU if there is one)")
    given = parser.parse_args(args)

    from ar_lightning.trained.sample import sample as draw

    files = draw(**vars(given))
    for kind, path in files.items():
        if path.suffix == ".txt":
            print(path.read_text(encoding="utf-8"))
        print(f"{kind}: {path}")
    return 0
