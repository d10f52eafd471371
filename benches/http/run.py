#!/usr/bin/env python3
"""Measures the release binary over HTTP, and what it is measured against, in one run.

    cargo build --release --bin polity
    python3 benches/http/run.py [--only creates,reads,…] [--seconds 5] [--out docs/PERFORMANCE.md]

Needs wrk, redis-server, postgresql and node. Everything is private, on the loopback address, and ends with the run.
With --out the tables replace those between the markers of the file; without, they are printed.
"""

import argparse
import datetime
import pathlib
import platform
import re
import subprocess

from rows import GROUPS
from stand import ROOT


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    cores = len(re.findall(r"^processor", pathlib.Path("/proc/cpuinfo").read_text(), re.M))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return (
        f"{datetime.date.today()}, commit {commit.stdout.strip()}; {cores} cores ({model[1] if model else platform.machine()}) "
        f"shared with the load generator, Linux {platform.release().split('-')[0]}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(GROUPS), help="groups, separated by commas: " + ", ".join(GROUPS))
    parser.add_argument("--seconds", type=int, default=5, help="how long each row is measured")
    parser.add_argument("--quick", action="store_true", help="two seconds a row and no million rows")
    parser.add_argument("--out", type=pathlib.Path, help="the file to write the tables into")
    options = parser.parse_args()
    seconds = 2 if options.quick else options.seconds
    for name in options.only.split(","):
        title, group = GROUPS[name]
        header, rows = group(seconds, options.quick)
        command = f"`python3 benches/http/run.py --only {name}`"
        text = f"### {title}\n\n{group.__doc__}\n\n{table(header, rows)}\n\n{command}; {machine()}\n"
        print(text, flush=True)
        if options.out:
            before = options.out.read_text()
            marked = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
            options.out.write_text(marked.sub(lambda found: found[1] + text + found[2], before))


if __name__ == "__main__":
    main()
