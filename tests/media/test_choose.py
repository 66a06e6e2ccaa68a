"""Sound, text and tables reach W&B as what they are; only a known beginning is marked in a sequence."""

from pathlib import Path

import pytest
import torch

from ar_lightning.core.medium import Audio, Roll, Text
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.base import prefix_of
from ar_lightning.media.choose import media_of
from tests.support.cases import small
from tests.support.commands import QUICK, run_here


@pytest.mark.parametrize(
    ("model", "data", "kinds"),
    [
        ("wavenet", "tones", {"images/samples/samples": ".png", "audio/samples/samples, sound": ".wav"}),
        ("rnn", "text", {"html/samples/samples": ".html", "html/samples/completions": ".html"}),
        ("rnade", "wine", {"images/samples/pairs": ".png", "table/samples/samples": ".json"}),
    ],
)
def test_wandb_is_given_every_medium(
    model: str, data: str, kinds: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    run = tmp_path / "run"
    quick = [option for option in QUICK if not option.startswith("tracking")]
    options = [f"model={model}", *small(model), f"data={data}", *quick, "data.batch_size=8", "tracking.mode=offline"]
    assert run_here(*options, f"run_dir={run}") == 0
    shown = [path.relative_to(run).as_posix() for path in (run / "wandb").rglob("media/**/*") if path.is_file()]
    for place, ending in kinds.items():
        assert any(f"media/{place}" in path and path.endswith(ending) for path in shown), (place, shown)


def test_a_prefix_is_told_from_other_masks() -> None:
    mask = torch.tensor([[True, True, False, False]])
    assert prefix_of(mask) == 2
    assert prefix_of(~mask) == 0
    assert prefix_of(torch.ones(1, 4, dtype=torch.bool)) == 4


@pytest.mark.parametrize("medium", [Audio(8000), Text("abc"), Roll(4.0, 60)])
def test_completions_of_what_is_not_the_start_are_not_written(medium: Audio | Roll | Text, tmp_path: Path) -> None:
    spec = DataSpec((1, 4), 3, medium=medium)
    x, drawn = torch.zeros(2, 1, 4, dtype=torch.long), torch.zeros(2, 1, 1, 1, 4, dtype=torch.long)
    scattered = torch.tensor([[[True, False, True, False]]])
    assert media_of(spec).write_completions(x, scattered, drawn, tmp_path / "c") == {}
    assert not list(tmp_path.iterdir())


def test_dequantised_images_are_drawn_as_their_levels(tmp_path: Path) -> None:
    spec = DataSpec((1, 2, 2), 4)
    levels = torch.arange(4).view(1, 1, 2, 2)
    values = (levels + 0.5) / 2 - 1
    assert torch.equal(media_of(spec.dequantised()).without_noise(values), levels)
    for name, x, s in (("a", levels, spec), ("b", values, spec.dequantised())):
        media_of(s).write_samples(x, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
