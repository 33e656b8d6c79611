"""The command line, `totes`: thin over `pipeline`, and how its results look in a terminal."""
