"""The console command `ilsvrc verify`, as a module."""

import sys

from ilsvrc.cli import main

if __name__ == "__main__":
    main(["verify", *sys.argv[1:]], prog_name="ilsvrc")
