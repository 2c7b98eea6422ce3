"""What a person types, and what is over soon.

The one table of commands: main.py calls what it names, usage.py prints it; tests hold the man page and the completion of
bash to it. It is one string, which `wgembed run` on MicroPython keeps; the daemon for one interface drops it (__main__.py).
"""

# A command a line: its verb, from column 10 on the function as module:function in this folder, from column 35 on its
# arguments. Each function is called with the program's name and the arguments, the verb first, and returns the exit status.
# A new command needs a line here, its function, a word in the man page and in the completion (package/files/completions),
# and its tests; one of wg(8) a line in wg/main.py as well; main.py says what an interrupt does to it.
TABLE = """\
run       run:run                  [--config-dir DIR]
check     check:check              [--config-dir DIR]
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
up        quick:up                 FILE|INTERFACE
down      quick:down               FILE|INTERFACE
import    convert:import_file      FILE [--name INTERFACE | --peer-of INTERFACE [--description TEXT]] [--write] [--config-dir DIR]
export    convert:export_file      INTERFACE PEER [--endpoint HOST[:PORT]] [--allowed-ips LIST] [--dns LIST] [--qr] [--config-dir DIR]
demo      demo:demo
help      usage:print_usage
version   usage:print_version
"""  # noqa: E501
_COLUMNS = 10, 35  # where the function and the arguments begin


def find(verb):
    """Return (function, arguments) of the command, texts; None if there is no such command."""
    at = TABLE.find("\n%s " % verb) + 1
    if not at and TABLE[: len(verb) + 1] != verb + " " or " " in verb or not verb:
        return None
    line = TABLE[at : TABLE.find("\n", at)]
    return line[_COLUMNS[0] : _COLUMNS[1]].rstrip(), line[_COLUMNS[1] :]


def verbs(prefix=""):
    """Return the verbs in the order of the table, of those whose module begins with `prefix`."""
    lines = TABLE.split("\n")[:-1]
    return [line.split()[0] for line in lines if line[_COLUMNS[0] :].startswith(prefix)]
