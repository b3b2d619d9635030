"""The cases of the security catalogue: which there are, and why some are not tried here."""

from __future__ import annotations

IDS = """
E-01 E-02 E-03 E-04 E-06 E-07 E-08 E-09 E-10 E-12 E-13 E-16 E-17 E-18 E-19
N-01 N-02 N-03 N-04 N-06 N-08 N-09 N-10 N-11 N-12 N-13 N-16 N-17 N-19 N-20 N-21 N-23 N-24
X-01 X-02 X-03 X-04 X-05 X-07 X-08 X-10 X-11 X-12 X-13 X-14 X-16 X-17
F-01 F-03 F-04 F-06 F-07 F-09 F-10
A-01 A-02 A-03 A-04 A-05 A-06 A-07 A-08 A-10 A-11 A-12 A-13 A-15 A-17 A-18 A-20 A-21 A-22 A-24 A-25
"""
CATALOGUE = frozenset(IDS.split())

LEFT_OUT = {
    "E-19": "pure decisions on versions: tests/unit/sandboxes/test_floors.py",
    "N-04": "answers of a name service in the test's hands: tests/unit/egress/test_forward.py",
    "N-10": "a guest that lies: tests/unit/gateway/test_hostile_guest.py",
    "N-11": "the gateway speaks frames, not HTTP: tests/unit/gateway/test_hostile_guest.py",
    "N-12": "changes the firewall of the machine that the tests run on",
    "N-19": "tests/checks/test_outbound.py",
    "N-20": "tests/contract/test_tools_mcp.py",
    "N-21": "a sandbox ends with its controller: tests/integration/test_faults.py",
    "N-24": "Smokescreen is no package of an index that the tests use; the table that it would be "
    "asked, with what is known of each address: tests/unit/outbound/test_addresses.py",
    "X-11": "A-04 sends them; YAML: tests/unit/specs/test_yaml_marks.py",
    "F-10": "tests/contract/test_files.py",
    "A-02": "tests/contract/test_openapi.py",
    "A-03": "tests/unit/api/test_bodies.py",
    "A-11": "tests/contract/test_api_wire.py",
    "A-13": "there is no console",
    "A-17": "there are no webhooks yet",
    "A-18": "there are no webhooks yet",
    "A-20": "tests/unit/specs/test_agent_files.py and test_yaml_marks.py",
    "A-22": "no field takes a command: tests/unit/specs/test_agent_files.py",
}

CONTROLS = {
    "X-01": "test_x01_so_many_processes_as_were_asked_for",
    "X-02": "test_x02_so_much_memory_as_was_asked_for",
    "X-03": "test_x03_control_a_few_of_these_processes_harm_nobody",
    "X-04": "test_x04_full_disks_are_told_and_the_host_has_its_own",
    "X-05": "test_x05_so_many_open_files_as_were_asked_for",
    "X-07": "test_x07_pictures_and_displays_without_end_are_cut",
    "X-08": "test_x08_busy_loops_are_held_at_what_was_asked_for",
    "X-10": "test_x10_what_unpacks_to_too_much_ends_at_the_workspace",
    "X-12": "test_x12_more_runs_than_may_be_are_refused_and_leave_nothing",
    "X-13": "test_x13_readers_that_do_not_read_cost_no_memory",
    "X-14": "test_x14_nobody_gets_more_than_the_operator_allows",
    "X-16": "test_x16_crowds_of_files_and_deep_folders_come_in_pages",
}
"""For each case of exhaustion a test in which the same attempt goes through where it may."""

WITHOUT_CONTROL = {
    "X-17": "nothing is refused: the bandwidth of a disk is shared, and the other one finishes",
}

_DIES = "the whole sandbox dies: the run fails with out_of_memory"
_FORKED = "sixty copies of the kernel's process end the run without a result"
_HELD = "it does not show how often the host held it up"
ON_GVISOR = {
    "test_e08_there_are_no_devices": "its own /dev has fuse and net, and its /tmp takes device "
    "nodes: devices of its kernel, which has none of the host's behind them",
    "test_e12_other_processes_are_out_of_reach[environments_of_others]": "it shows them to every "
    "user; they hold no secret",
    "test_e12_other_processes_are_out_of_reach[maps_of_others]": "it shows them to every user",
    "test_e12_the_line_of_the_supervisor_is_out_of_reach": "it lists the numbers of others' "
    "descriptors; the socket itself is as far away as it should be",
    "test_e17_nothing_is_found_inside_that_is_not_known": "it has devices and settings of its "
    "own, and shows fewer mounts",
    "test_x01_a_fork_bomb_ends": "a user's processes are limited, but a bomb that goes on at the "
    "limit may end the sandbox: sandbox_lost",
    "test_x01_threads_are_counted": "they are; the guest cannot tell that the limit was hit",
    "test_x01_so_many_processes_as_were_asked_for[64-True]": _FORKED,
    "test_x01_so_many_processes_as_were_asked_for[200-False]": _FORKED,
    "test_x01_cancelling_works_in_the_middle_of_one": "a bomb that goes on at the limit may end "
    "the sandbox before it is cancelled",
    "test_x02_so_much_memory_as_was_asked_for[256-True]": _DIES,
    "test_x02_a_page_that_eats_memory_costs_the_browser_and_nothing_else[tight]": _DIES,
    "test_x02_the_kernel_dies_of_memory_and_the_run_goes_on": _DIES,
    "test_x02_a_command_that_dies_of_memory_says_so": _DIES,
    "test_x04_queues_and_files_in_memory_are_counted": "neither queues nor files in its memory "
    "are; they count as memory",
    "test_x04_memory_without_an_owner_does_not_stay": "segments stay in its memory, and end with "
    "the sandbox",
    "test_x08_busy_loops_are_held_at_what_was_asked_for[tight]": _HELD,
    "test_x08_busy_loops_are_held_at_what_was_asked_for[roomy]": _HELD,
    "test_x08_a_sandbox_gets_no_more_processors_than_it_may": "it lets everybody set a niceness, "
    "which only counts inside; the host holds the limit",
}
"""The tests that end otherwise where gVisor is the runtime, and how."""
