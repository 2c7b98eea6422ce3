"""The bits of a file's mode (Linux stat.h). Only a few modules need them."""

S_IFMT = 0o170000  # the type of a file, one of:
S_IFSOCK = 0o140000
S_IFREG = 0o100000
S_IFDIR = 0o040000
S_IFIFO = 0o010000
OWNER = 0o700
GROUP_OR_OTHERS = 0o077
OTHERS = 0o007
PERMISSIONS = 0o7777
