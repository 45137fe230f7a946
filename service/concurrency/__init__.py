"""Bounded thread pools, shared by all packages above the domain."""
