"""Splits and classes of the files in a folder, by the sub-folders they lie in."""

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ar_lightning.core.errors import UserError, nearby
from ar_lightning.data.base import SPLITS, Splits, hold_out
from ar_lightning.data.cache import cached_files
from ar_lightning.data.download import data_root

__all__ = ["SplitFolder"]

NAMES = {"train": ("train",), "valid": ("valid", "val", "validation"), "test": ("test",)}  # folders of a split


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

    @cached_property
    def files(self) -> dict[str, list[Path]]:
        """Files of each split, links followed, in an order that does not depend on the file system."""
        files = {split: self._below(folder) for split, folder in (self._folders or {"train": ""}).items()}
        for split, found in files.items():
            if not found:
                where, kinds = self.path / self._folders.get(split, ""), ", ".join(self.suffixes)
                raise UserError(f"{where}: no {self.things} ({kinds}) in this folder or below; check data.path")
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

    def load(self, settings: tuple[Any, ...], read: Callable[[Path], np.ndarray]) -> Splits:
        """Return the examples in the files of each split, memory-mapped; the arguments are those of `cached_files`."""
        folder = data_root(None) / self.dataset
        return {
            split: cached_files(folder / f"{self.name}-{split}", files, self.labels(split), settings, read)
            for split, files in self.files.items()
        }

    @cached_property
    def _folders(self) -> dict[str, str]:
        """Folder of each split that has one; empty if the files are not split."""
        there = {path.name for path in self.path.iterdir() if path.is_dir()}
        found = {split: [name for name in names if name in there] for split, names in NAMES.items()}
        if twice := next((names for names in found.values() if len(names) > 1), None):
            raise UserError(f"{self.path}: {' and '.join(twice)} are names of the same split; rename one of them")
        if any(found.values()) and not found["train"]:
            other = next(names[0] for names in found.values() if names)
            raise UserError(f"{self.path}: has a folder '{other}' but no 'train'; make one, or rename '{other}'")
        return {split: names[0] for split, names in found.items() if names}

    def _class_of(self, file: Path) -> str:
        """Return the first folder below the folder of the split, or `""`."""
        below = file.relative_to(self.path.resolve()).parts[bool(self._folders) :]
        return below[0] if len(below) > 1 else ""

    def _below(self, folder: str) -> list[Path]:
        def refuse(error: OSError) -> None:  # os.walk would leave out the folder
            raise UserError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from error

        found = []
        for parent, folders, names in os.walk(self.path.resolve() / folder, onerror=refuse, followlinks=True):
            folders[:] = [name for name in folders if name[0] != "."]
            visible = [name for name in names if name[0] != "." and name.lower().endswith(self.suffixes)]
            found += [Path(parent, name) for name in visible]
        return sorted(found, key=lambda file: file.as_posix())
