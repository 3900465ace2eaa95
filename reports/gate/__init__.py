"""What a gate found, said to people and to machines, and what the gate itself is worth.

Reads the gate's records alone: no torch. ``reading`` loads and checks a record file; ``terminal``,
``markdown``, ``junit`` and ``benchmark_json`` each make one form of it; ``write`` puts all of them
beside the record. ``trust`` is the page of the gate's own trial.
"""
