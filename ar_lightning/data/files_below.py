"""The files of a kind in a folder and below: each once, and how many others are left out."""

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ar_lightning.core.errors import UserError

__all__ = ["Found", "files_below", "listed", "notes_on"]

KINDS = 5  # endings of files left out that are named, the most frequent ones


class Found(NamedTuple):
    """What lies in a folder and below."""

    files: list[Path]  # of the kind, in an order that does not depend on the file system
    left_out: Counter[str]  # number of other files by ending, and of hidden ones
    unreadable: dict[Path, str]  # folders, and why


def files_below(folder: Path, suffixes: tuple[str, ...]) -> Found:
    """Find the files with these suffixes, in small letters, in a folder and below, links followed.

    Hidden files and folders are left out.

    Raises:
        UserError: a link makes a file or folder count twice, or a file can never be read: a pipe, say.
    """
    root = str(folder.resolve())
    found = Found([], Counter(), {})
    folders: dict[str, str] = {}  # by where they really are
    linked: dict[str, str] = {}  # files, the same
    waiting = [(root, root)]
    while waiting:
        here, real = waiting.pop()
        if real in folders or (folders and Path(root).is_relative_to(real)):
            raise _twice(here, folders.get(real, real), "folder")
        folders[real] = here
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            found.unreadable[Path(here)] = str(error.strerror)
            continue
        for entry in entries:
            if entry.name[0] == ".":
                found.left_out["hidden"] += 1
                continue
            place = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(real, entry.name)  # noqa: PTH118
            if _is(entry, "is_dir"):
                waiting.append((entry.path, place))
            elif not entry.name.lower().endswith(suffixes):
                found.left_out[_ending(entry.name)] += 1
            elif not _is(entry, "is_file"):
                raise UserError("not a file, but a broken link, a pipe or a device", entry.path, "move it away")
            else:
                if entry.is_symlink():
                    if place in linked:
                        raise _twice(entry.path, linked[place], "file")
                    linked[place] = entry.path
                found.files.append(Path(entry.path))
    for place, path in linked.items():
        target = Path(place)
        if str(target.parent) in folders and target.name[0] != "." and target.name.lower().endswith(suffixes):
            raise _twice(path, place, "file")
    found.files.sort(key=lambda file: file.as_posix())
    return found


def notes_on(left_out: Counter[str], remarks: Counter[str]) -> tuple[str, ...]:
    """Return what there is to say of the files left out of a folder, and of those read."""
    return tuple(f"{what}{listed(counts)}" for what, counts in (("left out: ", left_out), ("", remarks)) if counts)


def listed(counts: Counter[str]) -> str:
    """Return numbers of things, each with its name, those of many kinds together.

    Example:
        >>> listed(Counter({".txt": 1200, "hidden": 2}))
        '1,200 .txt and 2 hidden'
    """
    first = counts.most_common(KINDS)
    if more := counts.total() - sum(n for _, n in first):
        first.append(("of other kinds", more))
    *parts, last = (f"{n:,} {name}" for name, n in first)
    return f"{', '.join(parts)} and {last}" if parts else last


def _is(entry: "os.DirEntry[str]", kind: str) -> bool:
    try:
        return bool(getattr(entry, kind)())
    except OSError:  # a link to itself
        return False


def _ending(name: str) -> str:
    ending = os.path.splitext(name)[1].lower()  # noqa: PTH122
    return ending if ending[1:].isalnum() and len(ending) < 10 else "without an ending"


def _twice(path: str, other: str, thing: str) -> UserError:
    return UserError(f"is the {thing} {other} over again, and would count twice", path, "remove one of the two")
