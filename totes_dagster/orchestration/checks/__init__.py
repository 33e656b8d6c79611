"""Asset checks, derived from the declarations: what each is called and says, and how an outcome becomes a result.

In the order of the flow: `source` (the contract), `star` (what remodels wrote, before it is loaded), `loading` (what a
load brought) and `reconciliation` (the warehouse beside the source).
"""
