"""The mode of W&B, online, offline or disabled: from the environment, the config, or whether a key is at hand.

Imports nothing heavy.
"""

import os
from configparser import ConfigParser
from configparser import Error as ConfigError
from contextlib import suppress
from netrc import NetrcParseError, netrc
from pathlib import Path
from urllib.parse import urlsplit

from ar_lightning.core.errors import UserError, did_you_mean

__all__ = ["has_key", "wandb_mode"]

MODES = ("online", "offline", "disabled")
ALIASES = {"run": "online", "dryrun": "offline"}  # W&B's older words


def wandb_mode(requested: str = "auto") -> str:
    """Return `online`, `offline` or `disabled`: WANDB_MODE, else the config, else online if a key is at hand."""
    if given := os.environ.get("WANDB_MODE"):
        if given not in (*MODES, *ALIASES):
            raise UserError(f"WANDB_MODE={given}: no such mode{did_you_mean(given, MODES)}")
        return ALIASES.get(given, given)
    if requested != "auto":
        return requested
    if _wandb_settings().get("mode") == "offline":  # the user ran `wandb offline`
        return "offline"
    return "online" if has_key() else "offline"


def has_key() -> bool:
    """Return whether W&B will find credentials for its server, so that it does not ask for them."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    server = os.environ.get("WANDB_BASE_URL") or _wandb_settings().get("base_url", "https://api.wandb.ai")
    places = [os.environ["NETRC"]] if os.environ.get("NETRC") else ["~/.netrc", "~/_netrc"]
    for path in [path for place in places if (path := Path(place).expanduser()).is_file()][:1]:
        with suppress(OSError, NetrcParseError, UnicodeDecodeError):
            return bool(netrc(path).hosts.get(urlsplit(server).netloc, ("", "", ""))[2])
    return False


def _wandb_settings() -> dict[str, str]:
    """Read W&B's settings files, where `wandb login --host` and `wandb offline` keep their choices."""
    parser = ConfigParser(interpolation=None)
    folder = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser()
    with suppress(OSError, ConfigError, UnicodeDecodeError):
        parser.read([folder / "settings", Path("wandb") / "settings"])
        return dict(parser["default"]) if parser.has_section("default") else {}
    return {}
