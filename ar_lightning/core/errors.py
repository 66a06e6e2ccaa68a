"""The one exception for bad input, its exit code, and the hint that goes with a misspelt name."""

import errno
import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from textwrap import shorten

__all__ = [
    "BAD_INPUT", "INTERRUPTED", "UserError", "did_you_mean", "first_line", "is_out_of_memory", "nearby", "nearest",
    "of_the_system", "refuse_over", "refuse_pipe",
]  # fmt: skip

BAD_INPUT, INTERRUPTED = 2, 130  # exit codes; the second is that of a program that Ctrl-C ended


class UserError(Exception):
    """Something the user gave (config, data, checkpoint, environment) cannot be used.

    Whatever reads what a user gives raises it. The message is one line, `WHERE: PROBLEM; HINT`. The command line prints
    it and exits with code 2.

    Args:
        problem: what is wrong.
        where: the file, option or key that it is wrong in.
        hint: what to do about it.

    Example:
        >>> str(UserError("no key 'hiden'", "conf/nade.yaml", "did you mean 'hidden'?").under("sweeps/nade.yaml"))
        "sweeps/nade.yaml: conf/nade.yaml: no key 'hiden'; did you mean 'hidden'?"
    """

    def __init__(self, problem: str, where: object = "", hint: str = "") -> None:
        super().__init__(problem, where, hint)
        self.problem, self.where, self.hint = problem, str(where), hint.removeprefix("; ")

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        return f"{where}{self.problem}{'; ' if self.hint else ''}{self.hint}"

    def under(self, where: object) -> "UserError":
        """Return the error with a wider place before its own, unless that is the place."""
        inside = f": {self.where}" if self.where and self.where != str(where) else ""
        return UserError(self.problem, f"{where}{inside}", self.hint)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether NumPy, PyTorch or Python had no memory for what was asked."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(NO_MEMORY.search(str(error))))


NO_MEMORY = re.compile("can't allocate|unable to allocate|out of memory|alloc_cpu|size calculation overflowed", re.I)
REMEDIES = {  # of errors of the system that a user can do something about
    errno.ENOSPC: "make room there, or name another place",
    errno.EDQUOT: "make room there, or name another place",
    errno.EFBIG: "raise the limit on the size of files, `ulimit -f`",
    errno.EMFILE: "raise the limit on open files, `ulimit -n`",
    errno.EROFS: "name another place",
    errno.EACCES: "name another place, or change who may use it",
    errno.EPERM: "name another place, or change who may use it",
}


def of_the_system(error: OSError, then: str = "") -> UserError:
    """Return what the operating system refused as a message: which file, why, what to do and `then`.

    Example:
        >>> str(of_the_system(OSError(errno.ENOSPC, "No space left on device", "runs/a/last.ckpt")))
        'runs/a/last.ckpt: No space left on device; make room there, or name another place'
    """
    remedy = REMEDIES.get(error.errno or 0, "")
    where = "" if error.filename is None else error.filename
    return UserError(error.strerror or first_line(error), where, "; ".join(filter(None, (remedy, then))))


def first_line(error: BaseException, longest: int = 120) -> str:
    """Return the first line of an error's message, whole words of it; the name of its type where that is empty.

    Example:
        >>> first_line(RuntimeError("No driver. See https://example.org/driver"), longest=20)
        'No driver. See ...'
    """
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return shorten(line, longest, placeholder=" ...") if len(line) > longest else line.rstrip(".")


def nearest(name: object, known: Iterable[str]) -> str:
    """Return `; did you mean 'X'?` for the nearest known name, nothing where none is near.

    Example:
        >>> nearest("NAED", ["nade", "markov"])
        "; did you mean 'nade'?"
        >>> nearest("zzz", ["nade", "markov"])
        ''
    """
    known = list(known)
    match = get_close_matches(str(name), known, n=1) or get_close_matches(str(name).lower(), known, n=1)
    return f"; did you mean '{match[0]}'?" if match else ""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return `; did you mean 'X'?` for the nearest known name, else the list of names.

    Example:
        >>> did_you_mean("naed", ["nade", "markov"])
        "; did you mean 'nade'?"
        >>> did_you_mean("zzz", ["nade", "markov"])
        '; choose from markov, nade'
    """
    known = sorted(known)
    return nearest(name, known) or f"; choose from {', '.join(known)}"


def refuse_pipe(path: Path, where: str = "") -> None:
    """Raise `UserError` for a pipe or a device, of which nobody knows when it ends."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UserError(f"{path} is a pipe or a device", where, "save what comes of it in a file")


def refuse_over(out: Path, source: str | Path | None) -> None:
    """Raise `UserError` where a file would be written over the one that it is made of."""
    read = None if source is None else Path(source).expanduser()
    if read and read.is_file() and out.exists() and out.samefile(read):
        raise UserError("would be written over what it is made of", out, "name another file by --out")


def nearby(path: Path, fits: Callable[[Path], bool] = lambda path: True, kind: str = "") -> str:
    """Return `; did you mean 'X'?` for the nearest name in a path's folder, of the entries that fit.

    Where no name is near and there is a `kind`, such as "table", say which there are.
    """
    folder = path.parent
    if not folder.is_dir():
        return f"; there is no folder {folder} either" if kind else ""
    names = [entry.name for entry in folder.iterdir() if fits(entry) and entry.name != path.name]
    if not kind:
        return nearest(path.name, names)
    return did_you_mean(path.name, names) if names else f"; {folder} has no {kind}"
