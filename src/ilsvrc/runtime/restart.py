"""Restart of the running program under other environment variables."""

import os
import sys
from collections.abc import Mapping


def restart_with(variables: Mapping[str, str]) -> None:
    """Replaces this process by the same program with `variables` in its environment, unless they are there already."""
    if not variables.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | variables)
