"""`python -m tests.faults.suite`: the long run, which goes on where it was stopped.

Each finished (case, seed, mode) is kept in the file of results, with what it stands for (keys.py), and skipped the next
time. Exit code 0 only if every run that was wanted is done, now or earlier, and everything held in all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.faults.suite import cases
from tests.faults.suite.engine import new_site, run_case
from tests.faults.suite.keys import case_key, code_key
from tests.faults.suite.registry import CASES, Case
from tests.faults.suite.store import Result, Store
from tests.faults.suite.table import RESULTS, as_text, rows
from tests.workers import ROOT

MODES = ("at_least_once", "exactly_once")
RUNS_PER_BROKER = 40


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser("python -m tests.faults.suite", description=__doc__)
    command.add_argument("--seeds", default="1", help="how many (10 means 1 to 10), or which (3,7 or 11-20)")
    command.add_argument("--cases", default="", help="names or numbers, separated by commas; all if absent")
    command.add_argument("--modes", default=",".join(MODES))
    command.add_argument("--scale", type=float, default=1.0, help="less than 1 shortens loads and repetitions")
    command.add_argument("--results", type=Path, default=RESULTS)
    command.add_argument("--commit", help="the name under which results are kept, instead of the key of the code")
    command.add_argument("--again", choices=["no", "red", "all"], default="no", help="what is run although it is kept")
    command.add_argument("--jobs", type=int, default=1, help="runs at a time, each beside a broker of its own")
    command.add_argument("--shard", default="0/1", help=argparse.SUPPRESS)
    command.add_argument("--list", action="store_true", help="name the cases and do nothing")
    return command


def chosen(text: str) -> list[Case]:
    """The cases that *text* names."""
    if not text:
        return list(CASES.values())
    words = text.split(",")
    found = [each for each in CASES.values() if each.name in words or str(each.number) in words]
    unknown = [w for w in words if w not in CASES and w not in {str(each.number) for each in CASES.values()}]
    if unknown:
        raise SystemExit(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    return found


def seeds_of(text: str) -> list[int]:
    """The seeds that *text* names.

    >>> seeds_of("3"), seeds_of("4,7"), seeds_of("11-13")
    ([1, 2, 3], [4, 7], [11, 12, 13])
    """
    if text.isdigit():
        return list(range(1, int(text) + 1))
    found = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


async def run_all(todo: list[tuple[Case, int, str]], store: Store, flags: argparse.Namespace, name: str) -> None:
    """Run what is to be done, one after the other, and keep each result at once."""
    keep = flags.results.parent / "red"
    keep.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM):  # in the background SIGINT is ignored, unless it is asked for
        asyncio.get_running_loop().add_signal_handler(number, asyncio.current_task().cancel)
    async with contextlib.AsyncExitStack() as stack:
        shared, runs = None, 0
        for number, (case, seed, mode) in enumerate(todo):
            if not case.own_broker and (shared is None or runs >= RUNS_PER_BROKER):
                await stack.aclose()
                shared, runs = await stack.enter_async_context(new_site()), 0
            runs += 1
            print(f"[{number + 1}/{len(todo)}] ", end="", flush=True)
            result = await run_case(
                case, seed, mode, shared=shared, scale=flags.scale, tell=lambda text: print(text, flush=True), keep=keep
            )
            result.commit = name
            store.append(result)


def run_shards(arguments: Sequence[str], jobs: int) -> list[int]:
    """Share the runs among *jobs* processes like this one, whose exit codes are returned.

    The lines of each begin with its number.
    """
    code = [sys.executable, "-m", "tests.faults.suite", *arguments, "--jobs", "1"]
    shards = [
        subprocess.Popen([*code, "--shard", f"{n}/{jobs}"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for n in range(jobs)
    ]

    def pass_on(number: int) -> None:
        for line in shards[number].stdout:
            print(f"{number}| {line}", end="", flush=True)

    readers = [threading.Thread(target=pass_on, args=(number,)) for number in range(jobs)]
    for reader in readers:
        reader.start()
    try:
        for shard in shards:
            shard.wait()
    except KeyboardInterrupt:
        for shard in shards:
            shard.terminate()
    for reader in readers:
        reader.join()
    return [shard.wait() for shard in shards]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing and print the table."""
    arguments = sys.argv[1:] if arguments is None else arguments
    flags = parser().parse_args(arguments)
    if flags.list:
        for case in CASES.values():
            print(f"{case.number:>2} {case.name:<22} {case.about}")
        return 0
    store, name = Store(flags.results), flags.commit or code_key()
    modes = [mode for mode in flags.modes.split(",") if mode]
    wanted = [(case, seed, mode) for seed in seeds_of(flags.seeds) for case in chosen(flags.cases) for mode in modes]
    kept = {result.run: result for result in standing(store.read(), name, flags.scale)}
    todo = [each for each in wanted if _is_due(kept.get((each[0].name, *each[1:])), flags.again)]
    print(f"{len(todo)} of {len(wanted)} runs to be done at {name}; results in {flags.results}", flush=True)
    size = store.size
    if flags.jobs > 1:
        codes = run_shards([*arguments, "--commit", name], flags.jobs)
        whole = not any(codes)
        print(f"the processes ended with {codes}")
    else:
        shard, shards = map(int, flags.shard.split("/"))
        whole = False
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(run_all(todo[shard::shards], store, flags, name))
            whole = True
        if shards > 1:
            return 0 if whole else 1
    for case, seed, mode in todo:
        kept.pop((case.name, seed, mode), None)  # what is done again does not count until then
    kept |= {result.run: result for result in standing(store.read(since=size), name, flags.scale)}
    return conclude([(case.name, seed, mode) for case, seed, mode in wanted], kept, whole=whole)


def standing(results: Iterable[Result], name: str, scale: float) -> list[Result]:
    """Those of *results* that are of the code called *name* and of the cases as they are now."""
    keys = {case.name: case_key(case) for case in CASES.values()}
    return [r for r in results if r.commit == name and r.scale == scale and r.case_key == keys.get(r.case)]


def conclude(wanted: list[tuple[str, int, str]], kept: dict[tuple[str, int, str], Result], *, whole: bool) -> int:
    """Print the table, what is red and what is missing; the exit code.

    whole: whether nothing was interrupted and no process crashed.
    """
    done = [kept[run] for run in wanted if run in kept]
    missing = [run for run in wanted if run not in kept]
    red = [result for result in done if result.violations]
    print(as_text(rows(done)))
    for result in red:
        print(f"{result.case} seed {result.seed} {result.mode}:")
        print("\n".join(f"    {text}" for text in result.violations))
    if missing:
        some = ", ".join(f"{case} seed {seed} {mode}" for case, seed, mode in missing[:5])
        print(f"{len(missing)} of {len(wanted)} runs are not done: {some}")
    return 0 if wanted and whole and not red and not missing else 1


def _is_due(kept: Result | None, again: str) -> bool:
    return kept is None or again == "all" or (again == "red" and bool(kept.violations))


if __name__ == "__main__":
    assert cases.__all__  # they have put themselves on the list
    sys.exit(main())
