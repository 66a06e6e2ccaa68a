"""How the package is built: its rooms, its floors, the imports between them, and the lines of each.

A room is a package or a module directly under `ar_lightning`. A room stands one floor above the highest room that it
imports; rooms that import each other in a circle share a floor. Imports for type checkers alone do not count.

    python -m tests.support.structure [CHECKOUT ...]   # this one by default; several to compare
"""

import sys
from collections import Counter
from pathlib import Path

import grimp

PACKAGE = "ar_lightning"
Arrows = set[tuple[str, str]]  # from the room that imports to the room that is imported


def room_of(module: str) -> str:
    """Return the room that a module is in.

    Example:
        >>> room_of("ar_lightning.sweep.report.live"), room_of("ar_lightning.cli"), room_of("ar_lightning")
        ('sweep', 'cli', '__init__')
    """
    return module.split(".")[1] if "." in module else "__init__"


def rooms_and_arrows(checkout: Path) -> tuple[set[str], Arrows]:
    """Return the rooms of a checkout and the imports between them."""
    sys.path.insert(0, str(checkout))
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
    sys.path.remove(str(checkout))
    imports = ((a, b) for a in graph.modules for b in graph.find_modules_directly_imported_by(a))
    arrows = {(room_of(a), room_of(b)) for a, b in imports}
    return {room_of(module) for module in graph.modules}, {(a, b) for a, b in arrows if a != b}


def floors_of(rooms: set[str], arrows: Arrows) -> dict[str, int]:
    """Return the floor of each room, from 0 up.

    Example:
        >>> floors_of({"a", "b", "c", "d"}, {("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")})
        {'a': 2, 'b': 1, 'c': 1, 'd': 0}
    """
    below = {room: {room} for room in rooms}  # all that a room reaches, itself included
    for _ in rooms:
        for a, b in arrows:
            below[a] |= below[b]
    floors: dict[str, int] = {}
    for room in sorted(rooms, key=lambda room: len(below[room])):
        circle = {other for other in below[room] if room in below[other]}
        floors[room] = max((floors[other] + 1 for other in below[room] - circle), default=0)
    return dict(sorted(floors.items()))


def lines_of(checkout: Path) -> Counter[str]:
    """Return the lines of Python in each room."""
    lines: Counter[str] = Counter()
    for file in (checkout / PACKAGE).rglob("*.py"):
        lines[file.relative_to(checkout / PACKAGE).with_suffix("").parts[0]] += file.read_text("utf-8").count("\n")
    return lines


def main() -> None:
    """Print the figures of each checkout."""
    for checkout in [Path(arg) for arg in sys.argv[1:]] or [Path(__file__).parents[2]]:
        (rooms, arrows), lines = rooms_and_arrows(checkout), lines_of(checkout)
        floors = floors_of(rooms, arrows)
        files = [f.read_text("utf-8").count("\n") for f in (checkout / PACKAGE).rglob("*.py")]
        print(
            f"{checkout}: {len(rooms)} rooms on {max(floors.values()) + 1} floors, {len(arrows)} imports between them"
        )
        print(f"{sum(lines.values()):,} lines in {len(files)} files, {max(files)} in the longest")
        for floor in range(max(floors.values()), -1, -1):
            on = ", ".join(f"{room} {lines[room]:,}" for room in floors if floors[room] == floor)
            print(f"{floor:>4}  {on}")


if __name__ == "__main__":
    main()
