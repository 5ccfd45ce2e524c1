"""Studies on real data: each a command that goes on where it was stopped and ends with a table for the docs."""
