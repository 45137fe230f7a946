"""Storage in PostgreSQL: the modules of ``sqlite``, for many instances."""
