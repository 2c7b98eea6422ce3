"""The command `wgembed` of the OpenWrt packages, and `wg`, on either interpreter: see launch.sh."""

import sys

from wgembed.__main__ import main

sys.exit(main())
