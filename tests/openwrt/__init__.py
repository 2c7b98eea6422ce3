"""Tests of the packages in a root like OpenWrt's."""
