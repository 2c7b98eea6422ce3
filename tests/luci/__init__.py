"""Tests of the pages in LuCI."""
