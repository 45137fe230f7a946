"""What links do, for any storage engine: rules that need the database and no SQL."""
