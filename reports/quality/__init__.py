"""Which loss trains the better network: the page of a training-quality run, from its records."""
