"""How people and programs steer wgembed. Reaches the machine through `runtime` alone."""
