"""Faust's assignor, whose leader looks at what all members of the group subscribe to."""

from __future__ import annotations

from typing import Any

from faust.assignor import PartitionAssignor


class Assignor(PartitionAssignor):  # type: ignore[misc]
    """Shares partitions out as Faust does, after telling the app of the members' subscriptions."""

    def assign(self, cluster: Any, member_metadata: Any) -> Any:
        """Called in the member that Kafka made the leader, in the client's own thread."""
        self.app.on_members([set(each.subscription) for each in member_metadata.values()])
        return super().assign(cluster, member_metadata)
