"""PostgreSQL: connections, transactions, locks and errors, for the source and the warehouse alike."""
