"""A tunnel that is disturbed for long."""
