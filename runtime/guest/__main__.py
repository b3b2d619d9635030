"""`python -m runtime.guest`: the entry point of a sandbox."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from runtime.guest.nursery import Nursery
from runtime.guest.services import browser_main, hands_main
from runtime.guest.supervisor import supervisor_main
from runtime.schema.protocol import GATEWAY_SOCKET, SOCKET_DIRECTORY


def main() -> int:
    """Run the guest; the exit status is the supervisor's."""
    directory = Path(os.environ.get("SANDLOT_SOCKETS", SOCKET_DIRECTORY))
    nursery = Nursery(
        {"hands": hands_main, "browser": browser_main},
        lambda control: supervisor_main(directory / GATEWAY_SOCKET, control),
    )
    return nursery.run()


if __name__ == "__main__":
    sys.exit(main())
