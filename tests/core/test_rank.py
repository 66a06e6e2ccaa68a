"""The first process of a training speaks for all, whichever launcher started it."""

import pytest

from ar_lightning.core.rank import NAMES, rank


@pytest.mark.parametrize(
    ("environment", "number"),
    [
        ({}, 0),
        ({"RANK": "0", "LOCAL_RANK": "0"}, 0),
        ({"RANK": "3", "LOCAL_RANK": "1"}, 3),
        ({"NODE_RANK": "0", "LOCAL_RANK": "1"}, 1),
        ({"NODE_RANK": "1"}, 1),  # the first process of a second machine
        ({"SLURM_PROCID": "2"}, 2),
        ({"RANK": "", "LOCAL_RANK": "x"}, 0),
    ],
)
def test_the_rank_is_what_the_launcher_says(
    environment: dict[str, str], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert rank() == number
