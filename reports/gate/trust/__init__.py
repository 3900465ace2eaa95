"""How far the gate can be trusted: its own trial, read from the records that the trial left."""
