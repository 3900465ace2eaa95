"""A run of the suite: its cases in order, each measured in interleaved rounds."""
