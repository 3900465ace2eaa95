"""The regression gate: is the candidate's code slower than the base's? (``marginbench gate``)"""
