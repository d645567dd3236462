"""On PYTHONPATH, this sends a signal when a module is first imported, as if it came while a process starts.

SIGNAL_AT is `<module> <number of the signal> <self or parent>`; the process has a second to hear of it.
"""

import os
import sys
import time
from importlib.abc import MetaPathFinder

MODULE, NUMBER, TO = os.environ["SIGNAL_AT"].split()


class Finder(MetaPathFinder):
    """Finds nothing, and looks on."""

    sent = False

    def find_spec(self, name, path, target=None):
        if name == MODULE and not self.sent:
            self.sent = True
            os.kill(os.getpid() if TO == "self" else os.getppid(), int(NUMBER))
            time.sleep(1)


sys.meta_path.insert(0, Finder())
