"""Whether what surrounds the program is as it needs it: Kafka, topics, partitions, and where labels lie."""

from app.doctor.examine import examine
from app.doctor.finding import Finding, Level

__all__ = ["Finding", "Level", "examine"]
