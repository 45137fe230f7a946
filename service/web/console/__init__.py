"""The owner's console: pages for the holder of an API key, one module an area.

It needs no script. Everything that it does goes through the services and the validation of the API.
"""
