"""What does a person type? Commands, all except `run` short-lived.

This is the only table of commands. main.py calls its functions, usage.py prints it, and tests compare the man page and the
bash completion with it. It is one string to save memory, because `wgembed run` on MicroPython keeps it. The daemon for one
interface drops it (__main__.py).
"""

# One command a line: its verb, from column 10 its function as module:function in this folder, from column 35 its arguments.
# Each function is called with the program's name and the arguments, the verb first, and returns the exit status. A new
# command needs a line here, its function, an entry in the man page and in the completion (package/files/completions), and
# tests. A command of wg(8) also needs a line in wg/main.py. main.py defines the effect of an interrupt.
TABLE = """\
run       run:run                  [--netifd INTERFACE] [--config-dir DIR]
check     check:check              [--config-dir DIR]
apply     apply:apply              FILE|- [--confirm MINUTES [--peer NAME|KEY]] [--config-dir DIR]
confirm   apply:confirm
show      wg.show:show             {INTERFACE|all|interfaces} [FIELD]
showconf  wg.show:showconf         INTERFACE
set       wg.set:set_              INTERFACE [SETTING VALUE]... [peer KEY [SETTING VALUE]...]...
setconf   wg.setconf:setconf       INTERFACE FILE
addconf   wg.setconf:setconf       INTERFACE FILE
syncconf  wg.setconf:setconf       INTERFACE FILE
genkey    wg.keys:make
genpsk    wg.keys:make
pubkey    wg.keys:pubkey
status    status:show_status       [--json|--prometheus] [--watch] [--interval SECONDS] [INTERFACE...]
diagnose  diagnose:show_diagnosis  [INTERFACE [PEER]]
history   history:show_history     [--json] [INTERFACE [PEER]]
report    report:report            [--config-dir DIR]
up        quick:up                 FILE|INTERFACE
down      quick:down               FILE|INTERFACE
reload    quick:reload             FILE|INTERFACE
unblock   unblock:unblock
import    convert:import_file      FILE [--name INTERFACE | --peer-of INTERFACE [--description TEXT]] [--write] [--config-dir DIR] | --network [INTERFACE]
export    convert:export_file      INTERFACE PEER [--endpoint HOST[:PORT]] [--allowed-ips LIST] [--dns LIST] [--qr] [--config-dir DIR] | --network INTERFACE
demo      demo:demo
help      usage:print_usage
version   version:print_version
"""  # noqa: E501
_COLUMNS = 10, 35  # where the function and the arguments begin


def find(verb):
    """Return (function, arguments) of the command, both texts, or None if there is no such command."""
    at = TABLE.find("\n%s " % verb) + 1
    if not at and TABLE[: len(verb) + 1] != verb + " " or " " in verb or not verb:
        return None
    line = TABLE[at : TABLE.find("\n", at)]
    return line[_COLUMNS[0] : _COLUMNS[1]].rstrip(), line[_COLUMNS[1] :]


def verbs(prefix=""):
    """Return the verbs whose module begins with `prefix`, in the order of the table."""
    lines = TABLE.split("\n")[:-1]
    return [line.split()[0] for line in lines if line[_COLUMNS[0] :].startswith(prefix)]
