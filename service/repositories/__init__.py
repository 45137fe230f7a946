"""Storage. The code above sees only the interfaces of `base`."""
