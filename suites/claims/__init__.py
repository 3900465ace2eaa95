"""The papers' claims, each an experiment with a criterion stated before it is run."""
