"""`zoo`: list the trained densities that any command takes by name."""

from ar_lightning.commands.parser import Parser
from ar_lightning.core.program import program
from ar_lightning.training.zoo import PREFIX, home_of, manifest, on_this_machine

__all__ = ["run"]


def run(args: list[str]) -> int:
    Parser("zoo").parse_args(args)
    models = manifest()["models"]
    for name, about in models.items():
        published = f" (published: {about['published']})" if about["published"] else ""
        megabytes = sum(file["bytes"] for file in about["files"].values()) / 1e6
        where = "" if on_this_machine(name) else ", not on this machine yet"
        print(f"{PREFIX}{name}\n  test: {about['test']}{published}, {about['regime']}")
        print(f"  {about['parameters']:,} parameters, {megabytes:.1f} MB{where}\n")
    first = f"{PREFIX}{next(iter(models))}"
    print(f"draw from one, into {home_of(first)}, with: {program()} sample {first} --n 64")
    return 0
