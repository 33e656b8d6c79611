"""What the source and the warehouse have in common as PostgreSQL servers, whatever their owners have made of them."""
