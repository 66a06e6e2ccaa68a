"""`dashboard`: save the panels of a W&B project, or print them as JSON."""

from ar_lightning.commands.parser import Parser

__all__ = ["run"]


def run(args: list[str]) -> int:
    parser = Parser("dashboard")
    parser.add_argument("--project", default="ar_lightning", help="W&B project (default ar_lightning)")
    parser.add_argument("--entity", help="W&B user or team (default: yours)")
    parser.add_argument("--name", default="Autoregressive densities", help="of the view; each call saves a new one")
    parser.add_argument("--dump", action="store_true", help="print the spec; needs no account, key or network")
    parsed = parser.parse_args(args)

    from ar_lightning.tracking.wandb_workspace import dump, save, workspace

    if parsed.dump:
        import json

        print(json.dumps(dump(workspace(parsed.project, parsed.entity or "", parsed.name)), indent=2))
    else:
        print(f"saved: {save(parsed.project, parsed.entity, parsed.name)}")
    return 0
