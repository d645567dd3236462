"""Cells of the CSV files that people open in a spreadsheet, which runs text that begins like a formula.

Such text gets an apostrophe in front (OWASP, "CSV Injection"), which a reader of ours takes away again; numbers stay.
"""

import re
from typing import Any

FORMULA = re.compile(r"'*[=+\-@\t\r].", re.DOTALL)
ESCAPED = re.compile(r"'+[=+\-@\t\r].", re.DOTALL)


def escaped(value: Any) -> Any:
    """A cell as it is written: text that a spreadsheet would run begins with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) and not _is_number(value) else value


def plain(value: Any) -> Any:
    """A cell as it was before `escaped`."""
    return value[1:] if isinstance(value, str) and ESCAPED.match(value) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
