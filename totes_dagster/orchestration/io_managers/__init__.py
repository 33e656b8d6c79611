"""IO managers of the two zones of the lake and of the warehouse.

A zone is written by the stage that owns it, and by nobody else. All three load inputs: assets of your own take a table
of any stage as an argument, and get what its annotation asks for (see `inputs.py`).
"""
