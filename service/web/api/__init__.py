"""The JSON API: one module a resource, each with its route table."""
