"""Tests of the commands, beside the real `wg`."""
