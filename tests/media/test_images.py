"""Pictures show what they should, pixel by pixel."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ar_lightning.core.spec import DataSpec
from ar_lightning.media.images import CELL, GAP, UNKNOWN, completion_grid, image_grid, save_png, to_rgb
from ar_lightning.media.plots import curves_png


def test_levels_become_grey_from_black_to_white() -> None:
    x = torch.tensor([[[[0, 16], [8, 4]]]])
    assert to_rgb(x, DataSpec((1, 2, 2), 17))[0, :, :, 0].tolist() == [[0, 255], [128, 64]]


def test_colours_sequences_and_real_values() -> None:
    colours = to_rgb(torch.tensor([255, 0, 128]).view(1, 3, 1, 1), DataSpec((3, 1, 1), 256))
    assert colours[0, 0, 0].tolist() == [255, 0, 128]
    assert to_rgb(torch.zeros(5, 1, 7), DataSpec((1, 7), 2)).shape == (5, 1, 7, 3)
    real = to_rgb(torch.tensor([[[-3.0, 1.0]]]), DataSpec((1, 2), None))
    assert real[0, 0, :, 0].tolist() == [0, 255]


def test_grid_places_every_example_in_its_cell() -> None:
    x = torch.zeros(6, 1, 8, 8, dtype=torch.long)
    x[4] = 1
    grid = image_grid(x, DataSpec((1, 8, 8), 2), columns=3)
    step = CELL // 8 * 8 + GAP
    assert grid.shape == (2 * step + GAP, 3 * step + GAP, 3)
    lit = np.argwhere(grid[:, :, 0] == 255)
    assert lit.min(0).tolist() == [step + GAP, step + GAP]
    assert lit.max(0).tolist() == [2 * step - 1, 2 * step - 1]


def test_completions_mark_what_was_not_known() -> None:
    x = torch.ones(1, 1, 8, 8, dtype=torch.long)
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[:, :4] = True
    grid = completion_grid(x, mask[None], x[None, None].expand(1, 1, 2, 1, 8, 8), DataSpec((1, 8, 8), 2))
    unknown = np.argwhere((grid == UNKNOWN).all(2))
    step = CELL + GAP
    assert unknown.min(0).tolist() == [GAP + CELL // 2, step + GAP]
    assert unknown.max(0).tolist() == [step - 1, 2 * step - 1]


def test_pictures_are_written_whole(tmp_path: Path) -> None:
    save_png(np.zeros((3, 4, 3), np.uint8), tmp_path / "new" / "x.png")
    assert Image.open(tmp_path / "new" / "x.png").size == (4, 3)
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("step,epoch,train/bpd,val/bpd\n1,0,3.0,\n1,0,,2.9\n2,1,2.0,\n")
    curves_png(metrics, tmp_path / "curves.png", "title")
    assert Image.open(tmp_path / "curves.png").size[0] > 300
    assert not list(tmp_path.rglob("*.partial"))
