"""The page of a quality run, and the commands that make one."""
