"""Comparisons with other implementations of Noise, dissectors and packet builders."""
