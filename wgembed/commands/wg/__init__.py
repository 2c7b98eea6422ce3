"""wg(8): the same arguments, output and exit statuses as those of wireguard-tools."""
