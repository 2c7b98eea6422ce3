"""What do files say? UCI, the files of wg-quick, keys, and the meaning of options. This room knows no running daemon."""
