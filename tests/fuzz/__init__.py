"""Fuzz targets, what was found by them, and tests of both."""
