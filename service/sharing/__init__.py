"""The rules of links: they need the database, but no SQL, and hold for every storage engine."""
