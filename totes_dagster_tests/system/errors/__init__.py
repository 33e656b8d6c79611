"""Every way to fail, provoked for real: each has a named error of one line, which shows no secret."""
