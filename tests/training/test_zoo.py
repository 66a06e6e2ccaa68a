"""Densities by name: found in a checkout, else downloaded and verified, else a line that says where to put them."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from ar_lightning.core.errors import UserError
from ar_lightning.core.files import WEIGHTS
from ar_lightning.data.download import ENVIRONMENT
from ar_lightning.training import zoo
from ar_lightning.training.zoo import MANIFEST, manifest, zoo_file
from tests.support.commands import run_here
from tests.support.files import Server, one_line

CONTENT = b"weights"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A list of one density, as an installed package has it; return its content, to change it."""
    known = {WEIGHTS: {"bytes": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}}
    content = {"url": None, "models": {"small_nade": {"files": known}}}
    monkeypatch.setattr(zoo, "manifest", lambda: content)
    monkeypatch.setattr(zoo, "CHECKOUT", tmp_path / "none")
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "data"))
    return content


def test_the_nearest_name_is_named(elsewhere: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"no 'small_nad' in the zoo; did you mean 'zoo:small_nade'\?"):
        zoo_file("zoo:small_nad")
    with pytest.raises(UserError, match="no '' in the zoo; choose from zoo:small_nade"):
        zoo_file("zoo:")


def test_without_an_address_a_line_says_where_the_file_goes(elsewhere: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError) as info:
        zoo_file("zoo:small_nade")
    place = tmp_path / "data" / "zoo" / "small_nade"
    assert f"put zoo/small_nade/{WEIGHTS} of a checkout of the project into {place}" in one_line(info)
    assert not (tmp_path / "data").exists() and not zoo.on_this_machine("small_nade")
    place.mkdir(parents=True)
    (place / WEIGHTS).write_bytes(CONTENT)
    assert zoo_file("zoo:small_nade") == place / WEIGHTS and zoo.on_this_machine("small_nade")
    (place / WEIGHTS).write_bytes(b"others")
    with pytest.raises(UserError, match=r"is not the published .*; move it to another folder") as info:
        zoo_file("zoo:small_nade")
    one_line(info)


def test_it_is_downloaded_once_and_verified(elsewhere: dict[str, Any], server: Server, tmp_path: Path) -> None:
    url, served = server
    elsewhere["url"] = url
    (served / "small_nade").mkdir()
    (served / "small_nade" / WEIGHTS).write_bytes(b"others")
    with pytest.raises(UserError, match="does not match its published checksum") as info:
        zoo_file("zoo:small_nade")
    assert f"{WEIGHTS} from {url}small_nade/ into {tmp_path / 'data' / 'zoo' / 'small_nade'}" in one_line(info)
    (served / "small_nade" / WEIGHTS).write_bytes(CONTENT)
    assert zoo_file("zoo:small_nade").read_bytes() == CONTENT
    (served / "small_nade" / WEIGHTS).unlink()
    assert zoo_file("zoo:small_nade").read_bytes() == CONTENT


def test_offline_a_line_says_where_the_file_goes(elsewhere: dict[str, Any], tmp_path: Path) -> None:
    elsewhere["url"] = "http://127.0.0.1:9/zoo/"  # nothing answers there
    with pytest.raises(UserError, match="cannot download") as info:
        zoo_file("zoo:small_nade")
    assert f"put {WEIGHTS} from http://127.0.0.1:9/zoo/small_nade/ into {tmp_path / 'data'}" in one_line(info)
    assert f"({ENVIRONMENT} names another folder)" in one_line(info)


def test_the_list_has_names_numbers_and_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("zoo") == 0
    said = capsys.readouterr().out
    for name, about in manifest()["models"].items():
        assert f"zoo:{name}\n  test: {about['test']}" in said
    assert "sample zoo:" in said and "into runs/zoo/" in said and MANIFEST.is_file()
