"""Asset checks, derived from the table declarations: their names, descriptions and results.

In the order of the data flow: `source` (the contract), `star` (remodelled parts, before they are loaded), `loading`
(what a load brought) and `reconciliation` (the warehouse against the source).
"""
