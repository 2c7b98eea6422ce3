"""What runs? The process and its interfaces, the router, and the network that it sets up."""
