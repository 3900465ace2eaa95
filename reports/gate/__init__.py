"""Pages about the gate itself."""
