"""Tests of what files say: UCI, files of wg-quick, options."""
