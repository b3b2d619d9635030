"""`python -m runtime.guest`: the entry point of a sandbox."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

from runtime.guest.network import make_directory
from runtime.guest.nursery import Nursery
from runtime.guest.services import browser_main, hands_main, relay_main
from runtime.guest.supervisor import supervisor_main
from runtime.schema.protocol import EGRESS_SOCKET, GATEWAY_SOCKET, SOCKET_DIRECTORY


def main() -> int:
    """Run the guest; the exit status is the supervisor's."""
    directory = Path(os.environ.get("SANDLOT_SOCKETS", SOCKET_DIRECTORY))
    make_directory()
    nursery = Nursery(
        {"hands": hands_main, "browser": browser_main},
        lambda control: supervisor_main(directory / GATEWAY_SOCKET, control),
        partial(relay_main, directory / EGRESS_SOCKET),
    )
    return nursery.run()


if __name__ == "__main__":
    sys.exit(main())
