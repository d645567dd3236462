"""Names of classes: one for those that only look different to a computer, and those that are refused."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable


def united(names: Iterable[str]) -> dict[str, str]:
    """Name -> the one name of its class, where names differ by white space around them or by Unicode's forms alone.

    Empty where no two names do, so that a name without a second form stays as it is written.
    """
    forms = defaultdict(set)
    for name in set(names):
        forms[unicodedata.normalize("NFC", name.strip())].add(name)
    if all(len(written) == 1 for written in forms.values()):
        return {}
    return {name: one if len(written) > 1 else name for one, written in forms.items() for name in written}


def check(name: str) -> None:
    """Refuses a name that no folder, table or report can show.

    Raises:
        ValueError: it is empty, `.` or `..`, or not UTF-8.
    """
    if not name.strip() or name in (".", ".."):
        raise ValueError(f"a class is called {name!r}: rename it")
    if not is_utf8(name):
        raise ValueError(
            f"a class is called {os.fsencode(name)!r}, which is not UTF-8: rename its folder (convmv does all of them)"
        )


def is_utf8(name: str) -> bool:
    """True if the name was read without an undecodable byte."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
