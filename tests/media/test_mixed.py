"""Mixed tables as files and pictures: cells come back, every kind of column is drawn, and what is left out is said."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Column, MixedTable
from ar_lightning.core.spec import DataSpec
from ar_lightning.media import marginals
from ar_lightning.media.associations import associations
from ar_lightning.media.cell_values import side_of
from ar_lightning.media.choose import media_of
from ar_lightning.media.frames import from_frame
from ar_lightning.media.marginals import view_of
from ar_lightning.media.mixed import MixedTables
from ar_lightning.media.mixed_pairs import strongest

TABLE = MixedTable(
    (
        Column("colour", "category", ("red", "$x_1$", "(other)"), other=True, gaps="level"),
        Column("visits", "integer", offset=3.0, scale=2.0, lowest=0.0, spikes=(0.0,)),
        Column("gain", "real", offset=50.0, scale=900.0, spikes=(0.0,), gaps="unread"),
        Column("born", "date", offset=4000.0, scale=900.0, days=True),
        Column("seen", "date", offset=1.7e9, scale=1e5, gaps="unread"),
    )
)
SPEC = DataSpec((1, 5), None, medium=TABLE)


def rows(n: int, seed: int = 0) -> torch.Tensor:
    g = np.random.default_rng(seed)
    zero = np.float32((0.0 - 50.0) / 900.0)
    x = np.stack(
        [
            np.where(g.random(n) < 0.1, np.nan, g.integers(0, 3, n)),
            g.poisson(2.0, n) - 3.0,
            np.where(g.random(n) < 0.8, zero, np.where(g.random(n) < 0.2, np.nan, g.lognormal(0, 2, n))),
            np.round(900 * g.normal(size=n)),
            g.normal(size=n),
        ],
        1,
    )
    return torch.from_numpy(x[:, None]).float()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved."""
    figures: list[Figure] = []
    save = Figure.savefig

    def savefig(self: Figure, *args: Any, **kwargs: Any) -> None:
        figures.append(self)
        save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures


def test_samples_are_read_as_they_were_drawn(tmp_path: Path) -> None:
    """With dates as dates, whole numbers without a point, and missing cells empty."""
    x = rows(50)
    media = media_of(SPEC)
    assert isinstance(media, MixedTables)
    assert media.write_samples(x, tmp_path / "new" / "s") == {"samples": tmp_path / "new" / "s.csv"}
    frame = pd.read_csv(tmp_path / "new" / "s.csv", dtype=str, keep_default_na=False)
    assert tuple(frame.columns) == TABLE.names
    assert set(frame["colour"]) == {"red", "$x_1$", "(other)", ""}
    assert frame["visits"].str.fullmatch(r"\d+").all() and frame["born"].str.fullmatch(r"\d{4}-\d\d-\d\d").all()
    back = from_frame(frame, TABLE, "here")
    np.testing.assert_allclose(back[..., :4], x.numpy()[..., :4], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(back[..., 4], x.numpy()[..., 4], atol=1e-5)  # a second of 1e5
    assert not list(tmp_path.rglob("*.partial"))


def test_dates_are_written_as_the_training_file_has_them(tmp_path: Path) -> None:
    """And read so again, also by a file that has the year first; a day of no month is named with both ways."""
    table = MixedTable((replace(TABLE.columns[3], written="%d/%m/%Y"), TABLE.columns[4]), 0, ("seen", "born"))
    x = rows(50)[..., 3:]
    MixedTables(DataSpec((1, 2), None, medium=table)).write_samples(x, tmp_path / "s")
    frame = pd.read_csv(tmp_path / "s.csv", dtype=str, keep_default_na=False)
    assert frame["born"].str.fullmatch(r"\d\d/\d\d/\d{4}").all() and frame["seen"].str.match(r"\d{4}-|$").all()
    assert [*frame] == ["seen", "born"]  # in the order of the file
    np.testing.assert_array_equal(from_frame(frame, table, "here")[..., 0], x.numpy()[..., 0])
    iso = frame.assign(born=pd.to_datetime(frame["born"], dayfirst=True).dt.strftime("%Y-%m-%d"))
    np.testing.assert_array_equal(from_frame(iso, table, "here")[..., 0], x.numpy()[..., 0])
    with pytest.raises(UserError, match="column born: '01/31/2026' is no date; write dates as 31/01/2026, 2026-01-31"):
        from_frame(frame.assign(born="01/31/2026"), table, "here")


def test_pictures_beside_data(drawn: list[Figure], tmp_path: Path) -> None:
    """Each column has a panel; spikes, missing cells and what is out of view are in words."""
    files = media_of(SPEC).write_samples(rows(300, 1), tmp_path / "s", rows(400))
    assert list(files) == ["marginals", "pairs", "associations", "samples"]
    for path in files.values():
        assert path.is_file()
        assert path.suffix == ".csv" or min(Image.open(path).size) > 300
    panels = {axes.get_title(): axes for axes in drawn[0].axes}
    assert list(panels) == list(TABLE.names)
    gain = panels["gain"].get_xlabel()
    data, samples = (side_of(x, TABLE) for x in (rows(400), rows(300, 1)))
    assert f"exactly 0: {(data.values[:, 2] == 0).mean():.1%} of data, {(samples.values[:, 2] == 0).mean():.1%}" in gain
    assert f"missing: {np.isnan(data.values[:, 2]).mean():.1%} of data" in gain
    labels = [text.get_text() for text in panels["colour"].get_yticklabels()]
    assert labels == ["red", "$x_1$", "(other)", "(missing)"]
    bars = [patch.get_width() for patch in panels["colour"].patches]
    assert sum(bars[:4]) == pytest.approx(1) and sum(bars[4:]) == pytest.approx(1)
    assert bars[3] == pytest.approx(np.isnan(data.values[:, 0]).mean())
    assert len([axes for axes in drawn[1].axes if axes.get_xlabel()]) == 5  # the bottom of the corner


def test_a_spike_is_no_part_of_the_histogram(drawn: list[Figure], tmp_path: Path) -> None:
    """Bars and histogram of a column add to the share of its cells that are there."""
    whole = MixedTable((Column("n", "integer", scale=2.0, spikes=(3.0,)),))
    x = torch.tensor([3.0] * 70 + [1.0] * 20 + [5.0] * 10)[:, None, None]
    MixedTables(DataSpec((1, 1), None, medium=whole)).write_samples(x, tmp_path / "s", x)
    bars = [p for p in drawn[0].axes[0].patches if hasattr(p, "get_height")]
    heights = [round(p.get_height(), 6) for p in bars if p.get_height()]
    assert sorted(heights) == [0.1, 0.2, 0.7, 0.7]  # data alone are filled bars, and spikes have one each


@pytest.mark.parametrize("n", [1, 2, 7])
def test_any_number_of_columns_and_rows(
    n: int, drawn: list[Figure], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marginals, "COLUMNS", 5)
    kinds = [replace(c, name=f"{c.name} {i}", gaps="unread") for i in range(2) for c in TABLE.columns][:n]
    spec = DataSpec((1, n), None, medium=MixedTable(tuple(kinds)))
    x = rows(5).repeat(1, 1, 2)[..., :n]
    x[..., -1] = torch.nan  # a column without any
    assert len(media_of(spec).write_samples(x[:1], tmp_path / "s", x)) == 4
    left_out = drawn[0].get_supxlabel()
    assert ("the first 5 of 7 columns, without colour 1, visits 1" in left_out) == (n == 7)
    assert len(drawn[0].axes) == min(n, 5)


def test_heavy_tails_do_not_flatten_the_rest() -> None:
    g = np.random.default_rng(0)
    values = np.concatenate([g.normal(size=1000), [1e6]])
    view = view_of(values, values)
    assert view.high < 20 and view.beyond(values) == 1
    assert view_of(g.lognormal(0, 3, 1000), values).log
    assert not view_of(values, values * 1e9).log  # samples do not change what is shown
    low, high, _ = view_of(np.array([7.0]), np.array([]))
    assert low < 7 < high


def test_associations_are_none_by_chance_and_one_of_the_same() -> None:
    """Of all kinds of pairs."""
    g = np.random.default_rng(0)
    a, noise = g.integers(0, 4, 2000), g.normal(size=2000)
    table = MixedTable(
        (
            Column("a", "category", ("w", "x", "y", "z")),
            Column("copy", "category", ("w", "x", "y", "z")),
            Column("number of a", "integer"),
            Column("noise", "real"),
            Column("cube", "real"),
            Column("other", "category", ("w", "x", "y", "z")),
        )
    )
    values = np.stack([a, a, a * 10.0, noise, -(noise**3), g.integers(0, 4, 2000)], 1)
    found = associations(values, table)
    same = [(0, 1), (0, 2), (1, 2), (3, 4)]
    for i in range(6):
        for j in range(i):
            assert found[i, j] == found[j, i]
            assert found[i, j] == pytest.approx(1) if (j, i) in same else found[i, j] < 0.08
    assert 3 in (chosen := strongest(side_of(torch.from_numpy(values)[:, None], table), 5)) and 5 not in chosen


def test_other_tables_are_translated_by_name() -> None:
    """Levels in another order, other units, and columns that this one does not have."""
    theirs = MixedTable(
        (
            Column("more", "real"),
            Column("gain", "real", offset=1.0, scale=10.0),
            Column("colour", "category", ("$x_1$", "red", "blue")),
            *(replace(c, gaps="none") for c in TABLE.columns if c.name in ("visits", "born", "seen")),
        )
    )
    media, other = (media_of(DataSpec((1, len(t.columns)), None, medium=t)) for t in (TABLE, theirs))
    x = torch.tensor([[[0.5, 4.9, 2.0, 1.0, 9.0, 0.5]], [[0.5, -0.1, 1.0, 1.0, 9.0, 0.5]]])
    assert (
        media.difference(other) is None
        and other.difference(media) == "no column more, which this density was trained for"
    )
    back = media.translate(x, other)
    assert back[:, 0, 0].tolist() == [2.0, 0.0]  # blue is one of the others
    torch.testing.assert_close(back[:, 0, 2], torch.tensor([(50.0 - 50) / 900, (0.0 - 50) / 900]))
