"""The PostgreSQL engine: connections, the workers that share them, batches, migrations."""
