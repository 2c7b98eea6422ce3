"""python -m tests.sim [--seed N] [--seeds COUNT] [--days N] [--devices K] [--topology hub|mesh] [--together J]
                    [--library PATH] [--trace]

Runs the simulation, one seed after the other, and prints the counts and the digest of each. If a seed fails, the program
ends with status 1 and prints the command that runs this seed alone. J devices share a process. PATH is the C library for the
packet path.
"""

import sys
import time

from .simscenario import Scenario


def _options(arguments):
    options = {"seed": "1", "seeds": "1", "days": "1", "devices": "2", "topology": "hub", "together": "1"}
    options.update(library="", trace="")
    arguments = list(arguments)
    while arguments:
        word = arguments.pop(0)
        name = word[2:]
        if word == "--trace":
            options[name] = "1"
        elif word[:2] == "--" and name in options and arguments:
            options[name] = arguments.pop(0)
        else:
            raise SystemExit(__doc__)
    if options["topology"] not in ("hub", "mesh"):
        raise SystemExit(__doc__)
    return options


def command(options, seed):
    """Return the command that runs this seed alone."""
    words = ["python -m tests.sim --seed", str(seed)]
    for name in ("days", "devices", "topology", "together", "library"):
        if options[name]:
            words += ["--" + name, options[name]]
    return " ".join(words)


def main(arguments):
    options = _options(arguments)
    failed = 0
    for seed in range(int(options["seed"]), int(options["seed"]) + int(options["seeds"])):
        trace = print if options["trace"] else None
        devices, together, library = int(options["devices"]), int(options["together"]), options["library"] or None
        scenario = Scenario(seed, devices, options["topology"], together, library, trace)
        began = time.time()
        try:
            scenario.run(float(options["days"]))
        except Exception as error:
            failed += 1
            print("seed %d, after %.3f s: %s" % (seed, (scenario.sim.now - 1_000_000_000) / 1000, error))
            print("again: " + command(options, seed))
            if not isinstance(error, AssertionError) or options["trace"]:
                raise
        finally:
            scenario.sim.close()
        print("seed %d: %s; %d s" % (seed, scenario.sim.counts.as_text(), time.time() - began))
        print("digest", scenario.sim.digest())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
