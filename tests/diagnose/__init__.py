"""Tests of what is said of a broken world."""
