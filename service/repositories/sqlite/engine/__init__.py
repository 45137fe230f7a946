"""The SQLite engine: connections, worker threads, batches, migrations, backup."""
