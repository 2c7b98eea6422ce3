"""Tests of the commands; those of wg beside the real `wg`."""
