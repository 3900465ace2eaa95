"""What a change may not alter unnoticed: exact figures and compiled kernels, and their pins."""
