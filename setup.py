"""Take conf/ and sweeps/ into the package, as ar_lightning/bundled; everything else is in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

FOLDERS = [folder for top in ("conf", "sweeps") for folder in (Path(top), *Path(top).rglob("*")) if folder.is_dir()]
BUNDLED = {".".join(("ar_lightning", "bundled", *folder.parts)): folder.as_posix() for folder in FOLDERS}

setup(packages=[*find_packages(include=["ar_lightning*"]), *BUNDLED], package_dir=BUNDLED)
