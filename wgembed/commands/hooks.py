"""The hooks PreUp, PostUp, PreDown and PostDown of a file of wg-quick(8), with the shell options and variables of wg-quick.

A hook is one or several commands. As in wg-quick, the first command that fails ends the hook (`set -e`), also inside a
pipeline (`pipefail`), and a hook that fails ends `up` or `down`. OpenWrt has no bash; its ash has both options.
"""

from ..errors import UserError
from ..runtime import system, tool

# Hooks are written for the first shell; the second one is used if the first is missing.
_BASH = "/bin/bash"
_SHELLS = (_BASH, "/bin/sh")
# A shell without `pipefail`, such as dash, runs the hook without it.
_START = {
    True: "set -e -o pipefail\nshopt -s extglob\nexport LC_ALL=C\n",
    False: "set -e\n(set -o pipefail) 2>/dev/null && set -o pipefail\nexport LC_ALL=C\n",
}


def run_all(hooks, quick, name, path, report):
    """Run the hooks of one moment in order. UserError for the first that fails; the others are not run then.

    quick, name, path  the QuickFile, the name of the interface, and the path of the file
    report             report(hook) is called before each hook
    """
    shell = [shell for shell in _SHELLS if system.files.exists(shell)][0]
    for hook in hooks:
        hook = hook.replace("%i", name)
        report(hook)
        if tool.run([shell, "-c", script(hook, variables(quick, name, path), shell == _BASH), "wgembed"]):
            raise UserError("the command failed: %s" % hook)


def variables(quick, name, path):
    """Return the variables of a hook: pairs of a name and a value, a text or a list of texts. Source: wg-quick(8).

    The variables with commands or keys are left out: users of the machine can read the arguments of a process.
    """
    section = quick.interface
    dns = section.words("dns")
    return (
        ("INTERFACE", name), ("CONFIG_FILE", path), ("PROGRAM", "wgembed"), ("MTU", section.last("mtu")),
        ("TABLE", section.last("table")), ("SAVE_CONFIG", "1" if quick.saves else "0"),
        ("ADDRESSES", section.words("address")), ("DNS", [word for word in dns if is_server(word)]),
        ("DNS_SEARCH", [word for word in dns if not is_server(word)]),
    )  # fmt: skip


def is_server(word):
    """Whether a word of `DNS` is the address of a server, and not a search domain."""
    return ":" in word or not word.strip("0123456789.")


def script(hook, variables, is_bash):
    """Return the text for the shell's option -c. Only bash has lists; in another shell a list has its first word."""
    text = _START[is_bash]
    for name, value in variables:
        if isinstance(value, list):
            words = [_quoted(word) for word in value]
            value = "(%s)" % " ".join(words) if is_bash else (words or ["''"])[0]
        else:
            value = _quoted(value)
        text += "%s=%s\n" % (name, value)
    # A subshell, as in wg-quick. A mistake in the syntax is one of the hook.
    return text + "(eval %s)\n" % _quoted(hook)


def _quoted(text):
    return "'%s'" % text.replace("'", "'\\''")
