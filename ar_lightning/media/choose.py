"""The medium of a dataset, chosen by what its spec says the values are."""

from ar_lightning.core import medium
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.base import Media
from ar_lightning.media.images import Images
from ar_lightning.media.sound import Sounds
from ar_lightning.media.table import Tables
from ar_lightning.media.text import Texts

__all__ = ["media_of"]

CLASSES: dict[type, type[Media]] = {medium.Audio: Sounds, medium.Text: Texts, medium.Table: Tables}


def media_of(spec: DataSpec) -> Media:
    """Return the medium of data: sound, text or a table, and images (or plain arrays) where the spec names none.

    Example:
        >>> media_of(DataSpec((1, 28, 28), 2)).name
        'plain arrays or images'
    """
    return CLASSES.get(type(spec.medium), Images)(spec)
