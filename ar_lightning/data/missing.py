"""What a user says stands for a missing value."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ar_lightning.media.cells import number_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["blanked"]


def blanked(frame: "pd.DataFrame", missing: Sequence[str]) -> "pd.DataFrame":
    """Return a frame whose cells that are one of these texts, or of these numbers, are missing.

    Example:
        >>> import pandas as pd
        >>> blanked(pd.DataFrame({"a": [1.0, -999.0], "b": ["x", "-999"]}), ["-999", "x"]).isna().to_numpy().tolist()
        [[False, True], [True, True]]
    """
    return frame.apply(_blanked, args=(missing,)) if len(missing) else frame


def _blanked(column: "pd.Series", missing: Sequence[str]) -> "pd.Series":
    import pandas as pd

    numbers = {value for text in missing if (value := number_of(text)) is not None}
    if isinstance(column.dtype, pd.CategoricalDtype):
        absent = [text for text in column.cat.categories if text in missing or number_of(text) in numbers]
        return column.cat.remove_categories(absent)
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.mask(column.isin(numbers))
    return column.mask(np.array([str(cell).strip() in missing or number_of(str(cell)) in numbers for cell in column]))
