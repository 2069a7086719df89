"""The real Apache Kafka that the demo and the tests start: one node, loopback, nothing but Python needed.

    lock  --jars-->  fetch  --folder-->  properties + java  -->  broker  (watched over by supervisor)

`kafka.lock` names every jar with its digest, `ensure_kafka` brings them into the user's cache once, and
`EmbeddedKafka.start()` runs them; whatever it started is gone when its process is, however that ended.
"""

from app.embedded.broker import EmbeddedKafka
from app.embedded.fetch import ensure_kafka

__all__ = ["EmbeddedKafka", "ensure_kafka"]
