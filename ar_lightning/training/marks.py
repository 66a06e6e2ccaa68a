"""What marks the likelihood of a run, wherever it is shown: that it is of a part of the data, or a bound."""

from collections.abc import Mapping
from typing import Any

__all__ = ["marks"]


def marks(config: Mapping[str, Any]) -> list[str]:
    """Return what a reader of the likelihood must know, given the config by dotted key."""
    limits = {key: config.get(f"trainer.{key}") for key in ("limit_train", "limit_val", "limit_test")}
    batches = ", ".join(f"{key}={limit}" for key, limit in limits.items() if limit is not None)
    return [
        *([f"only part of the data: {batches}"] if batches else []),
        *(["a bound: the levels are dequantised"] if config.get("data.dequantise") else []),
    ]
