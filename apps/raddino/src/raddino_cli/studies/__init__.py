"""Studies: one question each, as data; their runs, what these say, and how much of it is noise."""
