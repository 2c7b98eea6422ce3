"""What a router makes of what happens to its peers: programs that are run for it, and the history on flash."""
