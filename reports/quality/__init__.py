"""What the losses buy: the page of a training-quality run, read from its records alone."""
