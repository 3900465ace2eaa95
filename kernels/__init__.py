"""What is measured: one folder per loss, each found by itself (see `kernels.catalogue`)."""
