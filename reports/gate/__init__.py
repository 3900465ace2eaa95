"""What a gate found, as tables and files; and what the gate is worth."""
