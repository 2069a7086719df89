"""The project's programs, started as anybody would: the command line, and the checker."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def environment(**settings):
    """This process's environment, with these *settings* of the program and none that it has itself."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FAUST_ONNX_")}
    return environ | {f"FAUST_ONNX_{name.upper()}": str(value) for name, value in settings.items()}


async def faust_onnx(*arguments, **settings):
    """Run the command line: exit code, standard output (parsed where `--json` asks for it), standard error."""
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "app.cli", *map(str, arguments)],
        cwd=ROOT, env=environment(**settings), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "Traceback" not in ended.stderr, ended.stderr
    output = json.loads(ended.stdout) if "--json" in arguments and ended.stdout else ended.stdout
    return ended.returncode, output, ended.stderr


async def verify(broker, pipeline, models_dir, *flags, report_at):
    """Run the independent checker: exit code, report for people, report for machines (None if it made none).

    The report for machines is kept in the file *report_at*.
    """
    report_at.unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "verify", "--broker", broker, "--pipeline", pipeline,
        "--models-dir", str(models_dir), "--json", str(report_at), *flags,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode, output.decode(), json.loads(report_at.read_text()) if report_at.exists() else None
