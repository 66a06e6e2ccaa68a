"""Splits and classes of the files in a folder, by the sub-folders they lie in."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ar_lightning.core.errors import UserError, nearby
from ar_lightning.core.notice import notice
from ar_lightning.data.base import SPLITS, Splits, hold_out
from ar_lightning.data.cache import Decoded, cached_files
from ar_lightning.data.download import data_root
from ar_lightning.data.files_below import Found, files_below, listed, notes_on

__all__ = ["SplitFolder"]

NAMES = {  # folders of a split, in small letters
    "train": ("train", "training"), "valid": ("valid", "val", "validation"), "test": ("test", "testing"),
}  # fmt: skip
DECODED = 2  # version of what is kept of files: since 2, with remarks


class SplitFolder:
    """Files of a folder, split and labelled by the sub-folders they lie in, as `ImageFolder` says; reads none of them.

    `dataset` is its name, for messages and the folder of what is kept; `things` are the files, in the plural, with
    these `suffixes` in small letters; `seed` is that of the held-out splits, where the folder has none.
    """

    def __init__(self, path: str | None, dataset: str, things: str, suffixes: tuple[str, ...], seed: int) -> None:
        if path is None:
            raise UserError(f"data.path: data '{dataset}' needs a folder; give data.path=my_{things}")
        self.path = Path(path).expanduser()
        self.name = self.path.resolve().name
        self.dataset, self.things, self.suffixes, self.seed = dataset, things, suffixes, seed
        self._notes: tuple[str, ...] = ()
        if not self.path.is_dir():
            if self.path.is_file():
                raise UserError(f"data.path: {self.path} is a file, not a folder of {things}")
            raise UserError(f"data.path: no folder {self.path}{nearby(self.path, Path.is_dir)}")
        if not os.access(self.path, os.R_OK | os.X_OK):
            raise UserError(f"data.path: {self.path} cannot be read; check its permissions")

    @property
    def regime(self) -> str:
        """The splits, and which of them were held out of train."""
        missing = [name for name in SPLITS if name != "train" and name not in self._folders]
        return f"{' and '.join(missing)} held out of train with seed {self.seed}" if missing else "its splits"

    @property
    def notes(self) -> str:
        """What `load` left out, and did to the files that it read, for the end of a `regime`; mostly nothing."""
        return "".join(f", {note}" for note in self._notes)

    @cached_property
    def files(self) -> dict[str, list[Path]]:
        """Files of each split, links followed, in an order that does not depend on the file system."""
        self._check_folders()
        files = {split: self._below(folder) for split, folder in (self._folders or {"train": ""}).items()}
        for split, found in files.items():
            if not found:
                where, kinds = self.path / self._folders.get(split, ""), ", ".join(self.suffixes)
                others = f", but {listed(self._found.left_out)}" if self._found.left_out else ""
                problem = f"no {self.things} ({kinds}) in this folder or below{others}"
                raise UserError(f"{where}: {problem}; check data.path")
        missing = [split for split in SPLITS if split not in files]
        train = files["train"]
        parts = hold_out(len(train), missing, self.seed, self.path)
        files |= {split: [train[i] for i in sorted(index)] for split, index in parts.items()}
        return {split: files[split] for split in SPLITS}

    @cached_property
    def classes(self) -> list[str]:
        """Names of the classes; empty if a file lies in no class folder."""
        by_split = {split: {self._class_of(file) for file in files} for split, files in self.files.items()}
        if any("" in names for names in by_split.values()):
            return []
        held_out = [split for split in SPLITS if split not in self._folders]  # of train
        of_train = set().union(*(by_split[split] for split in ("train", *held_out)))
        if new := {name: split for split, names in by_split.items() for name in names - of_train}:
            name = min(new)
            raise UserError(f"{self.path}: {new[name]} has the class '{name}', but train has no such folder; add it")
        return sorted(of_train) if len(of_train) > 1 else []

    def labels(self, split: str) -> np.ndarray | None:
        """Return the class `(N,)` int64 of each file of a split; None without classes."""
        numbers = {name: i for i, name in enumerate(self.classes)}
        return np.array([numbers[self._class_of(file)] for file in self.files[split]], np.int64) if numbers else None

    def load(self, settings: tuple[Any, ...], read: Callable[[Path], Decoded]) -> Splits:
        """Return the examples in the files of each split, memory-mapped; the arguments are those of `cached_files`."""
        folder = data_root(None) / self.dataset
        splits, remarks = {}, Counter[str]()
        for split, files in self.files.items():
            stem = folder / f"{self.name}-{split}"
            splits[split], of_split = cached_files(stem, files, self.labels(split), (*settings, DECODED), read)
            remarks += of_split
        self._notes = (*self._without_classes, *notes_on(self._left_out, remarks))
        if self._notes:
            notice(f"{self.path}: {', '.join(self._notes)}")
        return splits

    @cached_property
    def _folders(self) -> dict[str, str]:
        """Folder of each split that has one; empty if the files are not split."""
        there = sorted(path.name for path in self.path.iterdir() if path.is_dir())
        found = {split: [name for name in there if name.lower() in names] for split, names in NAMES.items()}
        if twice := next((names for names in found.values() if len(names) > 1), None):
            raise UserError(f"{self.path}: {' and '.join(twice)} are names of the same split; rename one of them")
        if any(found.values()) and not found["train"]:
            other = next(names[0] for names in found.values() if names)
            raise UserError(f"{self.path}: has a folder '{other}' but no 'train'; make one, or rename '{other}'")
        return {split: names[0] for split, names in found.items() if names}

    @cached_property
    def _found(self) -> Found:
        return files_below(self.path, self.suffixes)

    @property
    def _left_out(self) -> Counter[str]:
        """Numbers of the files that are not read, by what they are."""
        left_out = self._found.left_out.copy()
        if outside := len(self._found.files) - sum(map(len, self.files.values())):
            left_out[f"outside of {'/'.join(self._folders.values())}"] = outside
        if self._found.unreadable:
            left_out["unreadable folders"] = len(self._found.unreadable)
        return left_out

    @property
    def _without_classes(self) -> tuple[str, ...]:
        """Say why folders are no classes, where there would be two or more."""
        classes = Counter(self._class_of(file) for files in self.files.values() for file in files)
        loose = classes.pop("", 0)
        return (f"no classes, since {loose:,} lie in no class folder",) if loose and len(classes) > 1 else ()

    def _check_folders(self) -> None:
        """Raise `UserError` where the names of folders do not say what is a split and what a class."""
        root = self.path.resolve()
        inside: defaultdict[Path, set[str]] = defaultdict(set)  # names of the folders with files in each folder
        for folder in {parent for file in self._found.files for parent in file.relative_to(root).parents}:
            if folder.name:
                inside[folder.parent].add(folder.name)
        beside = sorted(inside[Path()] - set(self._folders.values()))
        if len(self._folders) == 1 and beside:
            (train,) = self._folders.values()
            problem = f"'{train}' beside '{beside[0]}' may be a split or a class"
            raise UserError(problem, self.path, f"rename it if it is a class, else move '{beside[0]}' away")
        for folder, names in inside.items():
            splits = {split for split, known in NAMES.items() for name in names if name.lower() in known}
            if folder.name and "train" in splits and len(splits) > 1:
                problem = f"has folders {' and '.join(sorted(splits))}, which are splits only at the top"
                raise UserError(problem, self.path / folder, "give data.path=that folder, or move them up")

    def _class_of(self, file: Path) -> str:
        """Return the first folder below the folder of the split, or `""`."""
        below = file.relative_to(self.path.resolve()).parts[bool(self._folders) :]
        return below[0] if len(below) > 1 else ""

    def _below(self, folder: str) -> list[Path]:
        """Return the files in a folder of this one, and below."""
        top = self.path.resolve() / folder
        for place, reason in self._found.unreadable.items():
            if place.is_relative_to(top):
                raise UserError(f"{place}: cannot be read ({reason}); check its permissions")
        return [file for file in self._found.files if file.is_relative_to(top)]
