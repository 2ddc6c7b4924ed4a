# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the virtual machine is started, and how its monitor's lines are read."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from sandbox import state, vm
from sandbox.process import SandboxError
from sandbox.qmp import SOCKET, Monitor, answer

HOST = state.Instance("trial", "vm", 40023, "2900m", 2)
EMULATED = ["-accel", "tcg", "-cpu", "Nehalem"]


def option_values(arguments: list[str], option: str) -> list[str]:
    return [value for name, value in zip(arguments, arguments[1:]) if name == option]


@pytest.mark.parametrize(("text", "mib"), [("2900m", 2900), ("2900MB", 2900), ("3g", 3072)])
def test_memory_in_mib(text, mib):
    assert vm.memory_mib(text) == mib


@pytest.mark.parametrize("text", ["2900", "2.9g", "", "m", "-3g"])
def test_other_sizes_are_refused(text):
    with pytest.raises(SandboxError, match="2900m"):
        vm.memory_mib(text)


@pytest.mark.parametrize(
    ("flags", "usable", "kvm"),
    [
        ("flags\t\t: fpu vmx sse2\n", True, True),
        ("flags\t\t: fpu svm\n", True, True),
        ("flags\t\t: fpu vmx sse2\n", False, False),
        ("flags\t\t: fpu sse2\n", True, False),
        ("model name\t: svm of sorts\nflags\t\t: fpu\n", True, False),
    ],
)
def test_kvm_only_where_the_processor_has_it_too(flags, usable, kvm):
    assert (vm.accelerator(flags, usable)[1] == "kvm") is kvm


def test_machine_is_reached_on_loopback_only():
    argv = vm.qemu_argv(HOST, Path("/vm"), EMULATED, None)
    assert option_values(argv, "-netdev") == ["user,id=net,hostfwd=tcp:127.0.0.1:40023-:22"]


def test_snapshot_is_loaded_only_when_there_is_one():
    assert option_values(vm.qemu_argv(HOST, Path("/vm"), EMULATED, "ready"), "-loadvm") == ["ready"]
    assert "-loadvm" not in vm.qemu_argv(HOST, Path("/vm"), EMULATED, None)


def test_port_of_the_host_does_not_change_what_a_snapshot_depends_on():
    """A snapshot taken on one port serves hosts on every other."""
    assert not any("40023" in word for word in vm.hardware(HOST.memory, HOST.cpus, EMULATED))
    argv = vm.qemu_argv(HOST, Path("/vm"), EMULATED, None)
    assert set(vm.hardware(HOST.memory, HOST.cpus, EMULATED)) <= set(argv)


def test_monitor_lines():
    assert answer(b'{"QMP": {"version": {}}}') is None
    assert answer(b'{"event": "STOP", "timestamp": {}}') is None
    assert answer(b'{"return": {}}') == {"return": {}}
    with pytest.raises(SandboxError, match="no such disk"):
        answer(b'{"error": {"class": "GenericError", "desc": "no such disk"}}')


def test_monitor_waits_past_events_in_a_folder_with_a_long_path(tmp_path, monkeypatch):
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.chdir(folder)  # a Unix socket's own path may have 107 bytes
    server = socket.socket(socket.AF_UNIX)
    server.bind(SOCKET)
    server.listen()

    def serve() -> None:
        connection, _unused = server.accept()
        with connection, connection.makefile("rwb", buffering=0) as stream:
            stream.write(b'{"QMP": {}}\n')
            stream.readline()
            stream.write(b'{"return": {}}\n')
            stream.readline()
            stream.write(b'{"event": "STOP"}\n{"return": "refused\\r\\n"}\n')

    thread = threading.Thread(target=serve)
    thread.start()
    with Monitor(folder, timeout=10) as monitor, pytest.raises(SandboxError, match="savevm ready failed: refused"):
        monitor.human("savevm ready")
    thread.join()
    server.close()


def test_no_machine_is_a_plain_error(tmp_path):
    with pytest.raises(SandboxError, match="no virtual machine listens"):
        Monitor(tmp_path)
