"""What the commands do; shared by each command and by the demo, which is nothing but these in sequence."""
