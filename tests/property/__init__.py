"""Tests with random cases from hypothesis."""
