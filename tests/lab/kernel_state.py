"""What a namespace has in `ip rule`, `ip route` and `ip addr`, as sorted lines that can be compared."""

import re

# Routes that the kernel makes for each address, and the words of a route that say nothing about where packets go.
_OF_THE_KERNEL = re.compile(r"^(local|broadcast|anycast|multicast) |^fe80::/64 |^ff00::/8 | table local ")
_WORDS = re.compile(r" (linkdown|onlink|pref \w+|proto \w+|scope \w+|src \S+|error -?\d+)\b")


def lines(place, links):
    """Return the lines, as a list of text. `links` are the names of the tunnels."""
    found = []
    for family in ("4", "6"):
        rules = place.ip(f"-{family}", "rule", "show").splitlines()
        found += [f"rule{family} " + _rule(place, rule, links) for rule in rules]
        routes = place.ip(f"-{family}", "route", "show", "table", "all").splitlines()
        found += [f"route{family} " + _route(route, family) for route in routes if not _OF_THE_KERNEL.search(route + " ")]
    for link in links:
        for line in place.ip("-o", "addr", "show", "dev", link).splitlines() if _exists(place, link) else ():
            words = line.split()
            found.append(f"addr {link} {words[3]}")
    return sorted(found)


def _exists(place, link):
    return place.run("ip", "link", "show", link, check=False)[0] == 0


def _rule(place, text, links):
    text = " ".join(text.split())
    for link in links:
        if _exists(place, link):
            index = int(place.ip("-o", "link", "show", link).split(":")[0])
            for base in (90000, 4200000000):
                text = re.sub(rf"^{base + index}:", f"{base}+{link}:", text)
    return text


def _route(text, family):
    text = _WORDS.sub("", " ".join(text.split()) + " ").strip()
    return text.replace(" metric 1024", "") if family == "6" else text
