"""Entry points, one a rule: python -m ilsvrc.stages.<name>. Each ends with what started it."""

import sys

from ilsvrc.runtime import parent_death

if sys.argv[0] == "-m":  # while python -m looks for the entry point, before its imports, which take seconds
    parent_death.die_with_parent()
