"""The description of the API: OpenAPI document and reference page."""
