"""An onnxruntime session on one thread: the worker scales by partitions and processes, not inside a batch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# onnxruntime reports to its vendor unless this is set before it is loaded; telling it later is too late.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # noqa: TID251

import onnxruntime as ort

from app.errors import FaustOnnxError, Refusal, RejectedRelease

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Feeds = dict[str, npt.NDArray[Any]]

ERROR, FATAL = 3, 4
"""onnxruntime's log levels."""


class SessionError(FaustOnnxError):
    """The model could not be run on these rows."""


class Session:
    """A loaded model; *inputs* and *outputs* are onnxruntime's descriptions, with name, type and shape."""

    def __init__(self, model: bytes) -> None:
        """RejectedRelease(NOT_ONNX) if *model* is no model that can be run; MemoryError is local and goes up."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = FATAL  # what it would log as an error it also raises
        # The arena keeps the memory of the largest batch ever seen, for each model that was ever loaded.
        options.enable_cpu_mem_arena = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a dozen types that have no other base
            _raise_if_out_of_memory(error)
            raise RejectedRelease(Refusal.NOT_ONNX, f"onnxruntime cannot load it: {_first_line(error)}") from error
        self.inputs: list[Any] = self._session.get_inputs()
        self.outputs: list[Any] = self._session.get_outputs()
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self._run_options = ort.RunOptions()
        self._run_options.log_severity_level = FATAL

    def run(self, names: Sequence[str], feeds: Feeds) -> list[Any]:
        """The outputs *names* for the rows in *feeds*; SessionError if the model fails on them, else MemoryError."""
        try:
            outputs: list[Any] = self._session.run(list(names), feeds, self._run_options)
        except Exception as error:  # as above
            _raise_if_out_of_memory(error)
            raise SessionError(_first_line(error)) from error
        return outputs


def _raise_if_out_of_memory(error: Exception) -> None:
    """MemoryError for what onnxruntime calls so, or only describes so."""
    text = str(error)
    if isinstance(error, MemoryError) or "bad_alloc" in text or "Failed to allocate memory" in text:
        raise MemoryError(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:400]
