"""The console command `ilsvrc export`, as a module."""

import sys

from ilsvrc.cli import main

if __name__ == "__main__":
    main(["export", *sys.argv[1:]], prog_name="ilsvrc")
