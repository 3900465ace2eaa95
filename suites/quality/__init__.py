"""Training quality: what a loss buys in the network that is trained with it."""
