"""Is a result right: the float64 reference, how far from it is allowed, and the verdict."""
