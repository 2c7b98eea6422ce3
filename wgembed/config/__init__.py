"""What files say: UCI, wg-quick's files, keys, and what their options mean. Nothing here knows a running daemon."""
