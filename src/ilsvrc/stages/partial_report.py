"""The console command `ilsvrc report`, as a module."""

import sys

from ilsvrc.cli import main

if __name__ == "__main__":
    main(["report", *sys.argv[1:]], prog_name="ilsvrc")
