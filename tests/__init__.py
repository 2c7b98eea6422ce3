"""Tests of wgembed."""
