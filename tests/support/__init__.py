"""Helpers that the tests share: the application over real HTTP, a serving process, assertions."""
