"""What measures and what is measured: clock, memory, rates, the machine, the calls of a case."""
