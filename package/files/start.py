"""The command `wgembed` of the OpenWrt packages, and `wg`, on either interpreter: see launch.sh."""

import sys

if sys.implementation.name == "cpython":
    # launch.sh starts Python without its module site, which takes time at each start. These are the folders of
    # libraries that it would have found: on OpenWrt, and on Debian.
    sys.path.append("%s/lib/python%d.%d/site-packages" % ((sys.prefix,) + sys.version_info[:2]))
    sys.path.append("/usr/lib/python3/dist-packages")

from wgembed.__main__ import main

sys.exit(main())
