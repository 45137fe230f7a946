"""Shared Reports: public links to video analysis results."""

__version__ = "0.2.0"
