"""The made-up company: its rows, and how it lives on."""
