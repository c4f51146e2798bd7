"""What scores say: intervals, tests between systems, and what the attention looked at."""
