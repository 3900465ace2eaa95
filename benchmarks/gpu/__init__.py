"""A session of minutes on a machine with a GPU: `python -m benchmarks.gpu_session`."""
