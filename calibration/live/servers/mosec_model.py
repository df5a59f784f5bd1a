"""What mosec runs, as `python -m calibration.live.servers.mosec_model`: it imports mosec, which may be missing."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from mosec import Server, Worker

from calibration.live.device import Worker as DeviceWorker
from calibration.live.servers.mosec import BATCH, WAIT

LARGEST = int(os.environ.get(BATCH, "1"))


class Model(Worker):
    """Answers every request with the stamps of its batch."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # mosec leaves it untyped
        self.device = DeviceWorker.from_environment(LARGEST)

    def deserialize(self, data: bytes) -> bytes:
        """Requests say nothing."""
        return data

    def serialize(self, data: Sequence[int]) -> bytes:
        """As the client reads stamps."""
        return json.dumps(data).encode()

    def forward(self, data: list[bytes] | bytes) -> list[list[int]] | list[int]:
        """Without batching mosec hands over one request, and not a list of them."""
        if LARGEST == 1:
            return list(self.device(1))
        stamps = list(self.device(len(data)))
        return [stamps] * len(data)


def main() -> None:
    """Serves until it is stopped."""
    server = Server()  # type: ignore[no-untyped-call]
    server.append_worker(Model, num=1, max_batch_size=LARGEST, max_wait_time=int(os.environ[WAIT]))
    server.run()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
