"""The pages' sources, and their modules run by node."""

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "package/luci-app-wgembed"
RESOURCES = PACKAGE / "htdocs/luci-static/resources"
SCRIPTS = sorted(RESOURCES.rglob("*.js"))


def run(calls, folder=RESOURCES):
    """What the calls return: [module, function, *arguments] each, as tests/luci/modules.js has them."""
    command = ["node", Path(__file__).with_name("modules.js"), folder]
    done = subprocess.run(command, input=json.dumps(calls), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
