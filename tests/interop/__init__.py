"""Tests with other WireGuard programs."""
