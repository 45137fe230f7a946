"""The HTTP side, one module a resource: thin handlers, each module with its route table."""
