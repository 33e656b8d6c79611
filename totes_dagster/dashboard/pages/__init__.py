"""The pages of the dashboard, one module for each: their questions, with their SQL, tables and charts."""
