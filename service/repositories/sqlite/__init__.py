"""Storage in one SQLite file: one module a table, a verb a statement, one row mapper a table."""
