"""Public data files on this machine: a local copy first, else one verified download."""

import hashlib
import os
from pathlib import Path

from ar_lightning.core.errors import UserError
from ar_lightning.core.notice import notice

__all__ = ["ELSEWHERE", "ENVIRONMENT", "data_root", "obtain"]

ENVIRONMENT = "AR_LIGHTNING_DATA"
ELSEWHERE = f"data.data_dir or {ENVIRONMENT} name another folder"


def data_root(data_dir: str | None) -> Path:
    """Return the folder of data files: the argument, else `$AR_LIGHTNING_DATA`, else the user's cache folder."""
    if chosen := data_dir or os.environ.get(ENVIRONMENT):
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("ar_lightning"))


def obtain(
    known: dict[str, str], base_url: str, folder: Path, *others: Path, elsewhere: str = ELSEWHERE
) -> dict[str, Path]:
    """Return a verified path for each file of a `known` md5 or sha256; download the missing ones into `folder`.

    They are looked for in `folder`, which is made if need be, and in `others`. The address ends in a slash. Another
    file of the same name is passed over in the latter, and is refused in `folder`: nobody knows whose it is. An error
    says what can name a folder `elsewhere`.
    """
    paths = {}
    for name, checksum in known.items():
        for there in (d / name for d in (folder, *others)):
            if name not in paths and there.is_file():
                if not (difference := _difference(there, checksum)):
                    paths[name] = there
                elif there.parent == folder:
                    fix = f"move it to another folder, and it is downloaded again ({elsewhere})"
                    raise UserError(difference, there, fix)
                else:
                    notice(f"{there}: {difference}; it is not read")
    missing = [name for name in known if name not in paths]
    for i, name in enumerate(missing):
        paths[name] = _download(base_url, missing[i:], known[name], folder, elsewhere)
    return paths


def _algorithm(checksum: str) -> str:
    return "md5" if len(checksum) == 32 else "sha256"


def _difference(path: Path, checksum: str) -> str:
    """Say how a local file differs from the published one; nothing if it is that."""
    algorithm = _algorithm(checksum)
    try:
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, algorithm).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    return "" if actual == checksum else f"{algorithm} {actual[:8]}.. is not the published {checksum[:8]}.."


def _download(base_url: str, missing: list[str], checksum: str, folder: Path, elsewhere: str) -> Path:
    """Download the first missing file; on failure say where all of them should go."""
    import pooch
    import requests

    name = missing[0]
    url, known = f"{base_url}{name}", f"{_algorithm(checksum)}:{checksum}"
    offline = f"put {', '.join(missing)} from {base_url} into {folder} ({elsewhere})"
    try:
        # pooch writes to a temporary file beside the target, verifies that, and then renames it.
        return Path(pooch.retrieve(url, known, fname=name, path=folder, progressbar=True))
    except requests.RequestException as error:
        status = f"HTTP {error.response.status_code}" if error.response is not None else type(error).__name__
        raise UserError(f"cannot download {url} ({status}); {offline}") from error
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); {elsewhere}") from error
    except ValueError as error:  # what pooch raises for a wrong checksum
        raise UserError(f"{url}: the download does not match its published checksum; {offline}") from error
