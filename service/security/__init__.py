"""Credentials, passwords, access tokens and rate limits."""
