"""The console command `ilsvrc check`, as a module."""

import sys

from ilsvrc.cli import main

if __name__ == "__main__":
    main(["check", *sys.argv[1:]], prog_name="ilsvrc")
