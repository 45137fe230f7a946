"""The HTML pages and the downloads of a shared report."""
