"""The console command `ilsvrc classify`, as a module."""

import sys

from ilsvrc.cli import main

if __name__ == "__main__":
    main(["classify", *sys.argv[1:]], prog_name="ilsvrc")
