"""Names of the arrays in an .npz file: what each is, what is left out, and what may be a slip of the pen."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from ar_lightning.core.errors import UserError
from ar_lightning.data.base import SPLITS

__all__ = ["Examples", "Keys", "beside", "examples_in", "keys_of"]

KINDS = ("labels", "features", "context", "lengths", "offsets")  # of what may lie beside the examples
SYNONYMS = {"train": ("train",), "valid": ("valid", "val", "validation"), "test": ("test",)}
ROLES = {  # by name, what an array is; the names of Keras and scikit-learn too
    name: role
    for s, synonyms in SYNONYMS.items()
    for word in synonyms
    for name, role in (
        (word, s), (f"{word}_images", s), (f"x_{word}", s), (f"X_{word}", s),
        *((f"{y}_{word}", f"{s}_labels") for y in "yY"), *((f"{word}_{kind}", f"{s}_{kind}") for kind in KINDS),
    )
}  # fmt: skip
WORDS = {"images": "", "x": "", "y": "_labels"} | {kind: f"_{kind}" for kind in KINDS}  # that say a kind
LENGTHS = re.compile("(^|_)(len|lens|length|lengths|seqlen|seqlens)($|_)", re.I)
ALIKE, WORDS_ALIKE = 0.85, 0.75  # of two names, and of two words


class Keys(NamedTuple):
    """The arrays of a file by what they are: `train`, `valid_labels`, `test_features` .., and what else there is."""

    of: dict[str, str]  # the name of each in the file
    left_out: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say, for a `regime`; mostly nothing."""
        other = {name: role for role, name in self.of.items() if name not in (role, f"{role}_images")}
        renamed = (f"{', '.join(other)} read as {', '.join(other.values())}",) if other else ()
        return (*renamed, *((f"without {', '.join(self.left_out)}",) if self.left_out else ()))


class Examples(NamedTuple):
    """The names of the examples that are read of a file, of what lies beside them, and of what is left out."""

    x: str
    labels: str | None = None
    features: str | None = None
    left_out: tuple[str, ...] = ()
    context: str | None = None
    lengths: str | None = None
    offsets: str | None = None


def keys_of(names: Sequence[str], where: object) -> Keys:
    """Tell what the arrays of these names are; refuse what may be meant to be another."""
    of: dict[str, str] = {}
    left_out = []
    for name in names:
        role = ROLES.get(name)
        if role in of:
            raise UserError(f"'{of[role]}' and '{name}' are names of the same array", where, "leave one of them in")
        if role:
            of[role] = name
            continue
        if LENGTHS.search(name):
            problem = f"'{name}' is no name of an array, and without lengths padding would be modelled"
            raise UserError(problem, where, "call the lengths of the examples of train 'train_lengths'")
        if near := _near(name):
            raise UserError(f"'{name}' is no name of an array", where, f"is it '{near}'? rename or remove it")
        left_out.append(name)
    return Keys(of, tuple(left_out))


def examples_in(names: Sequence[str], split: str, where: object) -> Examples:
    """Choose the examples of a split among the arrays of a file, or the only ones, and what lies beside them."""
    given = [name for name in names if not name.endswith(tuple(f"_{kind}" for kind in KINDS))]
    named = given if len(given) == 1 else [name for name in (f"{split}_images", split) if name in given]
    if named and named[0] not in ROLES:
        found: dict[str, Any] = {kind: name for kind in KINDS if (name := beside(named[0], kind)) in names}
        return Examples(named[0], **found, left_out=tuple(sorted(set(names) - {named[0], *found.values()})))
    of, left_out = keys_of(names, where)
    splits = [role for role in SPLITS if role in of]
    role = split if split in of else splits[0] if len(splits) == 1 and not left_out else None
    if role is None:
        there = ", ".join(given) or "none"
        raise UserError(f"no array '{split}' among {there}", where, "rename one, or leave one in")
    with_it: dict[str, Any] = {kind: of.get(f"{role}_{kind}") for kind in KINDS}
    return Examples(of[role], **with_it, left_out=left_out)


def beside(name: str, kind: str = "labels") -> str:
    """Return the name of the labels, features or context that go with examples.

    Example:
        >>> [beside(name) for name in ("train", "test_images", "x_test", "mine")]
        ['train_labels', 'test_labels', 'y_test', 'mine_labels']
    """
    if name in ROLES and name[:2] in ("x_", "X_"):
        return f"y_{name[2:]}" if kind == "labels" else f"{name[2:]}_{kind}"
    return f"{name.removesuffix('_images')}_{kind}"


def _near(name: str) -> str | None:
    """Return the name that another is nearly, or says in other words; None where there is none.

    Example:
        >>> [_near(name) for name in ("vaild", "train_label", "Tset", "labels", "test-y", "train_mask", "weights")]
        ['valid', 'train_labels', 'test', 'train_labels', 'test_labels', None, None]
    """
    plain = re.sub(r"\W+", "_", name.lower())
    if whole := get_close_matches(plain, ROLES, 1, ALIKE):
        return ROLES[whole[0]] if whole[0] == plain else whole[0]
    splits = {word: split for split, words in SYNONYMS.items() for word in words}
    found = [get_close_matches(word, [*splits, *WORDS], 1, WORDS_ALIKE) for word in plain.split("_")]
    words = [match[0] for match in found if match]
    if len(words) < len(found):
        return None
    split = next((splits[word] for word in words if word in splits), "train")
    return split + next((WORDS[word] for word in words if word in WORDS), "")
