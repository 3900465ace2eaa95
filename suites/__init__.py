"""Which cases are measured: declared as data, made from what the losses declare."""
