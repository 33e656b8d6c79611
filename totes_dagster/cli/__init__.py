"""The command line, `totes`: a thin layer over `pipeline`, and the presentation of its results in a terminal."""
