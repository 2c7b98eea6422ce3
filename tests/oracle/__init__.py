"""Tests against other people's Noise, dissectors and packet builders."""
