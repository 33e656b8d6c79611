"""How work is done, whatever it is: repeated, reported, interrupted, and shown in a terminal."""
