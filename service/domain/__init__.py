"""Types and rules of the domain. Imports nothing of ours, knows no HTTP and no SQL."""
