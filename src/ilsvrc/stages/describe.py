"""The console command `ilsvrc describe`, as a module."""

import sys

from ilsvrc.cli import main

if __name__ == "__main__":
    main(["describe", *sys.argv[1:]], prog_name="ilsvrc")
