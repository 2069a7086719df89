"""What the manifest alone decides about a release, before a byte of the model is fetched.

Signatures, static scan and the sandboxed gate join here when releases are signed; the order is envelope, manifest,
bytes, model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.errors import Refusal, RejectedRelease
from app.registry.chunks import DEFAULT_MAX_MODEL_BYTES

if TYPE_CHECKING:
    from app.records import Manifest


@dataclass(frozen=True, slots=True)
class Admission:
    """What every worker of a pipeline demands of a manifest; None for *contract_sha256* demands nothing."""

    contract_sha256: str | None = None
    max_model_bytes: int = DEFAULT_MAX_MODEL_BYTES

    def judge(self, manifest: Manifest) -> None:
        """Raise RejectedRelease TOO_LARGE or CONTRACT_MISMATCH."""
        if manifest.size > self.max_model_bytes:
            raise RejectedRelease(
                Refusal.TOO_LARGE,
                f"version {manifest.version} has {manifest.size} bytes, the limit is {self.max_model_bytes}",
            )
        expected, given = self.contract_sha256, manifest.contract_sha256
        if expected is not None and given is not None and given != expected:
            raise RejectedRelease(
                Refusal.CONTRACT_MISMATCH,
                f"version {manifest.version} was made for the contract {given[:12]}, ours is {expected[:12]}: "
                "build the model for this contract, or deploy its contract first",
            )
