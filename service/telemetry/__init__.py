"""Logs, histograms and the record of requests."""
