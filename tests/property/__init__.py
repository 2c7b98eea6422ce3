"""Tests with what hypothesis thinks of."""
