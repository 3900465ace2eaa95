"""Triton's interpreter, made right for bfloat16 and made to check every lane."""
