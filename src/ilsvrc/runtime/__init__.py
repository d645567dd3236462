"""Runtime: files, downloads, hardware, processes, progress and random numbers."""
