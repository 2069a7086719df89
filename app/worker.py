"""The worker process: `faust-onnx worker`, or `faust -A app.worker worker -l info`.

`app.worker.app` is made from the settings when it is first asked for, so that importing the module does nothing.
"""

from __future__ import annotations

import asyncio
import faulthandler
import functools
import gc
import os
import sys
import threading
from pathlib import Path
from typing import Any

import click
import structlog
import uvloop

from app.errors import ConfigurationError, FaustOnnxError
from app.features import Contract, load_contracts
from app.logs import configure_logs, pass_logs_on
from app.settings import Settings
from app.topology.changelog import widen_changelog
from app.topology.process import allow_open_files
from app.topology.strangers import refuse_shared_topics, refuse_strangers
from app.topology.topics import admin_client, ensure_topics
from app.topology.worker_app import WorkerApp, create_app
from app.transport.header_names import read_any_header_names
from app.transport.patience import be_patient

log = structlog.get_logger(__name__)

_COLLECT_AFTER = (100_000, 20, 50)
_SWITCH_INTERVAL_S = 0.0005
"""How long one thread may keep the interpreter from another. The thread with the Kafka client needs it for every 64 kB
that it reads, and for a moment only; Python's own 5 ms had it wait for most of its time (a twentieth of the rate)."""
EXIT_GRACE_S = 15.0
"""How long a worker that has failed may take to end by itself."""


def prepare(settings: Settings) -> WorkerApp:
    """The application for *settings*, after reading its contracts and looking at its topics."""
    if sys.__stderr__ is not None:
        faulthandler.enable(sys.__stderr__)  # a library that crashes takes the process with it: the log then says where
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    allow_open_files()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    be_patient()
    read_any_header_names()
    contracts = load_contracts(settings.models_dir, settings.pipelines)
    refuse_shared_topics(contracts)
    cluster_id, widths, ledgers = asyncio.run(_look(settings, contracts))
    app = create_app(settings, contracts, widths, ledgers, cluster_id=cluster_id)
    app.on_failed = _end_soon
    _spare_the_collector()
    return app


async def _look(settings: Settings, contracts: dict[str, Contract]) -> tuple[str, dict[str, int], dict[str, int]]:
    """The cluster's id, and by pipeline how many partitions its events and its ledger have; missing topics are made."""
    widths, ledgers = {}, {}
    async with admin_client(settings.broker) as admin:
        cluster_id = (await admin.describe_cluster())["cluster_id"]
        await refuse_strangers(admin, settings.app_id, contracts)
        for name, contract in contracts.items():
            states = await ensure_topics(
                settings.broker,
                contract,
                partitions=settings.partitions,
                replication_factor=settings.replication_factor,
                create=settings.create_topics,
            )
            for state in states:
                if state.created:
                    log.info("topic made", topic=state.topic, partitions=state.partitions)
            counts = {state.topic: state.partitions for state in states}
            widths[name] = counts[contract.topics.features]
            ledgers[name] = counts.get(contract.topics.ledger, widths[name])
            await widen_changelog(admin, settings.app_id, name, ledgers[name])
    return cluster_id, widths, ledgers


def run(settings: Settings, ready_file: Path | None = None) -> int:
    """Run a worker until it is told to stop (exit code 0) or cannot go on (1).

    ready_file: gets `{"http", "pid"}` as JSON once the worker is ready. Raises ConfigurationError and BrokerError
    before anything is consumed.
    """
    configure_logs(settings.log_level, settings.log_format)
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)
    app = prepare(settings)
    app.ready_file = ready_file
    worker = app.Worker(loglevel=None, override_logging=False, quiet=True, redirect_stdouts=False)
    worker.spinner = None  # it would write escape sequences into logs
    try:
        worker.execute_from_commandline()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
        return 1 if app.failed is not None else code
    return 0


def _spare_the_collector() -> None:
    """Have the garbage collector look seldom, and never at what stays for good.

    Tens of thousands of records are alive at a time and none of them is part of a cycle; by default Python looks at
    them again and again, which took a sixth of the time of a busy worker.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def _end_soon() -> None:
    """A failed worker ends, even if some part of it does not hear: others could have the partitions it holds."""
    timer = threading.Timer(EXIT_GRACE_S, functools.partial(os._exit, 1))
    timer.daemon = True
    timer.start()


def __getattr__(name: str) -> Any:
    if name == "app":
        pass_logs_on()
        try:
            app = prepare(Settings.load())
        except FaustOnnxError as error:  # who asks is Faust's command line, which is click's and prints this in a line
            told = click.ClickException(str(error))
            told.exit_code = 2 if isinstance(error, ConfigurationError) else 1
            raise told from error
        setattr(sys.modules[__name__], name, app)
        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
