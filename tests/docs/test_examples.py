"""The examples run; the notebooks say again what is stored in them."""

import re
import runpy
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.commands import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
NUMBER = re.compile(r"\d[\d,]*\.?\d*")
TEXTS = ("stream", "execute_result")


def printed(cell: nbformat.NotebookNode) -> str:
    """Return what a cell printed, and the text of its value."""
    outputs = [o for o in cell.get("outputs", []) if o.output_type in TEXTS]
    return "\n".join(o.text if o.output_type == "stream" else o.data["text/plain"] for o in outputs)


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "").rstrip(".")) for number in NUMBER.findall(text)]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_says_again_what_is_stored(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # whatever a test before has chosen
    stored, notebook = (nbformat.read(path, as_version=4) for _ in range(2))
    # Elsewhere than in the project: whoever downloads a notebook has no more than the package.
    NotebookClient(
        notebook, timeout=240, coalesce_streams=True, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    for before, after in zip(stored.cells, notebook.cells, strict=True):
        assert [o.output_type for o in before.get("outputs", [])] == [o.output_type for o in after.get("outputs", [])]
        old, new = printed(before), printed(after)
        assert NUMBER.sub("#", old).split() == NUMBER.sub("#", new).split()
        # Other processors round otherwise, and a training carries that on: most to what is drawn after it.
        rel = 0.2 if "trained" in before.metadata.get("tags", []) else 0.03
        assert numbers(new) == pytest.approx(numbers(old), rel=rel, abs=0.15)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_with_its_outputs_and_nothing_of_a_machine(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert any("image/png" in o.get("data", {}) for cell in code for o in cell.outputs)
    for cell in code:
        assert not any(o.get("name") == "stderr" for o in cell.outputs)
        assert not re.search(r"(^|[\s'\"(])(/|[A-Z]:\\)\w", printed(cell)), "an absolute path"


def test_there_are_notebooks() -> None:
    assert {"chain_rule", "tables"} <= {path.stem for path in NOTEBOOKS}


@pytest.mark.slow
def test_the_minimal_example_learns(capsys: pytest.CaptureFixture[str]) -> None:
    """It beats the tossed coin that it names, and draws a digit."""
    scope = runpy.run_path(str(ROOT / "examples" / "minimal.py"))
    said, *drawn = capsys.readouterr().out.splitlines()
    assert said.startswith(f"test: {scope['bits']:.3f} bits/dim") and scope["bits"] < 0.5
    assert len(drawn) == 8 and all(len(line) == 16 and set(line) <= {" ", "#"} for line in drawn)
