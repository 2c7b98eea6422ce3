"""What runs: the process and its interfaces, the router and what it makes of the machine's network."""
