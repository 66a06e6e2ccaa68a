"""What W&B's server is asked for outside of a training: there a failure ends the command, in one line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ar_lightning.core.errors import UserError
from ar_lightning.tracking.wandb_mode import has_key
from ar_lightning.tracking.wandb_run import ENVIRONMENT

__all__ = ["wandb_api"]

PATIENCE = 20  # seconds for an answer


@contextmanager
def wandb_api(purpose: str) -> Iterator[Any]:
    """Yield a client of W&B's public API, signed in.

    Args:
        purpose: what it is for, which begins the error message.

    Raises:
        UserError: there is no key, or the server cannot be reached, refuses it or what is asked of it.
    """
    if not has_key():  # W&B would ask for it
        raise UserError(f"{purpose}: W&B has no API key; set WANDB_API_KEY or run `wandb login`")
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import wandb
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    try:
        yield wandb.Api(timeout=PATIENCE)
    except (wandb.errors.Error, WandbApiFailedError, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160].rstrip(".")
        raise UserError(f"{purpose}: {reason}") from None
