"""`python -m verify`: judge a pipeline by what stands on its topics.

Exit code 0: all invariants hold; 1: some are violated, and told; 2: it could not be judged.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from verify.contract import load_contract
from verify.events import Rules
from verify.pipeline import TOPICS, verify_pipeline
from verify.read import KafkaLogs
from verify.report import CannotCheck, Report
from verify.transactions import report_uncommitted, report_unsettled

HOLDS, VIOLATED, UNJUDGED = 0, 1, 2


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser("python -m verify", description=__doc__)
    command.add_argument("--broker", required=True, help="host:port[,...]")
    command.add_argument("--pipeline", required=True)
    command.add_argument("--models-dir", type=Path, default=Path("models"), help="has <pipeline>/contract.toml")
    copies = command.add_mutually_exclusive_group()
    copies.add_argument(
        "--no-faults", "--exactly-once-run", action="store_true", help="no record may have more than one outcome"
    )
    copies.add_argument("--allow-copies", action="store_true", help="redelivery may double outcomes (the default)")
    command.add_argument(
        "--delivery",
        choices=("at_least_once", "exactly_once"),
        help="as the workers have it: with exactly_once no record may have more than one outcome, whatever died, "
        "with at_least_once only feature records may; a label or prediction never has more than one dead letter",
    )
    command.add_argument("--app-id", help="the workers' consumer group: its transactions must be whole and ended")
    command.add_argument(
        "--committed-only", action="store_true", help="judge only records below the group's committed offsets as lost"
    )
    command.add_argument(
        "--allow-behind", action="store_true", help="the tallies may not have counted all that is there"
    )
    command.add_argument("--without-feedback", action="store_true", help="judge neither labels nor ledger nor panes")
    command.add_argument("--max-record-bytes", type=int, default=1 << 20, help="as the workers have it")
    command.add_argument("--max-violations", type=int, default=20, help="violations of a kind that are told in full")
    command.add_argument("--stall-seconds", type=float, default=30.0, help="how long a topic may give nothing")
    command.add_argument(
        "--settle-seconds", type=float, default=10.0, help="how long a transaction may still be open at the start"
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write the report here too")
    return command


def run(flags: argparse.Namespace) -> Report:
    """The report on the pipeline that *flags* name; CannotCheck if there can be none."""
    path = flags.models_dir / flags.pipeline / "contract.toml"
    contract = load_contract(path, max_record_bytes=flags.max_record_bytes)
    if contract.name != flags.pipeline:
        raise CannotCheck(f"{path} is the contract of {contract.name!r}")
    if flags.committed_only and not flags.app_id:
        raise CannotCheck("--committed-only needs --app-id")
    topics = [contract.topics[name] for name in TOPICS if name in contract.topics]
    rules = Rules(
        copies=not flags.no_faults and flags.delivery != "exactly_once",
        label_copies=not flags.no_faults and flags.delivery is None,
        committed_only=flags.committed_only,
    )
    logs = KafkaLogs(
        flags.broker,
        topics,
        group=flags.app_id if flags.committed_only else None,
        also_settled=[f"{flags.app_id}-{contract.name}-tallies-changelog"] if flags.app_id else [],
        offsets_of=flags.app_id,
        stall_s=flags.stall_seconds,
        patience_s=flags.settle_seconds,
    )
    with logs:
        report = verify_pipeline(
            logs,
            contract,
            rules,
            allow_behind=flags.allow_behind,
            feedback=not flags.without_feedback,
            keep=flags.max_violations,
        )
        report_unsettled(report, logs.looked_at, logs.unsettled)
        if flags.app_id and (flags.delivery == "exactly_once" or (flags.delivery and flags.no_faults)):
            report_uncommitted(report, contract.topics["features"], logs.committed_now(flags.app_id))
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge, tell, and return the exit code."""
    command = parser()
    flags = command.parse_args(arguments)
    if flags.allow_copies and flags.delivery:
        command.error("argument --allow-copies: not allowed with argument --delivery")
    try:
        report = run(flags)
    except CannotCheck as error:
        print(f"could not check: {error}", file=sys.stderr)
        if flags.json:
            flags.json.write_text(json.dumps({"pipeline": flags.pipeline, "ok": None, "error": str(error)}) + "\n")
        return UNJUDGED
    print(report.as_text())
    if flags.json:
        flags.json.write_text(json.dumps(report.as_json(), indent=2) + "\n")
    return HOLDS if report.ok else VIOLATED


def _main_or_unjudged() -> int:
    """Python ends with 1 on an error that nobody foresaw, which would read as a verdict."""
    try:
        return main()
    except Exception:  # noqa: BLE001 - told in full, whatever it is
        traceback.print_exc()
        return UNJUDGED


if __name__ == "__main__":
    sys.exit(_main_or_unjudged())
